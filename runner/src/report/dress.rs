//! What makes a drawing a chart of a page or a file: its colours and dashes, a group for each line, and the chart in
//! words.
//!
//! One drawing serves light and dark pages and print, because its colours are CSS variables. In a page each line is a
//! group with what the page's script needs: its keys, and its values for all moments of the chart.

use super::paint::{GRID, INK, Placed, hex, mark};
use super::palette;
use super::svg::{Chart, Form, Line, SCALE, Style};
use super::text::{set_subscripts_svg, short};
use minijinja::HtmlEscape;

/// The drawing `svg` of `chart` in the dress that `form` asks for.
pub fn dress(chart: &Chart, placed: &Placed, svg: &str, form: Form) -> String {
    let [width, height] = [chart.size.0, chart.size.1].map(|shown| shown * SCALE);
    let (title, words) = (HtmlEscape(&chart.title), describe(chart));
    let alternative = format!("<title>{title}</title>\n<desc>{}</desc>\n", HtmlEscape(&words));
    let view = format!("viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\"");
    let body = grouped(chart, placed, svg, form);
    match form {
        Form::Page => {
            let moments: Vec<String> = placed.moments.iter().map(|(x, name)| format!("{x} {name}")).collect();
            format!(
                "<svg class=\"chart\" role=\"img\" {view} data-plot=\"{} {}\" data-moments=\"{}\">\n{alternative}{body}</svg>\n",
                placed.plot.0,
                placed.plot.1,
                HtmlEscape(&moments.join("\n"))
            )
        }
        Form::File => {
            let paper = format!("<rect width=\"{width}\" height=\"{height}\" fill=\"var(--paper)\"/>\n");
            let head = format!(
                "<svg role=\"img\" width=\"{}\" height=\"{}\" {view}>\n{alternative}",
                chart.size.0, chart.size.1
            );
            let body = palette::in_light(&(paper + &body)).replace("currentColor", "#000000");
            let file = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{head}{body}</svg>\n");
            // XML knows no other control characters.
            file.replace(|c: char| c.is_control() && c != '\n', " ")
        }
    }
}

/// A short line in a style, for a legend.
pub fn swatch(style: Style) -> String {
    let (x, y) = (30, 14);
    let outline: Vec<String> = style.marker.iter().map(|(dx, dy)| format!("{},{}", x + dx, y + dy)).collect();
    let Style { colour, .. } = style;
    format!(
        "<svg class=\"swatch\" viewBox=\"0 0 60 28\" aria-hidden=\"true\"><path d=\"M0 {y}H60\" stroke=\"var({colour})\"{} \
         stroke-width=\"4\"/><polygon points=\"{}\" fill=\"var({colour})\"/></svg>",
        dash(style),
        outline.join(" ")
    )
}

fn dash(style: Style) -> String {
    if style.dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{}\"", style.dash) }
}

/// What plotters drew, the parts of each line in a group of its own.
fn grouped(chart: &Chart, placed: &Placed, svg: &str, form: Form) -> String {
    let body = svg.split_once('>').map_or(svg, |(_, body)| body).replace("</svg>", "");
    // Now every element begins a line, and nothing else does so with a bracket: text has none.
    let body = body.replace("\n</text>", "</text>");
    let marks: Vec<String> = (0..chart.lines.len()).map(|i| hex(mark(i))).collect();
    let (mut ground, mut parts) = (String::new(), vec![String::new(); marks.len()]);
    for element in body.split("\n<").map(|e| e.trim().trim_start_matches('<')).filter(|e| !e.is_empty()) {
        let element =
            if element.starts_with("text") { set_subscripts_svg(element) } else { element.to_owned() };
        match marks.iter().position(|mark| element.contains(mark.as_str())) {
            Some(i) => parts[i] += &format!("<{}\n", coloured(&element, &marks[i], chart.lines[i].style)),
            None => ground += &format!("<{element}\n"),
        }
    }
    let ground = ground.replace(&hex(INK), "\"currentColor\"").replace(&hex(GRID), "\"var(--grid)\"");
    let lines = chart.lines.iter().zip(&parts).enumerate().map(|(i, (line, part))| {
        let data = if form == Form::Page { data(line, placed.values.get(i)) } else { String::new() };
        format!("<g class=\"line\"{data}>\n{part}</g>\n")
    });
    ground + &lines.collect::<String>()
}

fn coloured(element: &str, mark: &str, style: Style) -> String {
    let colour = style.colour;
    element
        .replace(&format!("stroke={mark}"), &format!("stroke=\"var({colour})\"{}", dash(style)))
        .replace(&format!("fill={mark}"), &format!("fill=\"var({colour})\""))
}

fn data(line: &Line, values: Option<&Vec<Option<(i32, String)>>>) -> String {
    let value = |value: &Option<(i32, String)>| match value {
        Some((y, words)) => format!("{y} {words}"),
        None => String::new(),
    };
    let values: Vec<String> = values.into_iter().flatten().map(value).collect();
    let keys: Vec<String> = line.keys.iter().map(ToString::to_string).collect();
    format!(
        " data-keys=\"{}\" data-values=\"{}\"",
        HtmlEscape(&keys.join("\n")),
        HtmlEscape(&values.join("\n"))
    )
}

/// The chart in words, for those who do not see it: where each line begins, turns and ends.
fn describe(chart: &Chart) -> String {
    let lines: Vec<String> = chart.lines.iter().filter_map(|line| in_words(line, &chart.x_label)).collect();
    format!("{} against {}: {}.", chart.y_label, chart.x_label, lines.join("; "))
}

fn in_words(line: &Line, x_label: &str) -> Option<String> {
    let ((_, first), (_, last)) = (line.samples().next()?, line.samples().next_back()?);
    let turn = |what: &str, sign: f64| {
        let (stage, top) = line.samples().max_by(|a, b| (sign * a.1.y).total_cmp(&(sign * b.1.y)))?;
        let beyond = sign * top.y > (sign * first.y).max(sign * last.y) && short(top.y) != short(first.y);
        beyond.then(|| format!(" {what} {} ({})", short(top.y), top.moment(stage, x_label)))
    };
    let turns: String = [turn("over", 1.0), turn("under", -1.0)].into_iter().flatten().collect();
    Some(format!("{} from {}{turns} to {}", line.label, short(first.y), short(last.y)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::svg::{Key, Piece, Sample, draw, marker};

    fn chart(pieces: Vec<Vec<Sample>>) -> Chart {
        let style = Style { colour: "--preferred", dash: "8 4", marker: marker::UP };
        let piece = |samples| Piece { stage: "dpo".into(), samples };
        let pieces = pieces.into_iter().map(piece).collect();
        let keys = vec![Key::Kind("cho\"sen".into())];
        Chart {
            title: "a <b> & \"c\"".into(),
            x_label: "examples".into(),
            y_label: "nats".into(),
            lines: vec![Line { label: "y⁺_gpts".into(), keys, style, pieces }],
            size: (400, 300),
            ..Chart::default()
        }
    }

    fn sample(x: f64, y: f64) -> Sample {
        Sample { x, y, ..Sample::default() }
    }

    fn probed(step: usize, y: f64) -> Sample {
        Sample {
            examples: Some(4 * step),
            step: Some(step),
            se: Some(0.5),
            band: 0.1,
            ..sample(4.0 * step as f64, y)
        }
    }

    #[test]
    fn a_chart_has_the_pages_colours_and_a_text_alternative() {
        let samples = vec![probed(0, 0.0), probed(1, 4.0), probed(2, -2.0)];
        let svg = draw(&chart(vec![samples]), Form::Page).unwrap();
        assert!(svg.contains("role=\"img\""), "{svg}");
        let words =
            "<desc>nats against examples: y⁺_gpts from 0 over 4 (dpo, step 1, 4 examples) to −2.</desc>";
        assert!(svg.contains(words), "{svg}");
        assert!(svg.contains("stroke=\"var(--preferred)\" stroke-dasharray=\"8 4\""), "{svg}");
        assert!(svg.contains("y⁺<tspan"));
        assert!(svg.contains("<title>a &lt;b&gt; &amp; &quot;c&quot;</title>"));
        assert!(!svg.contains("<b>") && !svg.contains("\"#"), "a number was left as colour: {svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn a_line_is_a_group_with_its_keys_and_a_value_for_every_moment() {
        let (early, late) =
            (vec![probed(0, 0.0), probed(1, 4.0)], vec![sample(f64::NAN, 1.0), probed(2, -2.0)]);
        let svg = draw(&chart(vec![early, late]), Form::Page).unwrap();
        let group = svg.split("<g class=\"line\"").nth(1).unwrap();
        let group = group.split("</g>").next().unwrap();
        assert!(group.contains("data-keys=\"kind cho&quot;sen\""), "{group}");
        assert_eq!(group.matches("0.00 ± 0.50").count() + group.matches("4.00 ± 0.50").count(), 2, "{group}");
        assert!(group.contains("−2.00 ± 0.50") && group.contains("<polyline") && group.contains("<text"));
        // A band, and two markers of the piece that has more than one sample.
        assert_eq!(group.matches("<polygon").count(), 3, "{group}");
        let moments = svg.split("data-moments=\"").nth(1).unwrap().split('"').next().unwrap();
        let words: Vec<&str> = moments.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(words, ["dpo, step 0, 0 examples", "dpo, step 1, 4 examples", "dpo, step 2, 8 examples"]);
        assert!(
            !svg.split("<g class").next().unwrap().contains("--preferred"),
            "part of the line outside its group"
        );
    }

    #[test]
    fn a_file_stands_alone() {
        let mut chart = chart(vec![vec![probed(0, 0.0), probed(1, 4.0)]]);
        chart.title += "\u{1b}[31m";
        let svg = draw(&chart, Form::File).unwrap();
        assert!(!svg.contains('\u{1b}'), "what XML does not know: {svg}");
        assert!(svg.starts_with("<?xml"), "{svg}");
        assert!(svg.contains("width=\"400\" height=\"300\" viewBox=\"0 0 800 600\""));
        assert!(svg.contains("<rect width=\"800\" height=\"600\" fill=\"#ffffff\"/>"));
        for of_pages in ["var(", "currentColor", "data-", "class=\"chart\"", "%"] {
            assert!(!svg.contains(of_pages), "{of_pages}: {svg}");
        }
        assert_eq!(svg.matches("font-family").count(), svg.matches("font-family=\"sans-serif\"").count());
    }

    #[test]
    fn extreme_flat_and_single_samples_give_a_chart_without_nan() {
        let cases = [
            vec![],
            vec![sample(0.0, 0.0)],
            vec![sample(0.0, -5.0), sample(10.0, -5.0)],
            vec![sample(0.0, f64::NAN), sample(1.0, f64::INFINITY), sample(2.0, 1.0)],
            vec![sample(0.0, -1e9), sample(1.0, 1e-9)],
            // A grid between these would never come to its end.
            vec![sample(0.0, -1.7e308), sample(1.0, 1.7e308), sample(2.0, 1.0)],
            vec![sample(0.0, 1e16), sample(1.0, 1e16 + 2.0)],
            vec![sample(1.8e19, 0.0), sample(1.8e19 + 4096.0, 1.0)],
        ];
        for case in cases {
            let svg = draw(&chart(vec![case.clone()]), Form::Page).unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{case:?}");
            // One sample that can be drawn is a dot, whatever stands beside it.
            let drawable = case.iter().filter(|s| s.is_finite()).count();
            assert_eq!(svg.contains("<circle"), drawable == 1, "{case:?}");
        }
    }
}
