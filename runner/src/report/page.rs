//! What all pages share: a frame with its style, script and policy, filters, and the escaping of everything that comes
//! from data.

use super::charts::Figure;
use super::palette;
use super::svg::{Form, Key, Style, draw, swatch};
use super::text::{count, rich_html};
use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use minijinja::{Environment, Value, context};
use sha2::{Digest, Sha256};

const SCRIPT: &str = include_str!("page.js");

/// Renders `template`, which fills the blocks of `frame.html`, with `values`.
///
/// A page is one file and needs no network. Its policy lets a browser run the script and apply the style that are
/// written here, known by their hashes, and nothing else: were an escape forgotten, what came from data would still not
/// run, load or send anything.
///
/// # Errors
/// The template library refuses.
pub fn render(template: &'static str, values: Value) -> Result<String> {
    let mut environment = Environment::new();
    environment.add_filter("rich", |text: &str| Value::from_safe_string(rich_html(text)));
    environment.add_filter("count", count);
    environment.add_template("frame.html", include_str!("frame.html")).context("the pages' frame")?;
    environment.add_template("parts.html", include_str!("parts.html")).context("the pages' parts")?;
    // Names that end so are escaped.
    environment.add_template("page.html", template).context("the page's template")?;
    let style = palette::css() + include_str!("page.css");
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        hash(&style),
        hash(SCRIPT)
    );
    let [style, script, policy] = [style, SCRIPT.to_owned(), policy].map(Value::from_safe_string);
    let page = environment.get_template("page.html")?.render(context! { style, script, policy, ..values });
    page.context("the page's template")
}

fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// A figure with its charts drawn.
///
/// # Errors
/// The charting library refuses.
pub fn figure(figure: &Figure) -> Result<Value> {
    let charts: Vec<String> = figure.charts.iter().map(|c| draw(c, Form::Page)).collect::<Result<_>>()?;
    let charts: Vec<Value> = charts.into_iter().map(Value::from_safe_string).collect();
    Ok(context! {
        id => figure.id.as_str(),
        title => figure.title.as_str(),
        caption => figure.caption.as_str(),
        small => figure.is_small(),
        charts,
    })
}

/// A group of buttons that show and hide lines: its name, and for each button the key, the style and the words.
pub fn legend<'a>(name: &str, buttons: impl Iterator<Item = (Key, Style, &'a str)>) -> Value {
    let button = |(key, style, words): (Key, Style, &str)| {
        context! { key => key.to_string(), swatch => Value::from_safe_string(swatch(style)), words }
    };
    context! { name, buttons => buttons.map(button).collect::<Vec<_>>() }
}

/// A cell of a heat map: its share of the largest value in twentieths, its sign, what it says.
pub fn cell(value: f64, largest: f64, text: &str, title: String) -> Value {
    let share = if largest > 0.0 { (value.abs() / largest).min(1.0) } else { 0.0 };
    context! {
        text => text,
        title => title,
        class => if value >= 0.0 { "up" } else { "down" },
        // The square root lets small values be seen beside large ones.
        share => (20.0 * share.sqrt()).round() as usize,
    }
}
