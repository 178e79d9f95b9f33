//! One decomposed update for people: a page with its maps, and text for the terminal.

use super::page::{self, cell};
use super::table::aligned;
use super::text::{number, one_line, short, signed, symbol};
use crate::record::{Cause, Decomposition, Influence, Response, TokenMap};
use anyhow::Result;
use minijinja::{Value, context};

const PAGE: &str = include_str!("decomposition.html");

/// The page: no network. Everything that comes from data is escaped.
///
/// # Errors
/// The template library refuses.
pub fn decomposition_html(d: &Decomposition) -> Result<String> {
    let values = context! {
        facts => facts(d),
        verdict => verdict(d),
        headings => headings(d),
        rows => d.responses.iter().map(|r| row(d, r)).collect::<Vec<_>>(),
        words => d.responses.iter().map(explain).collect::<Vec<_>>(),
        scales => scales(d),
        responses => d.responses.iter().map(tokens).collect::<Vec<_>>(),
        map => d.tokens.as_ref().map(map),
    };
    page::render(PAGE, values)
}

/// The text.
pub fn decomposition_text(d: &Decomposition) -> String {
    let mut out = String::new();
    for (name, value) in facts(d) {
        out += &format!("{name}: {value}\n");
    }
    let lines: Vec<Vec<String>> =
        std::iter::once(headings(d)).chain(d.responses.iter().map(|r| row(d, r))).collect();
    out += &format!(
        "\nΔ log π(y) in nats, predicted to first order and measured on a copy:\n{}",
        aligned(&lines, 2)
    );
    out += &format!("\n{}\n", verdict(d));
    if d.scales.len() > 1 {
        out += &aligned(&scales(d), 1);
    }
    out.push('\n');
    for r in &d.responses {
        out += &format!("{}\n", explain(r));
    }
    out
}

fn facts(d: &Decomposition) -> Vec<(&'static str, String)> {
    let u = &d.update;
    let lines: Vec<String> = u.examples.iter().map(ToString::to_string).collect();
    let mut facts = vec![
        ("Model", format!("{}, {}", d.model, d.dtype)),
        ("Objective", u.objective.clone()),
        (
            "Update",
            format!(
                "{} at {:e} on record{} {}",
                u.optimizer,
                u.learning_rate,
                if lines.len() == 1 { "" } else { "s" },
                lines.join(", ")
            ),
        ),
        ("Loss", number(u.loss, 6)),
        ("Gradient", format!("norm {}, times {} by clipping", short(u.grad_norm), short(u.clip))),
        ("Size of G", format!("‖G₊‖ = {}, ‖G₋‖ = {}", short(u.g_norms[0]), short(u.g_norms[1]))),
    ];
    if u.weights != [0.0; 2] {
        facts.push(("Weights", format!("w₊ = {}, w₋ = {}", short(u.weights[0]), short(u.weights[1]))));
    }
    let parts: Vec<String> =
        u.parts.iter().map(|(c, size)| format!("{} {}", c.words(), short(*size))).collect();
    facts.push(("Size of Δθ", parts.join(", ")));
    facts
}

fn verdict(d: &Decomposition) -> String {
    let mut sentences = Vec::new();
    for (fit, of) in [(&d.response_fit, "responses"), (&d.token_fit, "tokens")] {
        if let Some(f) = fit {
            sentences.push(format!(
                "Over {} {of} the measured change is {} times the predicted one, R² = {}.",
                f.n,
                number(f.slope, 4),
                number(f.r2, 4)
            ));
        }
    }
    if let Some(order) = d.order {
        sentences.push(format!(
            "The remainder shrinks with the step to the power {} (2 where first order holds and rounding does not count).",
            number(order, 2)
        ));
    }
    if d.cost.forward > 0.0 {
        sentences.push(format!(
            "One prediction took {} forward passes.",
            number(d.cost.prediction / d.cost.forward, 1)
        ));
    }
    sentences.join(" ")
}

fn headings(d: &Decomposition) -> Vec<String> {
    let mut headings: Vec<String> =
        ["record", "kind", "log π", "predicted", "measured", "remainder"].map(String::from).to_vec();
    headings.extend(d.update.parts.iter().map(|(cause, _)| cause.words().to_owned()));
    headings.push("‖A‖".into());
    if !d.kernel.is_empty() {
        headings.push("‖K‖".into());
    }
    let groups = d.responses.first().map(|r| r.groups.iter().map(|(name, _)| name.clone()));
    headings.extend(groups.into_iter().flatten());
    headings
}

fn row(d: &Decomposition, r: &Response) -> Vec<String> {
    let mut row = vec![r.example.to_string(), symbol(&r.kind).to_owned(), number(r.logp, 2)];
    row.extend([r.predicted, r.actual, r.remainder].map(change));
    row.extend(d.update.parts.iter().map(|(cause, _)| change(through(r, *cause))));
    row.push(short(r.a_norm));
    if !d.kernel.is_empty() {
        let found = d.kernel.iter().find(|k| k.example == r.example && k.kind == r.kind);
        let share = |k: &Influence| number(100.0 * k.k_norm_se / k.k_norm, 0);
        row.push(found.map_or("–".into(), |k| format!("{} ± {} %", short(k.k_norm), share(k))));
    }
    row.extend(r.groups.iter().map(|(_, v)| change(*v)));
    row.into_iter().map(|cell| one_line(&cell)).collect()
}

/// A change with four significant digits and its sign.
fn change(x: f64) -> String {
    if x != 0.0 && x.abs() < 1e-3 {
        return format!("{x:+.3e}").replace('-', "−");
    }
    let decimals = 3.0 - x.abs().max(1e-3).log10().floor();
    signed(x, decimals.max(0.0) as usize)
}

fn through(r: &Response, cause: Cause) -> f64 {
    r.causes.iter().filter(|(c, _)| *c == cause).map(|(_, v)| v).sum()
}

/// Why a response rises or falls, in one sentence with the numbers that carry it.
fn explain(r: &Response) -> String {
    let direction = if r.actual >= 0.0 { "rises" } else { "falls" };
    let mut causes: Vec<&(Cause, f64)> = r.causes.iter().filter(|(_, v)| *v != 0.0).collect();
    causes.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    let causes: Vec<String> = causes.iter().map(|(c, v)| format!("{} {}", change(*v), c.words())).collect();
    let most = r.tokens.iter().max_by(|a, b| a.actual.abs().total_cmp(&b.actual.abs()));
    let most = most.map_or(String::new(), |t| {
        format!("; most at the token {:?} ({})", one_line(&t.text), change(t.actual))
    });
    format!(
        "{} of record {} {direction} by {}: {}{most}.",
        symbol(&r.kind),
        r.example,
        change(r.actual.abs()).trim_start_matches('+'),
        causes.join(", ")
    )
}

fn scales(d: &Decomposition) -> Vec<Vec<String>> {
    let header =
        ["part of the step", "predicted (rms over tokens)", "remainder (rms)"].map(String::from).to_vec();
    let rows = d
        .scales
        .iter()
        .map(|s| vec![short(s.scale), format!("{:.3e}", s.predicted), format!("{:.3e}", s.remainder)]);
    std::iter::once(header).chain(rows).collect()
}

fn tokens(r: &Response) -> Value {
    let largest = r.tokens.iter().map(|t| t.actual.abs()).fold(0.0, f64::max);
    let cells: Vec<Value> = r
        .tokens
        .iter()
        .map(|t| {
            let title = format!(
                "log π {}, predicted {}, measured {}",
                number(t.logp, 2),
                change(t.predicted),
                change(t.actual)
            );
            cell(t.actual, largest, &visible(&t.text), title)
        })
        .collect();
    context! { name => format!("record {}, {}", r.example, r.kind), symbol => symbol(&r.kind), cells }
}

fn map(map: &TokenMap) -> Value {
    let largest = map.values.iter().map(|v| v.abs()).fold(0.0, f64::max);
    let n = map.columns.len().max(1);
    let rows: Vec<Value> = map
        .rows
        .iter()
        .zip(map.values.chunks(n))
        .map(|(row, values)| {
            let cells: Vec<Value> = values
                .iter()
                .zip(&map.columns)
                .map(|(&v, column)| {
                    let title = format!(
                        "{} of {} at {}: {} on {} of {}",
                        visible(&row.text),
                        row.response,
                        row.position,
                        change(v),
                        visible(&column.text),
                        column.response
                    );
                    cell(v, largest, "", title)
                })
                .collect();
            context! { name => visible(&row.text), response => row.response.as_str(), cells, total => change(values.iter().sum()) }
        })
        .collect();
    let columns: Vec<Value> = map
        .columns
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let first = i == 0 || map.columns[i - 1].response != c.response;
            context! { name => visible(&c.text), response => c.response.as_str(), symbol => symbol(&c.response), first }
        })
        .collect();
    context! { example => map.example, rows, columns, largest => change(largest) }
}

/// A token's text with its blanks shown.
fn visible(text: &str) -> String {
    let shown = text.replace('\n', "⏎").replace('\t', "⇥");
    if shown.trim().is_empty() { shown.replace(' ', "␣") } else { shown }
}
