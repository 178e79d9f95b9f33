const $ = (id) => document.getElementById(id);
const SIZES = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10];
const UNLEARN = 0, LEARN = 1, BOTH = 2;
const SMALLEST = 1e-6; // the bottom of the logarithmic scale

// ---- the core, and what it says ------------------------------------------------------------------

let core; // what the module exports

function text(list, which) {
  const bytes = new Uint8Array(core.memory.buffer, core.text(list, which), core.text_len(list, which));
  return new TextDecoder().decode(bytes);
}

/** Everything that the core found, by the names that it gives. */
function read() {
  const found = {};
  for (let i = 0, name; (name = text(0, i)); i++) found[name] = core.number(i);
  for (let i = 0, name; (name = text(1, i)); i++) {
    const length = name.startsWith("path") ? state.steps + 1 : state.vocab;
    found[name] = Array.from(new Float64Array(core.memory.buffer, core.array(i), length));
  }
  return found;
}

let statements = []; // { id, words, kind }

// ---- what is chosen ------------------------------------------------------------------------------

const state = { start: "2", vocab: 24, mode: UNLEARN, minus: 18, plus: 12, size: 1, steps: 5, scale: "linear" };
let shown = 5; // steps that the charts show: `steps`, but for a while less when they are played
let view, ahead; // what the core found for `shown` steps, and for all

function compute(steps) {
  if (!core.run(state.mode, state.minus, state.plus, state.size, steps)) throw new Error("the core refused this step");
  return read();
}

/** Everything anew, after a change of anything. */
function update() {
  ahead = compute(state.steps);
  view = shown === state.steps ? ahead : compute(shown);
  writeControls();
  drawBars();
  drawPath();
  writeSummary();
  writeClaims();
  writeNumbers();
  writeStatements();
  writeHash();
}

function change(edit) {
  stop();
  edit();
  for (const name of ["minus", "plus"]) state[name] = Math.min(state[name], state.vocab - 1);
  if (state.minus === state.plus) state.plus = state.minus === 0 ? 1 : state.minus - 1;
  shown = state.steps;
  update();
}

/** Makes a label y⁻ or y⁺; if it was the other one, the two change places. */
function choose(which, label) {
  change(() => {
    const other = which === "minus" ? "plus" : "minus";
    if (state[other] === label) state[other] = state[which];
    state[which] = label;
  });
}

function drag(label, p) {
  stop();
  if (!core.set_probability(label, Math.min(Math.max(p, 1e-6), 0.999))) return;
  state.start = "own";
  shown = state.steps;
  update();
}

// ---- numbers as text -----------------------------------------------------------------------------

const raised = (n) => String(n).replace(/[-0-9]/g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
function power(x, digits = 1) {
  const [m, e] = x.toExponential(digits).split("e");
  return `${m.replace("-", "−")}·10${raised(Number(e))}`;
}
const UNBROKEN = "\u00a0"; // a space that does not break
function percent(p) {
  if (p === 0) return `0${UNBROKEN}%`;
  if (p > 0.9995 && p < 1) return `>${UNBROKEN}99.9${UNBROKEN}%`;
  if (p >= 0.0995) return `${(100 * p).toFixed(p === 1 ? 0 : 1)}${UNBROKEN}%`;
  if (p >= 0.000995) return `${(100 * p).toFixed(2)}${UNBROKEN}%`;
  return power(p);
}
/** The same beside an axis. */
const tickWords = (p) => (p >= 0.001 ? `${Number((100 * p).toPrecision(3))}${UNBROKEN}%` : `10${raised(Math.round(Math.log10(p)))}`);
const times = (x) => `×${UNBROKEN}${x >= 0.01 && x < 1000 ? x.toPrecision(3) : power(x)}`;
function nats(x) {
  const size = Math.abs(x);
  const words = size >= 100 ? size.toFixed(0) : size < 0.01 && x !== 0 ? power(size) : size.toFixed(2);
  return `${x > 0 ? "+" : x < 0 ? "−" : ""}${words}`;
}
const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;
/** What the core writes as π_{y*} and e^{x}, with its indices below and its powers above the line. */
const typeset = (s) => escaped(s).replace(/_\{([^{}]*)\}|_(\w)/g, "<sub>$1$2</sub>").replace(/\^\{([^{}]*)\}/g, "<sup>$1</sup>");
const escaped = (s) => s.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);

/** The names that a label has: y⁻, y⁺, y*. */
function names(i) {
  const is = [];
  if (i === state.minus && state.mode !== LEARN) is.push("y⁻");
  if (i === state.plus && state.mode !== UNLEARN) is.push("y⁺");
  if (i === view.runner_up) is.push("y*");
  return is;
}

// ---- charts --------------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";
function node(name, attributes, parent, content) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (content !== undefined) made.textContent = content;
  parent?.append(made);
  return made;
}

/** A round number at or above x. */
function roundUp(x) {
  const unit = 10 ** Math.floor(Math.log10(x));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((m) => m * unit).find((m) => m >= x * 0.999);
}

const HEAD = 24; // room above the bars
let held = null; // the drag that goes on: { label, top }
let geometry;

function scaleOf(top) {
  const { height } = geometry;
  if (state.scale === "log") {
    const decades = -Math.log10(SMALLEST);
    const share = (p) => Math.max(0, 1 + Math.log10(Math.max(p, SMALLEST)) / decades);
    return { y: (p) => height * (1 - share(p)), p: (y) => 10 ** (-decades * (y / height)), ticks: [1, 0.1, 0.01, 0.001, 1e-4, 1e-5] };
  }
  const ticks = [1, 0.75, 0.5, 0.25].map((share) => share * top);
  return { y: (p) => height * (1 - p / top), p: (y) => top * (1 - y / height), ticks };
}

function drawBars() {
  const box = $("chart");
  const focused = document.activeElement?.closest?.(".bar")?.dataset.label;
  const width = Math.max(280, box.clientWidth);
  const narrow = width < 520;
  const left = 44, right = 6, height = narrow ? 190 : 250, growth = narrow ? 96 : 120, middle = 44;
  const slot = (width - left - right) / state.vocab;
  const top = held?.top ?? roundUp(Math.min(1, 1.06 * Math.max(...view.before, ...ahead.after)));
  geometry = { height, left, slot };
  const scale = scaleOf(top);
  geometry.scale = scale;
  geometry.top = top;
  const total = height + middle + growth + 6;

  const svg = node("svg", { viewBox: `0 -${HEAD} ${width} ${total + HEAD + 8}`, height: total + HEAD + 8, role: "group", "aria-label": `Probabilities of ${state.vocab} labels before and after, and how much each grows` });
  const defs = node("defs", {}, svg);
  const hatch = node("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, defs);
  node("rect", { width: 6, height: 6, class: "hatch-ground" }, hatch);
  node("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "hatch-line" }, hatch);

  for (const tick of scale.ticks) {
    node("line", { x1: left, x2: width - right, y1: scale.y(tick), y2: scale.y(tick), class: "grid" }, svg);
    node("text", { x: left - 6, y: scale.y(tick) + 4, "text-anchor": "end" }, svg, tickWords(tick));
  }
  node("line", { x1: left, x2: width - right, y1: height, y2: height, class: "zero" }, svg);
  node("text", { x: left - 6, y: -10, "text-anchor": "end", class: "strong" }, svg, "π");

  // log α below: to the same places.
  const zero = height + middle, largest = Math.max(1e-9, ...view.growth.map(Math.abs));
  const rises = Math.max(0, ...view.growth), falls = Math.max(0, ...view.growth.map((g) => -g));
  const unit = (growth - 8) / Math.max(rises + falls, 1e-9);
  const base = zero + rises * unit + 4;
  const small = (g) => Math.max(2, Math.abs(g) * unit);
  node("line", { x1: left, x2: width - right, y1: base, y2: base, class: "zero" }, svg);
  node("text", { x: 0, y: base + 4, class: "strong" }, svg, "log α");
  if (shown > 0) {
    if (rises * unit > 14) node("text", { x: left - 6, y: zero + 10, "text-anchor": "end" }, svg, nats(rises));
    if (falls * unit > 14) node("text", { x: left - 6, y: zero + growth, "text-anchor": "end" }, svg, nats(-falls));
  }

  const tint = (i, name) => node("rect", { x: left + i * slot, y: -4, width: slot, height: total, class: name }, svg);
  if (state.mode !== LEARN) tint(state.minus, "tint down");
  if (state.mode !== UNLEARN) tint(state.plus, "tint up");

  const every = slot < 15 ? 5 : 1;
  for (let i = 0; i < state.vocab; i++) {
    const [p, q, g] = [view.before[i], view.after[i], view.growth[i]];
    const x = left + i * slot, wide = Math.max(2, slot * 0.8), thin = Math.max(1.5, slot * 0.52);
    const way = shown === 0 || g === 0 ? "same" : g > 0 ? "up" : "down";
    const pushed = i === state.minus && state.mode !== LEARN;
    const bar = node("g", {
      class: `bar${held?.label === i ? " held" : ""}`, "data-label": i, role: "slider", tabindex: i === roving ? 0 : -1, "aria-orientation": "vertical",
      "aria-label": ["label", i, ...names(i)].join(" "), "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": (100 * p).toPrecision(3),
      "aria-valuetext": `${percent(p)} before, ${percent(q)} after${way === "same" ? "" : way === "up" ? ", rises" : ", falls"}`,
    }, svg);
    node("rect", { x, y: -4, width: slot, height: total, class: "column" }, bar);
    node("rect", { x: x + (slot - wide) / 2, y: scale.y(p), width: wide, height: Math.max(0, height - scale.y(p)), class: "was-bar" }, bar);
    node("rect", { x: x + (slot - thin) / 2, y: scale.y(q), width: thin, height: Math.max(0, height - scale.y(q)), class: pushed ? "pushed" : way }, bar);
    node("rect", { x: x + 1, y: -4, width: slot - 2, height: total - 2, rx: 3, class: "ring" }, bar);
    const grip = Math.min(wide, 18);
    node("rect", { x: x + (slot - grip) / 2, y: scale.y(p) - 2.5, width: grip, height: 5, rx: 2.5, class: "handle" }, bar);
    node("rect", { x, y: scale.y(p) - 16, width: slot, height: 32, class: "touch" }, bar);
    if (way !== "same") {
      node("rect", { x: x + (slot - thin) / 2, y: g > 0 ? base - small(g) : base, width: thin, height: small(g), class: pushed ? "pushed" : way }, bar);
    }
    const called = names(i);
    const crowded = every > 1 && [i - 1, i + 1, i - 2, i + 2].some((j) => names(j).length);
    if (called.length || (i % every === 0 && !crowded)) {
      node("text", { x: x + slot / 2, y: height + 14, "text-anchor": "middle", class: called.length ? "strong" : "" }, bar, i);
    }
    if (called.length) {
      node("text", { x: x + slot / 2, y: height + 29, "text-anchor": "middle", class: "strong", "font-size": 13 }, bar, called.join(" "));
    }
    node("title", {}, bar, `label ${i}: ${percent(p)} → ${percent(q)}, log α ${nats(g)}`);
  }

  const tau = view.threshold;
  if (shown > 0 && tau > 0 && tau <= top) {
    const y = scale.y(tau);
    node("line", { x1: left, x2: width - right, y1: y, y2: y, class: "threshold" }, svg);
    const [name, side] = state.mode === UNLEARN ? ["τ", "above"] : ["θ", "below"];
    const when = shown > 1 && !narrow ? " in the last step" : "";
    const words = `${name} = ${percent(tau)}: ${narrow ? `rises if ${side}` : `who is ${side} it rises${when}`}`;
    const near = y < 26;
    node("rect", { x: width - right - 6.3 * words.length, y: near ? y + 4 : y - 19, width: 6.3 * words.length, height: 15, class: "label-plate" }, svg);
    node("text", { x: width - right - 4, y: near ? y + 16 : y - 7, "text-anchor": "end", class: "strong" }, svg, words);
  }
  box.replaceChildren(svg);
  if (focused !== undefined) box.querySelector(`[data-label="${focused}"]`)?.focus({ preventScroll: true });
}

/** Who has the mass, step by step. */
function drawPath() {
  $("path").hidden = state.steps < 2;
  if (state.steps < 2) return;
  const width = Math.max(280, $("path-chart").clientWidth), height = 120, left = 44, right = 6;
  const svg = node("svg", { viewBox: `0 -6 ${width} ${height + 28}`, height: height + 28, role: "img", "aria-labelledby": "path-words" });
  const x = (t) => left + ((width - left - right) * t) / state.steps;
  const own = ahead.path_label, runner = ahead.path_runner_up;
  const under = own.map((m, t) => m + runner[t]);
  const y = (m) => height * (1 - m);
  const line = (values) => values.map((m, t) => `${x(t).toFixed(1)},${y(m).toFixed(1)}`);
  const band = (low, high, name) => node("polygon", { points: [...line(high), ...line(low).reverse()].join(" "), class: name }, svg);
  const none = own.map(() => 0), all = own.map(() => 1);
  // y* from the ground, y above it, all others on top.
  band(none, runner, "band-top");
  band(runner, under, "band-label");
  band(under, all, "band-others");
  for (const tick of [0, 0.5, 1]) node("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, svg, `${100 * tick} %`);
  const bounded = state.mode === UNLEARN && ahead.path_bound.some((b) => b > 0);
  if (bounded) node("polyline", { points: line(ahead.path_bound).join(" "), class: "bound" }, svg);
  const last = state.steps, label = state.mode === LEARN ? "y⁺" : "y⁻";
  const mark = (values, base, words, name) => {
    const t = values.reduce((best, m, t) => (m > values[best] ? t : best), 0);
    if (values[t] < 0.14) return;
    const anchor = t === 0 ? "start" : t === last ? "end" : "middle";
    node("text", { x: x(t) + (anchor === "start" ? 8 : anchor === "end" ? -8 : 0), y: y(base[t] + values[t] / 2) + 4, "text-anchor": anchor, class: name }, svg, words);
  };
  mark(runner, none, "y*", "on-band");
  mark(own, runner, label, "on-band");
  mark(ahead.path_others, under, "all others", "strong");
  node("line", { x1: x(shown), x2: x(shown), y1: -4, y2: height + 4, class: "zero" }, svg);
  node("text", { x: x(0), y: height + 17 }, svg, "0");
  node("text", { x: x(last), y: height + 17, "text-anchor": "end" }, svg, `${last} steps`);
  $("path-chart").replaceChildren(svg);
  const bound = bounded ? " Dashed: what y* has at least by then, by T5." : "";
  $("path-words").textContent = `Who has the mass, step by step: y* ${percent(runner[0])} → ${percent(runner[last])}, ${label} ${percent(own[0])} → ${percent(own[last])}, all others ${percent(ahead.path_others[0])} → ${percent(ahead.path_others[last])}.${bound}`;
}

// ---- words ---------------------------------------------------------------------------------------

function writeSummary() {
  const v = view, label = v.label, top = v.runner_up;
  const way = (i) => `${percent(v.before[i])} → ${percent(v.after[i])}`;
  const counts = `${plural(v.risers, "label rises", "labels rise")}, ${v.fallers} ${v.fallers === 1 ? "falls" : "fall"}.`;
  const after = shown === 1 ? "One step" : `${shown} steps`;
  const share = percent(v.gainer_share);
  let words;
  if (shown === 0) {
    words = `<strong>No step yet.</strong> y* is label ${top}, the likeliest other than label ${label}: ${percent(v.before[top])}.`;
  } else if (state.mode === UNLEARN) {
    words = `<strong>${counts}</strong> ${after} away from label ${label} (y⁻: ${way(label)}) moved ${percent(v.moved)} of all mass. ` +
      `Label ${top} (y*) got ${share} of that: ${way(top)}.`;
  } else if (state.mode === LEARN) {
    words = `<strong>${counts}</strong> ${after} towards label ${label} (y⁺: ${way(label)}) moved ${percent(v.moved)} of all mass, ` +
      `${share} of it to label ${v.gainer}. Its strongest competitor, label ${top} (y*): ${way(top)}.`;
  } else {
    words = `<strong>${counts}</strong> ${after}: y⁺, label ${state.plus}: ${way(state.plus)}; y⁻, label ${state.minus}: ${way(state.minus)}. ` +
      `All others keep their proportions.`;
  }
  $("summary").innerHTML = words;
}

const overall = () => (shown > 1 ? "over all steps" : "here");
const lately = () => (shown > 1 ? "in the last step" : "here");

/** The claims of each kind of step: the core's statement, the sentence, and the numbers that carry it. */
const CLAIMS = {
  [UNLEARN]: [
    ["exact/N1", () => "y⁻ falls, and no label falls more.", (v) => `${overall()} ${times(v.factor[v.label])}`],
    ["exact/N2", () => "y*, the likeliest other label, rises, and none rises more.", (v) => `${overall()} ${times(v.factor[v.runner_up])}`],
    ["exact/N3", () => "The rich get richer: of two others the likelier gains on the other.", () => "log-odds change by s(π<sub>i</sub> − π<sub>j</sub>)"],
    ["exact/N4", () => "A label rises exactly if its π is above τ(s).", (v) => `${lately()} τ = ${v.threshold > 0 ? percent(v.threshold) : `${nats(v.threshold)} < 0: all others rise`}`],
    ["exact/N6", () => "If π(y*) > 1/√3 ≈ 57.7 %, every label but y* falls, at any s.", (v) => `before it π(y*) was ${percent(v.runner_up_at_last_step)}`],
    ["exact/N11-falls", () => "If y⁻ is at least as surprising as the average label, the entropy falls.", (v) => `${overall()} ${v.entropy_before.toFixed(2)} → ${v.entropy_after.toFixed(2)} nats`],
    ["exact/T5", () => "Repeated, it collapses: π(y*) → 1, if y* has no equal.", (v) => (v.collapse_bound < 1 ? `by now 1 − π(y*) ≤ ${percent(v.collapse_bound)}; it is ${percent(1 - v.after[v.runner_up])}` : "too few steps for the bound to say anything yet")],
    ["first-order/N10", () => "At small s π<sub>i</sub> drifts by s·π<sub>i</sub>(π<sub>i</sub> − ‖π‖² + π<sub>y⁻</sub>).", (v) => `for y* A·Δz is ${nats(v.predicted[v.runner_up])}, Δ log π ${nats(v.change[v.runner_up])}`],
    ["exact/R1", () => "What A·Δz misses is one number r ≤ 0, for every label the same.", (v) => `r = ${nats(v.remainder)}, no less than ${nats(v.remainder_bound)} nats`],
    [null, () => "“What y⁻ loses goes to y*.”", (v) => `here y* got ${percent(v.gainer_share)} of what was moved; with a flat π everybody gets the same`],
  ],
  [LEARN]: [
    ["exact/L1", () => "y⁺ rises, and no label rises more.", (v) => `${overall()} ${times(v.factor[v.label])}`],
    ["exact/L2", () => "y*, its strongest competitor, falls, and none falls more.", (v) => `${overall()} ${times(v.factor[v.runner_up])}`],
    ["exact/L3", () => "Gaps shrink: of two others the less likely gains on the other.", () => "log-odds change by −s(π<sub>i</sub> − π<sub>j</sub>)"],
    ["exact/L4", () => "Another label rises exactly if its π is below θ(s).", (v) => `${lately()} θ = ${v.threshold > 0 ? percent(v.threshold) : `${nats(v.threshold)} < 0: all others fall`}`],
    ["exact/L5", () => "If π(y⁺) ≥ ‖π‖², all others fall, at any s.", (v) => `‖π‖² was ${percent(v.sum_sq)} at the start`],
    ["exact/L7", () => "At small s unlikely labels are lifted along: those with π < ‖π‖² − π(y⁺).", () => ""],
    ["exact/R1", () => "What the first-order A·Δz misses is one number r ≤ 0, for every label the same.", (v) => `r = ${nats(v.remainder)}, no less than ${nats(v.remainder_bound)} nats`],
    [null, () => "“Learning one label lowers all others.”", (v) => `here ${plural(v.risers - 1, "other rises", "others rise")}`],
  ],
  [BOTH]: [
    ["exact/P1", () => "With equal weights all other labels are multiplied by one factor: there is no squeezing.", (v) => `${overall()} ${times(v.factor[[...v.factor.keys()].find((i) => i !== state.minus && i !== state.plus) ?? 0])}`],
    ["exact/P3", () => "y⁺ rises most and y⁻ falls most.", (v) => `${times(v.factor[state.plus])} and ${times(v.factor[state.minus])}`],
    ["exact/P2", () => "The others fall exactly if π(y⁺)·eˢ > π(y⁻).", () => ""],
    [null, () => "“A preference pair does not squeeze.”", () => "true in one context only; where y⁺ and y⁻ have parted, y⁻ is unlearned alone: see Unlearn y⁻"],
  ],
};

const HERE = { 1: ["holds", "✓", "holds"], 0: ["silent", "○", "condition not met"], "-1": ["fails", "✗", "FAILS"], 2: ["silent", "○", "no step yet"] };

function writeClaims() {
  $("which").textContent = shown > 1 ? "of the last step" : "of this step";
  $("claims").innerHTML = CLAIMS[state.mode].map(([id, words, numbers]) => {
    const which = statements.findIndex((s) => s.id === id);
    const [name, mark, here] = id === null ? ["silent", "≠", ""] : HERE[core.outcome(which)];
    const kind = id === null ? "not a theorem" : statements[which].kind;
    const evidence = shown > 0 && numbers(view) ? `: ${numbers(view)}` : "";
    const lead = id === null ? "" : ` ${here}`;
    return `<li class="${name}" data-id="${id ?? ""}"><span class="mark" aria-hidden="true">${mark}</span><span>${words()}` +
      `<small><span class="kind">${kind}${id === null ? "" : ` · ${id.split("/")[1]}`}</span>${lead}${evidence}</small></span></li>`;
  }).join("");
}

function writeNumbers() {
  const v = view;
  $("numbers").querySelector("tbody").innerHTML = v.before.map((p, i) => {
    const way = v.growth[i] > 0 ? "▲ rises" : v.growth[i] < 0 ? "▼ falls" : "";
    const cells = [p.toFixed(4), v.after[i].toFixed(4), nats4(v.growth[i]), times(v.factor[i]).slice(2), shown ? nats4(v.predicted[i]) : "", shown ? nats4(v.change[i]) : ""];
    return `<tr><th scope="row">${i}</th>${cells.map((c) => `<td>${c}</td>`).join("")}<td>${way} ${names(i).join(" ")}</td></tr>`;
  }).join("");
}
const nats4 = (x) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(4);

function writeStatements() {
  const outcomes = statements.map((_, i) => core.outcome(i));
  const count = (wanted) => outcomes.filter((o) => o === wanted).length;
  $("statements").dataset.fails = count(-1);
  $("statements").dataset.holds = count(1);
  $("statements").querySelector("summary").textContent = shown === 0 ? `All ${statements.length} statements: no step yet`
    : `All ${statements.length} statements, checked on this step: ${count(1)} hold, ${count(0)} say nothing here, ${count(-1)} fail`;
  $("statements").querySelector("tbody").innerHTML = statements.map(({ id, words, kind }, i) => {
    const [name, mark, here] = HERE[outcomes[i]];
    return `<tr class="${name}"><td>${id.split("/")[1]}</td><td>${kind}</td><td>${mark} ${here}</td><td>${typeset(words)}</td></tr>`;
  }).join("");
}

// ---- controls ------------------------------------------------------------------------------------

function writeControls() {
  for (const which of ["minus", "plus"]) {
    const list = $(which);
    if (list.options.length !== state.vocab) {
      list.replaceChildren(...Array.from({ length: state.vocab }, (_, i) => new Option(`label ${i}`, i)));
    }
    list.value = state[which];
    list.parentElement.classList.toggle("off", state.mode === (which === "minus" ? LEARN : UNLEARN));
  }
  const check = (name, value) => document.querySelectorAll(`input[name="${name}"]`).forEach((input) => (input.checked = input.value === String(value)));
  check("mode", state.mode);
  check("scale", state.scale);
  check("start", state.start);
  document.querySelector('input[value="own"]').parentElement.hidden = state.start !== "own";
  $("step").value = SIZES.indexOf(state.size);
  $("step-shown").textContent = state.size;
  $("step").setAttribute("aria-valuetext", state.size);
  $("steps").value = state.steps;
  $("steps-shown").textContent = shown === state.steps ? state.steps : `${shown} of ${state.steps}`;
  $("vocab").value = state.vocab;
  $("vocab-shown").textContent = state.vocab;
}

let playing = null;
function stop() {
  clearInterval(playing);
  playing = null;
  $("play").textContent = "▶ Step by step";
}

function play() {
  if (playing !== null) {
    stop();
    return;
  }
  if (state.steps < 2) state.steps = 20;
  shown = 0;
  $("play").textContent = "❚❚ Pause";
  update();
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  playing = setInterval(() => {
    shown += 1;
    if (shown >= state.steps) stop();
    update();
  }, still ? 600 : Math.max(40, Math.min(350, 6000 / state.steps)));
}

// ---- the address remembers what was chosen -------------------------------------------------------

function writeHash() {
  if (playing !== null || held) return;
  const { start, vocab, mode, minus, plus, size, steps, scale } = state;
  const from = start === "own" ? { z: view.logits.map((z) => Number(z.toPrecision(6))) } : { start, v: vocab };
  const hash = new URLSearchParams({ ...from, mode, minus, plus, s: size, n: steps, scale });
  history.replaceState(null, "", `#${hash.toString().replaceAll("%2C", ",")}`);
}

function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  const whole = (name, low, high, otherwise) => {
    const value = Number(given.get(name) ?? NaN);
    return Number.isInteger(value) && value >= low && value <= high ? value : otherwise;
  };
  const z = (given.get("z") ?? "").split(",").map(Number);
  const logits = z.length >= 2 && z.length <= core.limit(0) && z.every(Number.isFinite) ? z : null;
  state.start = String(whole("start", 0, 3, 2));
  state.vocab = logits?.length ?? whole("v", 2, core.limit(0), state.vocab);
  state.mode = whole("mode", 0, 2, UNLEARN);
  state.minus = whole("minus", 0, state.vocab - 1, Math.floor(0.75 * state.vocab));
  state.plus = whole("plus", 0, state.vocab - 1, Math.floor(0.5 * state.vocab));
  state.size = SIZES.includes(Number(given.get("s"))) ? Number(given.get("s")) : 1;
  state.steps = whole("n", 0, core.limit(1), 5);
  state.scale = given.get("scale") === "log" ? "log" : "linear";
  if (logits) {
    state.start = "own";
    core.set_vocab(state.vocab);
    logits.forEach((z, i) => core.set_logit(i, z));
  } else {
    core.preset(Number(state.start), state.vocab);
  }
}

// ---- hands ---------------------------------------------------------------------------------------

let roving = 0; // the bar that the tab key reaches

function listen() {
  const radios = (id, edit) => $(id).addEventListener("change", (event) => change(() => edit(event.target.value)));
  radios("start", (value) => {
    if (value === "own") return;
    state.start = value;
      core.preset(Number(state.start), state.vocab);
  });
  radios("scale", (value) => (state.scale = value));
  radios("mode", (value) => (state.mode = Number(value)));
  for (const which of ["minus", "plus"]) $(which).addEventListener("change", (event) => choose(which, Number(event.target.value)));
  $("step").addEventListener("input", (event) => change(() => (state.size = SIZES[event.target.value])));
  $("steps").addEventListener("input", (event) => change(() => (state.steps = Number(event.target.value))));
  $("vocab").addEventListener("input", (event) => change(() => {
    const before = state.vocab;
    state.vocab = Number(event.target.value);
    if (state.start === "own") state.start = "2";
      for (const which of ["minus", "plus"]) state[which] = Math.min(state.vocab - 1, Math.round((state[which] * state.vocab) / before));
    core.preset(Number(state.start), state.vocab);
  }));
  $("play").addEventListener("click", play);
  $("again").addEventListener("click", () => change(() => {
    history.replaceState(null, "", "#");
    readHash();
  }));

  const chart = $("chart");
  const barOf = (event) => event.target.closest?.(".bar");
  const at = (event) => {
    const box = chart.querySelector("svg").getBoundingClientRect();
    return geometry.scale.p(event.clientY - box.top - HEAD);
  };
  chart.addEventListener("pointerdown", (event) => {
    const bar = barOf(event);
    if (!bar || event.button !== 0) return;
    // A finger scrolls the page, unless it takes a bar by its top.
    if (event.pointerType !== "mouse" && !event.target.classList.contains("touch")) return;
    event.preventDefault();
    held = { label: Number(bar.dataset.label), top: geometry.top };
    roving = held.label;
    chart.setPointerCapture(event.pointerId);
    drag(held.label, at(event));
    chart.querySelector(`[data-label="${roving}"]`).focus({ preventScroll: true });
  });
  chart.addEventListener("pointermove", (event) => {
    if (held) drag(held.label, at(event));
  });
  for (const end of ["pointerup", "pointercancel"]) {
    chart.addEventListener(end, () => {
      if (!held) return;
      held = null;
      update();
    });
  }
  chart.addEventListener("keydown", (event) => {
    const bar = barOf(event);
    if (!bar) return;
    const label = Number(bar.dataset.label), p = view.before[label];
    const go = (to) => {
      roving = Math.min(Math.max(to, 0), state.vocab - 1);
      chart.querySelectorAll(".bar").forEach((b, i) => b.setAttribute("tabindex", i === roving ? 0 : -1));
      chart.querySelector(`[data-label="${roving}"]`).focus();
    };
    const keys = {
      ArrowLeft: () => go(label - 1), ArrowRight: () => go(label + 1), Home: () => go(0), End: () => go(state.vocab - 1),
      ArrowUp: () => drag(label, p * 1.1), ArrowDown: () => drag(label, p / 1.1),
      PageUp: () => drag(label, p * 2), PageDown: () => drag(label, p / 2),
      "-": () => choose("minus", label), "+": () => choose("plus", label),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  addEventListener("resize", () => {
    drawBars();
    drawPath();
  });
  addEventListener("hashchange", () => change(readHash));
}

async function main() {
  const bytes = Uint8Array.from(atob(WASM), (c) => c.charCodeAt(0));
  core = (await WebAssembly.instantiate(bytes)).instance.exports;
  for (let i = 0, id; (id = text(2, i)); i++) statements.push({ id, words: text(3, i), kind: text(4, i) });
  readHash();
  roving = state.minus;
  listen();
  change(() => {});
  document.documentElement.dataset.ready = "yes";
}
main().catch((error) => {
  console.error(error);
  $("summary").textContent = `This page could not start: ${error.message}. It needs WebAssembly.`;
});
