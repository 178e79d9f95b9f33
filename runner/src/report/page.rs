//! What all pages share: a frame with its style, filters, and the escaping of everything that comes from data.

use super::text::{count, number, rich_html};
use anyhow::{Context, Result};
use minijinja::{Environment, Value, context};

/// Renders `template`, which fills the blocks of `frame.html`, with `values`: no network, no script.
///
/// # Errors
/// The template library refuses.
pub fn render(template: &'static str, values: Value) -> Result<String> {
    let mut environment = Environment::new();
    environment.add_filter("rich", |text: &str| Value::from_safe_string(rich_html(text)));
    environment.add_filter("count", count);
    environment.add_template("frame.html", include_str!("frame.html")).context("the pages' frame")?;
    // Names that end so are escaped.
    environment.add_template("page.html", template).context("the page's template")?;
    let style = Value::from_safe_string(include_str!("page.css").to_owned());
    let page = environment.get_template("page.html")?.render(context! { style, ..values });
    page.context("the page's template")
}

/// A cell of a heat map: its share of the largest value, its sign, what it says.
pub fn cell(value: f64, largest: f64, text: &str, title: String) -> Value {
    let share = if largest > 0.0 { (value.abs() / largest).min(1.0) } else { 0.0 };
    context! {
        text => text,
        title => title,
        class => if value >= 0.0 { "up" } else { "down" },
        // The square root lets small values be seen beside large ones.
        share => number(100.0 * share.sqrt(), 1),
    }
}
