//! A line chart as inline SVG: drawn by plotters, then given the page's
//! colours, dashes and a text alternative.
//!
//! plotters writes colours as numbers. Each line is drawn in a colour that
//! only marks it, and the mark is replaced by a CSS variable and a dash, so
//! that one chart serves light and dark pages and print.

use super::text::{axis_count, rich_svg, short};
use anyhow::{Result, anyhow};
use minijinja::HtmlEscape;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Pixels drawn for each pixel shown; plotters rounds to whole pixels.
const SCALE: u32 = 2;
const INK: RGBColor = RGBColor(0, 0, 0);
const GRID: RGBColor = RGBColor(1, 1, 1);

/// A chart: lines over a shared pair of axes.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Title above the chart.
    pub title: String,
    /// Label of the horizontal axis.
    pub x_label: String,
    /// Label of the vertical axis.
    pub y_label: String,
    /// The lines, each labelled at its end.
    pub lines: Vec<Line>,
    /// Where stages begin, with their names; empty for a chart of one stage.
    pub separators: Vec<(f64, String)>,
    /// Whether a line at 0 belongs to the chart.
    pub zero: bool,
    /// Shown width and height in pixels.
    pub size: (u32, u32),
}

/// A labelled line, in one piece for each stage.
#[derive(Clone, Debug)]
pub struct Line {
    /// Label at its end.
    pub label: String,
    /// Colour and dash.
    pub style: Style,
    /// Samples in order; pieces are not joined.
    pub pieces: Vec<Vec<Sample>>,
}

/// A sample with the half-height of its band.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Horizontal place.
    pub x: f64,
    /// Value.
    pub y: f64,
    /// Half-height of the band around it; 0 for none.
    pub band: f64,
}

/// Beyond this a number is no more drawn than an infinite one.
const LARGEST: f64 = 1e30;

/// Least length of an axis relative to its numbers. plotters lays a grid step by step, and comes to no end where a step is
/// lost in rounding.
const LEAST_SPAN: f64 = 1e-9;

impl Sample {
    fn is_finite(&self) -> bool {
        // Written so that NaN fails.
        [self.x, self.y, self.band].iter().all(|v| v.abs() <= LARGEST)
    }
}

/// Colour (a CSS variable of the page) and dash of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Name of the CSS variable, such as `--preferred`.
    pub colour: &'static str,
    /// SVG dash array at the drawn scale; empty for a solid line.
    pub dash: &'static str,
}

/// Draws a chart. Samples that are not finite are left out.
///
/// # Errors
/// plotters refuses; its message says why.
pub fn draw(chart: &Chart) -> Result<String> {
    let mut svg = String::new();
    paint(chart, &mut svg).map_err(|e| anyhow!("cannot draw the chart '{}': {e}", chart.title))?;
    Ok(dress(chart, &svg))
}

fn paint(chart: &Chart, svg: &mut String) -> Painted {
    let (width, height) = (chart.size.0 * SCALE, chart.size.1 * SCALE);
    let root = SVGBackend::with_string(svg, (width, height)).into_drawing_area();
    let text = |px| font(px).color(&INK);
    let title_place = text(13).pos(Pos::new(HPos::Left, VPos::Top));
    root.draw(&Text::new(chart.title.clone(), (6, 6), title_place))?;
    let longest = chart.lines.iter().map(|l| l.label.chars().count()).max().unwrap_or(0) as u32;
    let (x_range, y_range) = ranges(chart);
    let mut area = ChartBuilder::on(&root)
        .margin_top(if chart.separators.is_empty() { 26 } else { 42 } * SCALE)
        .margin_right((18 + 7 * longest.clamp(8, 22)) * SCALE)
        .margin_left(4 * SCALE)
        .margin_bottom(2 * SCALE)
        .x_label_area_size(36 * SCALE)
        .y_label_area_size(58 * SCALE)
        .build_cartesian_2d(x_range.0..x_range.1, y_range.0..y_range.1)?;
    area.configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(SCALE))
        .disable_x_mesh()
        .axis_style(INK.mix(0.5).stroke_width(SCALE))
        .x_labels(5)
        .y_labels(6)
        .x_label_formatter(&|x| axis_count(*x))
        .y_label_formatter(&|y| short(*y))
        .label_style(text(11))
        .axis_desc_style(text(11))
        .x_desc(&chart.x_label)
        .y_desc(&chart.y_label)
        .draw()?;
    if chart.zero {
        let zero = [(x_range.0, 0.0), (x_range.1, 0.0)];
        area.draw_series([PathElement::new(zero, INK.mix(0.4).stroke_width(SCALE))])?;
    }
    for (x, name) in &chart.separators {
        area.draw_series([PathElement::new(
            [(*x, y_range.0), (*x, y_range.1)],
            INK.mix(0.3).stroke_width(SCALE),
        )])?;
        let (px, _) = area.backend_coord(&(*x, y_range.1));
        let place = text(11).pos(Pos::new(HPos::Left, VPos::Top));
        root.draw(&Text::new(name.clone(), (px + 3 * SCALE as i32, 26 * SCALE as i32), place))?;
    }
    for (i, line) in chart.lines.iter().enumerate() {
        paint_line(&mut area, line, mark(i))?;
    }
    paint_labels(&root, &area, chart)?;
    root.present()?;
    Ok(())
}

type Painted = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;
type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Area<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn font(px: u32) -> FontDesc<'static> {
    // plotters divides font sizes by 1.24 when it writes SVG.
    ("sans-serif", f64::from(px * SCALE) * 1.24).into_font()
}

fn paint_line<'a>(area: &mut Area<'a>, line: &Line, colour: RGBColor) -> Painted {
    for piece in &line.pieces {
        let finite: Vec<Sample> = piece.iter().copied().filter(Sample::is_finite).collect();
        if finite.len() > 1 && finite.iter().any(|s| s.band > 0.0) {
            let upper = finite.iter().map(|s| (s.x, s.y + s.band));
            let lower = finite.iter().rev().map(|s| (s.x, s.y - s.band));
            let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
            area.draw_series([Polygon::new(outline, colour.mix(0.18).filled())])?;
        }
        let path: Vec<(f64, f64)> = finite.iter().map(|s| (s.x, s.y)).collect();
        if let [only] = path[..] {
            area.draw_series([Circle::new(only, 3 * SCALE, colour.filled())])?;
        } else {
            area.draw_series([PathElement::new(path, colour.stroke_width(2 * SCALE))])?;
        }
    }
    Ok(())
}

/// Writes each line's label to the right of the axes, with a thin leader from its end.
fn paint_labels<'a>(root: &Root<'a>, area: &Area<'a>, chart: &Chart) -> Painted {
    let (axes, height) = (area.plotting_area().get_pixel_range(), root.dim_in_pixel().1 as i32);
    let right = axes.0.end;
    let end = |(i, line): (usize, &Line)| {
        let last = line.pieces.iter().flatten().rfind(|s| s.is_finite())?;
        let end = area.backend_coord(&(last.x, last.y));
        Some(Label { line: i, end, y: end.1 })
    };
    let ends = chart.lines.iter().enumerate().filter_map(end).collect();
    let [top, below, gap, near, far] = [20, 46, 14, 7, 9].map(|px| px * SCALE as i32);
    for Label { line, end, y } in spread(ends, top, height - below, gap) {
        let place = font(12).color(&mark(line)).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(chart.lines[line].label.clone(), (right + far, y), place))?;
        let leader = [end, (right + near, y)];
        root.draw(&PathElement::new(leader, mark(line).mix(0.6).stroke_width(1)))?;
    }
    Ok(())
}

/// Ranges that hold every sample and band with some air, never empty.
fn ranges(chart: &Chart) -> ((f64, f64), (f64, f64)) {
    let samples = || chart.lines.iter().flat_map(|l| l.pieces.iter().flatten()).filter(|s| s.is_finite());
    let over = |values: &mut dyn Iterator<Item = f64>| {
        values.filter(|v| v.abs() <= 2.0 * LARGEST).fold(None, |range: Option<(f64, f64)>, v| {
            Some(range.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
        })
    };
    let (x0, x1) = over(&mut samples().map(|s| s.x)).unwrap_or((0.0, 1.0));
    let mut ys = samples().flat_map(|s| [s.y - s.band, s.y + s.band]).chain(chart.zero.then_some(0.0));
    let (y0, y1) = over(&mut ys).unwrap_or((0.0, 1.0));
    // A flat line still needs a height, and one that its size does not swallow.
    let least = |low: f64, high: f64| LEAST_SPAN * low.abs().max(high.abs());
    let air = if y1 - y0 > least(y0, y1) { 0.05 * (y1 - y0) } else { 0.1 * y0.abs().max(0.1) };
    let x1 = if x1 - x0 > least(x0, x1) { x1 } else { x0 + (2.0 * least(x0, x1)).max(1.0) };
    ((x0, x1), (y0 - air, y1 + air))
}

/// The label of a line: where the line ends and at what height the label stands.
#[derive(Clone, Debug)]
struct Label {
    line: usize,
    end: (i32, i32),
    y: i32,
}

/// Moves labels apart, keeping their order.
fn spread(mut labels: Vec<Label>, top: i32, bottom: i32, gap: i32) -> Vec<Label> {
    labels.sort_by_key(|label| (label.y, label.line));
    let gap = gap.min((bottom - top) / (labels.len().max(1) as i32));
    for i in 1..labels.len() {
        labels[i].y = labels[i].y.max(labels[i - 1].y + gap);
    }
    let mut floor = bottom;
    for label in labels.iter_mut().rev() {
        label.y = label.y.min(floor);
        floor = label.y - gap;
    }
    labels
}

/// The colour that marks line `i` until [`dress`] replaces it.
fn mark(i: usize) -> RGBColor {
    RGBColor(2, (i / 256) as u8, (i % 256) as u8)
}

fn hex(colour: RGBColor) -> String {
    format!("\"#{:02X}{:02X}{:02X}\"", colour.0, colour.1, colour.2)
}

fn dress(chart: &Chart, svg: &str) -> String {
    let mut body = svg.split_once('>').map_or(svg, |(_, body)| body).to_string();
    body = body.replace(&hex(INK), "\"currentColor\"").replace(&hex(GRID), "\"var(--grid)\"");
    for (i, line) in chart.lines.iter().enumerate() {
        let (mark, Style { colour, dash }) = (hex(mark(i)), line.style);
        let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
        body = body
            .replace(&format!("stroke={mark}"), &format!("stroke=\"var({colour})\"{dash}"))
            .replace(&format!("fill={mark}"), &format!("fill=\"var({colour})\""));
        let label = format!("\n{}\n</text>", HtmlEscape(&line.label));
        body = body.replace(&label, &format!("\n{}\n</text>", rich_svg(&line.label)));
    }
    let (width, height) = (chart.size.0 * SCALE, chart.size.1 * SCALE);
    format!(
        "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\">\n\
         <title>{}</title>\n<desc>{}</desc>{body}",
        HtmlEscape(&chart.title),
        HtmlEscape(&describe(chart)),
    )
}

/// The chart in words, for those who do not see it.
fn describe(chart: &Chart) -> String {
    let lines = chart.lines.iter().filter_map(|line| {
        let finite: Vec<&Sample> = line.pieces.iter().flatten().filter(|s| s.is_finite()).collect();
        let (first, last) = (finite.first()?, finite.last()?);
        Some(format!("{} from {} to {}", line.label, short(first.y), short(last.y)))
    });
    format!("{} against {}: {}.", chart.y_label, chart.x_label, lines.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(pieces: Vec<Vec<Sample>>) -> Chart {
        let style = Style { colour: "--preferred", dash: "8 4" };
        Chart {
            title: "a <b> & \"c\"".into(),
            x_label: "examples".into(),
            y_label: "nats".into(),
            lines: vec![Line { label: "y⁺_gpts".into(), style, pieces }],
            size: (400, 300),
            ..Chart::default()
        }
    }

    #[test]
    fn a_chart_has_the_pages_colours_and_a_text_alternative() {
        let samples = [0.0, 1.0, 2.0].map(|x| Sample { x, y: -x, band: 0.1 });
        let svg = draw(&chart(vec![samples.to_vec()])).unwrap();
        assert!(
            svg.contains("role=\"img\"") && svg.contains("<desc>nats against examples: y⁺_gpts from 0 to −2")
        );
        assert!(svg.contains("stroke=\"var(--preferred)\" stroke-dasharray=\"8 4\""), "{svg}");
        assert!(svg.contains("y⁺<tspan"));
        assert!(svg.contains("<title>a &lt;b&gt; &amp; &quot;c&quot;</title>"));
        assert!(!svg.contains("<b>") && !svg.contains("\"#"), "a number was left as colour: {svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn extreme_flat_and_single_samples_give_a_chart_without_nan() {
        let sample = |x, y| Sample { x, y, band: 0.0 };
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
            let svg = draw(&chart(vec![case.clone()])).unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{case:?}");
            // One sample that can be drawn is a dot, whatever stands beside it.
            let drawable = case.iter().filter(|s| s.is_finite()).count();
            assert_eq!(svg.contains("<circle"), drawable == 1, "{case:?}");
        }
    }

    #[test]
    fn labels_keep_their_order_and_do_not_overlap() {
        let ends = [50, 52, 51, 300, 301];
        let ends = ends.iter().enumerate().map(|(line, &y)| Label { line, end: (0, y), y }).collect();
        let placed = spread(ends, 0, 310, 20);
        let order: Vec<usize> = placed.iter().map(|label| label.line).collect();
        assert_eq!(order, [0, 2, 1, 3, 4]);
        assert!(placed.windows(2).all(|w| w[1].y - w[0].y >= 20), "{placed:?}");
        assert!(placed.iter().all(|label| label.y <= 310));
    }
}
