//! A matrix of probabilities between classes, as shades.

use plotters::prelude::*;
use std::error::Error;

/// Row by row from the top, darker where the probability is larger.
pub fn draw(title: &str, matrix: &[[f64; 10]; 10]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (420, 440)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(24)
            .y_label_area_size(24)
            .build_cartesian_2d(-0.5..9.5, 9.5..-0.5)?;
        let digit = |x: &f64| format!("{x:.0}");
        chart
            .configure_mesh()
            .disable_mesh()
            .x_labels(10)
            .y_labels(10)
            .x_label_formatter(&digit)
            .y_label_formatter(&digit)
            .draw()?;
        let rows = matrix.iter().zip(0..);
        let cells = rows.flat_map(|(row, y)| row.iter().zip(0..).map(move |(&p, x)| (x, y, p)));
        chart.draw_series(cells.map(|(x, y, p): (i32, i32, f64)| {
            // The root makes small probabilities visible.
            let shade = |dark: f64| (255.0 - (255.0 - dark) * p.clamp(0.0, 1.0).sqrt()) as u8;
            let (x, y) = (f64::from(x), f64::from(y));
            let corners = [(x - 0.5, y - 0.5), (x + 0.5, y + 0.5)];
            Rectangle::new(corners, RGBColor(shade(20.0), shade(60.0), shade(140.0)).filled())
        }))?;
        root.present()?;
    }
    Ok(svg)
}
