//! Distributions before and after a step, as bars side by side.

use plotters::prelude::*;
use std::error::Error;

const BEFORE: RGBColor = RGBColor(150, 150, 150);
const AFTER: RGBColor = RGBColor(200, 40, 40);

/// One chart a row: its title, π before (grey) and after (red).
pub fn draw(rows: &[(String, &[f64], &[f64])]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 220 * rows.len() as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        for ((title, before, after), area) in rows.iter().zip(root.split_evenly((rows.len(), 1))) {
            let high = before.iter().chain(*after).fold(0.0_f64, |a, &b| a.max(b));
            let mut chart = ChartBuilder::on(&area)
                .caption(title, ("sans-serif", 15))
                .margin(6)
                .x_label_area_size(20)
                .y_label_area_size(50)
                .build_cartesian_2d(-0.5..before.len() as f64 - 0.5, 0.0..1.05 * high)?;
            chart.configure_mesh().disable_x_mesh().draw()?;
            for (pi, from, colour) in [(before, -0.4, BEFORE), (after, 0.0, AFTER)] {
                chart.draw_series(pi.iter().enumerate().map(|(label, &p)| {
                    let left = label as f64 + from;
                    Rectangle::new([(left, 0.0), (left + 0.4, p)], colour.filled())
                }))?;
            }
        }
        root.present()?;
    }
    Ok(svg)
}
