//! Draws a chart by plotters, each line in a colour that only marks it: plotters writes colours as numbers, and
//! [`super::dress`] replaces the marks.

use super::svg::{Chart, LARGEST, Line, Marker, Ranges, SCALE, Sample};
use super::text::{axis_count, measured, short};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Stands for the ink of the page.
pub const INK: RGBColor = RGBColor(0, 0, 0);
/// Stands for the lines of the grid.
pub const GRID: RGBColor = RGBColor(1, 1, 1);
/// Most markers of a line's piece.
const MARKERS: usize = 16;

/// Where things stand in a drawing, in drawn pixels.
#[derive(Clone, Debug, Default)]
pub struct Placed {
    /// Upper and lower end of the axes.
    pub plot: (i32, i32),
    /// The horizontal places with samples, and what each is called.
    pub moments: Vec<(i32, String)>,
    /// For each line and moment, the vertical place and the value in words.
    pub values: Vec<Vec<Option<(i32, String)>>>,
}

/// Draws `chart` into `svg`.
///
/// # Errors
/// plotters refuses.
pub fn paint(chart: &Chart, svg: &mut String) -> Painted<Placed> {
    let (width, height) = (chart.size.0 * SCALE, chart.size.1 * SCALE);
    let root = SVGBackend::with_string(svg, (width, height)).into_drawing_area();
    let text = |px| font(px).color(&INK);
    let title_place = text(13).pos(Pos::new(HPos::Left, VPos::Top));
    root.draw(&Text::new(chart.title.clone(), (6, 6), title_place))?;
    let longest = chart.lines.iter().map(|l| l.label.chars().count()).max().unwrap_or(0) as u32;
    let (x_range, y_range) = chart.ranges.unwrap_or_else(|| ranges(&chart.lines, chart.zero));
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
        paint_markers(&root, &area, line, mark(i))?;
    }
    paint_labels(&root, &area, chart)?;
    root.present()?;
    Ok(placed(&area, chart))
}

type Painted<T = ()> = std::result::Result<T, DrawingAreaErrorKind<std::io::Error>>;
type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Area<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn font(px: u32) -> FontDesc<'static> {
    // plotters divides font sizes by 1.24 when it writes SVG.
    ("sans-serif", f64::from(px * SCALE) * 1.24).into_font()
}

fn paint_line<'a>(area: &mut Area<'a>, line: &Line, colour: RGBColor) -> Painted {
    for piece in &line.pieces {
        let finite: Vec<Sample> = piece.samples.iter().copied().filter(Sample::is_finite).collect();
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

/// Marks samples, at most [`MARKERS`] of a piece; a single sample is a dot already.
fn paint_markers<'a>(root: &Root<'a>, area: &Area<'a>, line: &Line, colour: RGBColor) -> Painted {
    let marker: Marker = line.style.marker;
    for piece in line.pieces.iter().filter(|_| !marker.is_empty()) {
        let finite: Vec<&Sample> = piece.samples.iter().filter(|s| s.is_finite()).collect();
        if finite.len() < 2 {
            continue;
        }
        for sample in finite.iter().step_by(finite.len().div_ceil(MARKERS)) {
            let (x, y) = area.backend_coord(&(sample.x, sample.y));
            let outline: Vec<(i32, i32)> = marker.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
            root.draw(&Polygon::new(outline, colour.filled()))?;
        }
    }
    Ok(())
}

/// Writes each line's label to the right of the axes, with a thin leader from its end.
fn paint_labels<'a>(root: &Root<'a>, area: &Area<'a>, chart: &Chart) -> Painted {
    let (axes, height) = (area.plotting_area().get_pixel_range(), root.dim_in_pixel().1 as i32);
    let right = axes.0.end;
    let end = |(i, line): (usize, &Line)| {
        let (_, last) = line.samples().next_back()?;
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

/// Least length of an axis relative to its numbers. plotters lays a grid step by step, and comes to no end where a step is
/// lost in rounding.
const LEAST_SPAN: f64 = 1e-9;

/// Ranges that hold every sample and band with some air, never empty.
pub fn ranges(lines: &[Line], zero: bool) -> Ranges {
    let samples = || lines.iter().flat_map(Line::samples).map(|(_, sample)| sample);
    let over = |values: &mut dyn Iterator<Item = f64>| {
        values.filter(|v| v.abs() <= 2.0 * LARGEST).fold(None, |range: Option<(f64, f64)>, v| {
            Some(range.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
        })
    };
    let (x0, x1) = over(&mut samples().map(|s| s.x)).unwrap_or((0.0, 1.0));
    let mut ys = samples().flat_map(|s| [s.y - s.band, s.y + s.band]).chain(zero.then_some(0.0));
    let (y0, y1) = over(&mut ys).unwrap_or((0.0, 1.0));
    // A flat line still needs a height, and one that its size does not swallow.
    let least = |low: f64, high: f64| LEAST_SPAN * low.abs().max(high.abs());
    let air = if y1 - y0 > least(y0, y1) { 0.05 * (y1 - y0) } else { 0.1 * y0.abs().max(0.1) };
    let x1 = if x1 - x0 > least(x0, x1) { x1 } else { x0 + (2.0 * least(x0, x1)).max(1.0) };
    ((x0, x1), (y0 - air, y1 + air))
}

/// Where samples stand; moments in order from left to right.
fn placed(area: &Area, chart: &Chart) -> Placed {
    let mut moments: Vec<(f64, String)> = Vec::new();
    let name = |stage: &str, sample: &Sample| sample.moment(stage, &chart.x_label);
    for (stage, sample) in chart.lines.iter().flat_map(Line::samples) {
        let name = name(stage, sample);
        if !moments.iter().any(|(_, known)| *known == name) {
            moments.push((sample.x, name));
        }
    }
    moments.sort_by(|a, b| a.0.total_cmp(&b.0));
    let values = |line: &Line| {
        let mut values = vec![None; moments.len()];
        for (stage, sample) in line.samples() {
            let name = name(stage, sample);
            if let Some(at) = moments.iter().position(|(_, known)| *known == name) {
                let (_, y) = area.backend_coord(&(sample.x, sample.y));
                values[at] = Some((y, measured(sample.y, sample.se)));
            }
        }
        values
    };
    let plot = area.plotting_area().get_pixel_range().1;
    // One within the axes: plotters adds up pixels in i32, and 0 may lie further from a short axis than these reach.
    let any_y = area.y_range().start;
    Placed {
        plot: (plot.start, plot.end),
        values: chart.lines.iter().map(values).collect(),
        moments: moments.into_iter().map(|(x, name)| (area.backend_coord(&(x, any_y)).0, name)).collect(),
    }
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

/// The colour that marks line `i`.
pub fn mark(i: usize) -> RGBColor {
    RGBColor(2, (i / 256) as u8, (i % 256) as u8)
}

/// The colour as plotters writes it.
pub fn hex(colour: RGBColor) -> String {
    format!("\"#{:02X}{:02X}{:02X}\"", colour.0, colour.1, colour.2)
}

#[cfg(test)]
mod tests {
    use super::*;

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
