"use strict";
// Shows and hides lines by their keys, and reads out values where the pointer or the arrow keys are. Without this script
// a page is the same page with every line shown.
(() => {
  const all = (at, what) => [...at.querySelectorAll(what)];
  const rows = (text) => text.split("\n").map((row) => {
    const at = row.indexOf(" ");
    return row && { place: Number(row.slice(0, at)), words: row.slice(at + 1) };
  });
  const make = (name, parent, text) => {
    const made = parent.appendChild(document.createElement(name));
    if (text) made.textContent = text;
    return made;
  };

  const panels = all(document, ".panel").map((panel) => {
    const svg = panel.querySelector("svg.chart");
    const title = svg.querySelector("title");
    // A browser would show a title as a tooltip over the values.
    svg.setAttribute("aria-label", title.textContent);
    title.remove();
    panel.tabIndex = 0;
    panel.setAttribute("role", "group");
    panel.setAttribute("aria-label", `${svg.getAttribute("aria-label")}: read values with the arrow keys`);
    const cursor = svg.appendChild(document.createElementNS(svg.namespaceURI, "line"));
    const [top, bottom] = svg.dataset.plot.split(" ");
    for (const [name, value] of [["class", "cursor"], ["y1", top], ["y2", bottom], ["visibility", "hidden"]]) {
      cursor.setAttribute(name, value);
    }
    const lines = all(svg, "g.line").map((group) => ({
      group,
      keys: group.dataset.keys ? group.dataset.keys.split("\n") : [],
      values: rows(group.dataset.values),
    }));
    return { panel, svg, cursor, lines, moments: rows(svg.dataset.moments).filter((m) => m), at: -1 };
  });

  const off = new Set();
  const buttons = all(document, "button.show");
  const update = () => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(!off.has(button.dataset.key)));
    for (const { panel, lines } of panels) {
      for (const line of lines) line.group.classList.toggle("off", line.keys.some((key) => off.has(key)));
      panel.classList.toggle("off", lines.every((line) => line.group.classList.contains("off")));
    }
  };
  for (const legend of all(document, ".legend")) {
    const keys = all(legend, "button.show").map((button) => button.dataset.key);
    legend.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const { key, only } = button.dataset;
      if (key) off.has(key) ? off.delete(key) : off.add(key);
      else for (const other of keys) only && other !== only ? off.add(other) : off.delete(other);
      update();
    });
  }
  for (const legends of all(document, ".legends")) legends.hidden = false;

  const readout = document.createElement("div");
  readout.className = "readout";
  readout.setAttribute("role", "status");
  readout.hidden = true;

  const fill = ({ lines }, at, words) => {
    readout.replaceChildren();
    make("p", readout, words);
    const table = make("tbody", make("table", readout));
    const shown = lines.filter((line) => line.values[at] && !line.group.classList.contains("off"));
    for (const line of shown.sort((a, b) => a.values[at].place - b.values[at].place)) {
      const row = make("tr", table);
      const name = make("td", row);
      const stroke = line.group.querySelector("polyline");
      const sample = make("i", name);
      sample.style.borderTopColor = stroke ? stroke.getAttribute("stroke") : "";
      if (stroke && stroke.hasAttribute("stroke-dasharray")) {
        sample.style.borderTopStyle = stroke.getAttribute("stroke-dasharray").startsWith("14") ? "dashed" : "dotted";
      }
      for (const part of line.group.querySelector("text").childNodes) {
        make(part.nodeName === "tspan" ? "sub" : "span", name, part.textContent.trim());
      }
      make("td", row, line.values[at].words);
    }
  };

  // The same moment is marked in every chart that has it.
  const show = (shown, at) => {
    const { place, words } = shown.moments[at];
    for (const other of panels) {
      const same = other === shown ? at : other.moments.findIndex((moment) => moment.words === words);
      other.at = same;
      other.cursor.setAttribute("visibility", same < 0 ? "hidden" : "visible");
      if (same >= 0) for (const x of ["x1", "x2"]) other.cursor.setAttribute(x, other.moments[same].place);
    }
    fill(shown, at, words);
    shown.panel.append(readout);
    readout.hidden = false;
    const { width, height } = shown.svg.viewBox.baseVal;
    const share = place / width;
    const beside = `calc(${100 * (share < 0.5 ? share : 1 - share)}% + .8rem)`;
    readout.style.left = share < 0.5 ? beside : "auto";
    readout.style.right = share < 0.5 ? "auto" : beside;
    readout.style.top = `${(100 * shown.svg.dataset.plot.split(" ")[0]) / height}%`;
  };
  const hide = () => {
    readout.hidden = true;
    for (const { cursor } of panels) cursor.setAttribute("visibility", "hidden");
  };

  document.addEventListener("pointerdown", (event) => event.target.closest(".panel") || hide());

  for (const shown of panels.filter((p) => p.moments.length)) {
    const { panel, svg, moments } = shown;
    const point = (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) * svg.viewBox.baseVal.width) / box.width;
      const far = (at) => Math.abs(moments[at].place - x);
      let nearest = 0;
      // Where two moments stand at one place, as at the end of a stage, the pointer's side tells which.
      for (let at = 1; at < moments.length; at++) {
        if (far(at) < far(nearest) || (far(at) === far(nearest) && x > moments[at].place)) nearest = at;
      }
      show(shown, nearest);
    };
    panel.addEventListener("pointermove", point);
    panel.addEventListener("pointerdown", point);
    // A finger that is lifted leaves the values where they are, to be read.
    panel.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
    panel.addEventListener("focus", () => panel.matches(":focus-visible") && show(shown, moments.length - 1));
    panel.addEventListener("blur", hide);
    panel.addEventListener("keydown", (event) => {
      const last = moments.length - 1;
      const now = shown.at < 0 ? last : shown.at;
      const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") hide();
      if (to === undefined) return;
      event.preventDefault();
      show(shown, Math.max(0, Math.min(last, to)));
    });
  }
})();
