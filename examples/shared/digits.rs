//! Digits drawn by hand: strokes on the unit square, moved, slanted and scaled a little, with noise.
//!
//! 4 and 9 share their right side and differ in how the top is closed; 3, 5 and 8 share their curves.

use super::idx::Images;
use super::random::{Random, normal, seeded, uniform};

/// Rows and columns.
const SIZE: usize = 14;

/// Half the width of a stroke.
const PEN: f64 = 0.07;

type Point = (f64, f64);

/// The strokes of a digit as corners of a line, x to the right and y down.
fn strokes(digit: usize) -> &'static [&'static [Point]] {
    const TOP: f64 = 0.08;
    const MIDDLE: f64 = 0.48;
    const BOTTOM: f64 = 0.92;
    match digit {
        0 => &[&[(0.5, TOP), (0.78, 0.3), (0.78, 0.7), (0.5, BOTTOM), (0.22, 0.7), (0.22, 0.3), (0.5, TOP)]],
        1 => &[&[(0.35, 0.25), (0.52, TOP), (0.52, BOTTOM)]],
        2 => &[&[(0.22, 0.25), (0.5, TOP), (0.76, 0.28), (0.22, BOTTOM), (0.8, BOTTOM)]],
        3 => &[&[
            (0.24, 0.16),
            (0.5, TOP),
            (0.74, 0.26),
            (0.48, MIDDLE),
            (0.76, 0.7),
            (0.5, BOTTOM),
            (0.22, 0.82),
        ]],
        4 => &[&[(0.3, TOP), (0.24, MIDDLE), (0.72, MIDDLE)], &[(0.72, TOP), (0.7, BOTTOM)]],
        5 => &[&[
            (0.74, TOP),
            (0.3, TOP),
            (0.27, 0.42),
            (0.48, MIDDLE),
            (0.76, 0.7),
            (0.5, BOTTOM),
            (0.22, 0.82),
        ]],
        6 => &[&[
            (0.66, TOP),
            (0.3, 0.4),
            (0.24, 0.74),
            (0.5, BOTTOM),
            (0.76, 0.72),
            (0.5, 0.54),
            (0.26, 0.68),
        ]],
        7 => &[&[(0.22, TOP), (0.78, TOP), (0.44, BOTTOM)]],
        8 => &[
            &[(0.5, TOP), (0.74, 0.26), (0.48, MIDDLE), (0.26, 0.26), (0.5, TOP)],
            &[(0.48, MIDDLE), (0.76, 0.7), (0.5, BOTTOM), (0.24, 0.7), (0.48, MIDDLE)],
        ],
        _ => &[
            &[(0.72, 0.24), (0.48, TOP), (0.26, 0.28), (0.46, MIDDLE), (0.72, 0.34)],
            &[(0.72, TOP), (0.7, BOTTOM)],
        ],
    }
}

/// `count` digits, each as often as any other, in an order without pattern.
pub fn draw(count: usize, seed: u64) -> Images {
    let mut random = seeded(seed);
    let mut digits: Vec<usize> = (0..count).map(|i| i % 10).collect();
    for i in (1..count).rev() {
        digits.swap(i, (uniform(&mut random) * (i + 1) as f64) as usize);
    }
    let pixels = digits.iter().map(|&digit| image(digit, &mut random)).collect();
    Images { size: (SIZE, SIZE), pixels, digits }
}

fn image(digit: usize, random: &mut Random) -> Vec<f64> {
    let mut about = |mean: f64, deviation: f64| mean + deviation * normal(random);
    let (x, y, slant) = (about(0.5, 0.05), about(0.5, 0.05), about(0.0, 0.12));
    let (width, height) = (about(0.9, 0.08), about(0.9, 0.06));
    let lines: Vec<Vec<Point>> = strokes(digit)
        .iter()
        .map(|line| {
            let place = |&(px, py): &Point| {
                let (dx, dy) = (about(px - 0.5, 0.025), about(py - 0.5, 0.025));
                (x + width * (dx - slant * dy), y + height * dy)
            };
            line.iter().map(place).collect()
        })
        .collect();
    let mut pixel = |i: usize| {
        let at = |k: usize| (k as f64 + 0.5) / SIZE as f64;
        let point = (at(i % SIZE), at(i / SIZE));
        let segments = lines.iter().flat_map(|line| line.windows(2));
        let distance = segments.map(|ends| distance(point, ends[0], ends[1])).fold(f64::INFINITY, f64::min);
        let ink = (1.5 - distance / PEN).clamp(0.0, 1.0);
        (ink + 0.1 * normal(random)).clamp(0.0, 1.0)
    };
    (0..SIZE * SIZE).map(&mut pixel).collect()
}

/// From a point to the segment between two others.
fn distance((x, y): Point, (ax, ay): Point, (bx, by): Point) -> f64 {
    let (dx, dy) = (bx - ax, by - ay);
    let squared = (dx * dx + dy * dy).max(f64::MIN_POSITIVE);
    let along = (((x - ax) * dx + (y - ay) * dy) / squared).clamp(0.0, 1.0);
    (x - ax - along * dx).hypot(y - ay - along * dy)
}
