//! Numbers, kinds and plain text as a reader sees them.

use crate::data::KINDS;
use crate::statistics::Estimate;
use minijinja::HtmlEscape;

/// The paper's symbol of a response kind; an unknown kind is its own symbol.
pub fn symbol(kind: &str) -> &str {
    KINDS.iter().find(|(name, ..)| *name == kind).map_or(kind, |(_, symbol, _)| symbol)
}

/// What a response kind is; empty for an unknown kind.
pub fn description(kind: &str) -> &'static str {
    KINDS.iter().find(|(name, ..)| *name == kind).map_or("", |(.., what)| what)
}

/// A number with a true minus sign and no negative zero.
pub fn number(x: f64, decimals: usize) -> String {
    let text = format!("{x:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|b| b == b'0' || b == b'.') => digits.to_string(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

/// A number with its sign always written.
pub fn signed(x: f64, decimals: usize) -> String {
    let text = number(x, decimals);
    let zero = text.bytes().all(|b| b == b'0' || b == b'.');
    if zero || text.starts_with('−') { text } else { format!("+{text}") }
}

/// `+1.23 ± 0.45`; the part after ± is one standard error.
pub fn with_error(e: &Estimate, decimals: usize) -> String {
    match e.se {
        Some(se) => format!("{} ± {}", signed(e.mean, decimals), number(se, decimals)),
        None => signed(e.mean, decimals),
    }
}

/// A count with thin groups of three: `12 345` (no-break space).
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(digit);
    }
    out
}

/// A number for an axis or a tooltip: three significant digits, short for large and small ones.
pub fn short(x: f64) -> String {
    let size = x.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        let power = format!("{x:.1e}");
        let (digits, exponent) = power.split_once('e').unwrap_or((&power, "0"));
        let digits = digits.strip_suffix(".0").unwrap_or(digits);
        return format!("{digits}e{exponent}").replace('-', "−");
    }
    let decimals = match size {
        _ if size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ => 4,
    };
    let text = number(x, decimals);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// A value with its standard error, to two digits of the error; to four of the value where there is none.
pub fn measured(value: f64, se: Option<f64>) -> String {
    let place = |x: f64| x.abs().log10().floor();
    let decimals = match se {
        Some(se) if se > 0.0 => 1.0 - place(se),
        _ if value != 0.0 => 3.0 - place(value),
        _ => 0.0,
    };
    if decimals > 6.0 {
        let error = se.map_or(String::new(), |se| format!(" ± {}", short(se)));
        return short(value) + &error;
    }
    let decimals = decimals.max(0.0) as usize;
    let error = se.map_or(String::new(), |se| format!(" ± {}", number(se, decimals)));
    number(value, decimals) + &error
}

/// A tick of an axis of counts: `800`, `12k`, `1.5M`.
pub fn axis_count(x: f64) -> String {
    match x.abs() {
        size if size >= 1e6 => format!("{}M", short(x / 1e6)),
        size if size >= 1e4 => format!("{}k", short(x / 1e3)),
        _ => short(x),
    }
}

/// Symbols with a subscript, as written in plain text: base and subscript.
fn subscripted() -> impl Iterator<Item = (String, &'static str, &'static str)> {
    let of_kinds = KINDS.iter().filter_map(|(_, symbol, _)| symbol.split_once('_'));
    let others = [("‖A‖", "F"), ("− e", "y")];
    of_kinds.chain(others).map(|(base, sub)| (format!("{base}_{sub}"), base, sub))
}

fn set_subscripts(escaped: String, open: &str, close: &str) -> String {
    subscripted()
        .fold(escaped, |text, (plain, base, sub)| text.replace(&plain, &format!("{base}{open}{sub}{close}")))
}

/// Escaped HTML with subscripts set as such.
pub fn rich_html(text: &str) -> String {
    set_subscripts(HtmlEscape(text).to_string(), "<sub>", "</sub>")
}

/// A text element of an SVG, escaped already, with subscripts set as such; what follows one stays below the line.
pub fn set_subscripts_svg(element: &str) -> String {
    let size =
        element.split_once("font-size=\"").and_then(|(_, rest)| rest.split_once('"')?.0.parse::<f64>().ok());
    // In numbers of their own: not every program knows shares of the size around.
    let size = size.unwrap_or(24.0);
    let open = format!("<tspan dy=\"{}\" font-size=\"{}\">", number(0.22 * size, 1), number(0.75 * size, 1));
    set_subscripts(element.to_owned(), &open, "</tspan>")
}

/// Wall time, such as `1 h 02 min`, `1 min 14 s` or `8.4 s`.
pub fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let seconds = seconds.round() as u64;
    if seconds < 3600 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60)
    }
}

/// Text for a line of output: control characters (terminal escapes, newlines) become spaces.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_true_minus_and_no_negative_zero() {
        assert_eq!(number(-152.031, 1), "−152.0");
        assert_eq!(number(-0.001, 2), "0.00");
        assert_eq!(signed(0.0, 1), "0.0");
        assert_eq!(signed(53.06, 1), "+53.1");
        assert_eq!(with_error(&Estimate { mean: -1.0, se: Some(0.25), n: 9 }, 2), "−1.00 ± 0.25");
        assert_eq!(count(1_234_567), "1\u{a0}234\u{a0}567");
    }

    #[test]
    fn short_numbers_keep_three_digits() {
        assert_eq!(short(-5e-7), "−5e−7");
        assert_eq!(short(1_850.0), "1850");
        assert_eq!(short(0.25), "0.25");
        assert_eq!(short(0.0), "0");
        assert_eq!(short(12.5), "12.5");
    }

    #[test]
    fn a_value_has_as_many_digits_as_its_error_allows() {
        assert_eq!(measured(-394.1234, Some(6.21)), "−394.1 ± 6.2");
        assert_eq!(measured(0.04321, Some(0.000_987)), "0.04321 ± 0.00099");
        assert_eq!(measured(1234.5, Some(321.0)), "1234 ± 321");
        assert_eq!(measured(-12.3456, None), "−12.35");
        assert_eq!(measured(0.0, Some(0.0)), "0 ± 0");
        assert_eq!(measured(5e-7, None), "5e−7");
    }

    #[test]
    fn subscripts_are_set_and_everything_else_is_escaped() {
        assert_eq!(rich_html("π(y⁺_gpts) <b>"), "π(y⁺<sub>gpts</sub>) &lt;b&gt;");
        assert_eq!(rich_html("my_kind"), "my_kind");
    }

    #[test]
    fn terminal_escapes_in_a_title_do_not_survive() {
        assert_eq!(one_line("a\u{1b}[31mred\nb"), "a [31mred b");
    }
}
