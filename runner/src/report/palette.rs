//! The colours of pages and figures, each by name, in light and in dark.
//!
//! The colours of lines are far apart for every kind of colour vision, and dark or light enough for text on the
//! paper; a test says how far. Lines differ in dash and marker too.

/// A colour by the name of its CSS variable.
struct Colour {
    name: &'static str,
    light: &'static str,
    dark: &'static str,
}

const fn colour(name: &'static str, light: &'static str, dark: &'static str) -> Colour {
    Colour { name, light, dark }
}

/// The colours; `--tone` is the largest share of one behind text, as on maps of numbers.
const PALETTE: [Colour; 17] = [
    colour("--paper", "#ffffff", "#15171b"),
    colour("--ink", "#1b1d21", "#e4e6ea"),
    colour("--soft", "#5b616b", "#a2a8b2"),
    colour("--line", "#d9dce1", "#353a42"),
    colour("--grid", "#e6e8ec", "#2a2e35"),
    colour("--tint", "#f5f6f8", "#1d2025"),
    colour("--link", "#1f5fa8", "#8bbcf0"),
    colour("--preferred", "#0b4fc4", "#9ccbfa"),
    colour("--dispreferred", "#931f00", "#f0654a"),
    colour("--others", "#00875a", "#3fdc97"),
    colour("--fluent", "#9b6b00", "#f2c331"),
    colour("--shuffled", "#6f2a8c", "#e567ef"),
    colour("--unknown", "#42464d", "#8b9097"),
    colour("--seen", "#00704e", "#4fcb9f"),
    colour("--unseen", "#ad4300", "#f59358"),
    colour("--unmeasured", "#5b616b", "#a2a8b2"),
    colour("--tone", "0.6", "0.42"),
];

/// The variables as CSS: light, and dark on a screen that asks for it.
pub fn css() -> String {
    let block = |of: fn(&Colour) -> &'static str| {
        let all: Vec<String> = PALETTE.iter().map(|c| format!("{}: {};", c.name, of(c))).collect();
        all.join(" ")
    };
    format!(
        ":root {{ color-scheme: light dark; {} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {} }} }}\n",
        block(|c| c.light),
        block(|c| c.dark)
    )
}

/// `text` with every `var(--name)` replaced by the light colour, for a file that stands alone.
pub fn in_light(text: &str) -> String {
    PALETTE.iter().fold(text.to_owned(), |text, c| text.replace(&format!("var({})", c.name), c.light))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::charts::LINE_COLOURS;

    type Rgb = [f64; 3];

    /// Linear light of `#rrggbb`.
    fn linear(hex: &str) -> Rgb {
        std::array::from_fn(|i| {
            let c = f64::from(u8::from_str_radix(&hex[1 + 2 * i..3 + 2 * i], 16).unwrap()) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn times(matrix: &[Rgb; 3], v: Rgb) -> Rgb {
        std::array::from_fn(|i| (0..3).map(|j| matrix[i][j] * v[j]).sum())
    }

    /// CIE L*a*b* under D65.
    fn lab(rgb: Rgb) -> Rgb {
        const XYZ: [Rgb; 3] = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]];
        let white = [0.9505, 1.0, 1.089];
        let xyz = times(&XYZ, rgb.map(|c| c.clamp(0.0, 1.0)));
        let f: Rgb = std::array::from_fn(|i| {
            let t = xyz[i] / white[i];
            if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 }
        });
        [116.0 * f[1] - 16.0, 500.0 * (f[0] - f[1]), 200.0 * (f[1] - f[2])]
    }

    fn luminance(hex: &str) -> f64 {
        let [r, g, b] = linear(hex);
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// WCAG 2's contrast ratio.
    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// Full protanopia, deuteranopia and tritanopia in linear light (Machado, Oliveira & Fernandes 2009).
    const VISIONS: [[Rgb; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ];

    fn find(name: &str) -> &'static Colour {
        PALETTE.iter().find(|c| c.name == name).unwrap()
    }

    #[test]
    fn lines_are_told_apart_with_every_kind_of_colour_vision() {
        for shade in [|c: &Colour| c.light, |c: &Colour| c.dark] {
            for vision in &VISIONS {
                let seen = LINE_COLOURS.map(|name| lab(times(vision, linear(shade(find(name))))));
                for (i, a) in seen.iter().enumerate() {
                    for (j, b) in seen.iter().enumerate().take(i) {
                        let far = (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt();
                        assert!(far > 15.0, "{} and {}: {far}", LINE_COLOURS[i], LINE_COLOURS[j]);
                    }
                }
            }
        }
    }

    #[test]
    fn text_in_every_colour_can_be_read_on_the_paper() {
        let paper = find("--paper");
        let behind = ["--paper", "--line", "--grid", "--tint", "--tone"];
        for c in PALETTE.iter().filter(|c| !behind.contains(&c.name)) {
            for (text, paper) in [(c.light, paper.light), (c.dark, paper.dark)] {
                assert!(contrast(text, paper) >= 4.5, "{}: {text} on {paper}", c.name);
            }
        }
    }

    #[test]
    fn numbers_on_a_map_can_be_read() {
        for shade in [|c: &Colour| c.light, |c: &Colour| c.dark] {
            let [paper, ink, tone] = ["--paper", "--ink", "--tone"].map(|name| shade(find(name)));
            for name in ["--preferred", "--dispreferred"] {
                let tone: f64 = tone.parse().unwrap();
                let channel = |hex: &str, i: usize| {
                    f64::from(u8::from_str_radix(&hex[1 + 2 * i..3 + 2 * i], 16).unwrap())
                };
                let mixed = |i| {
                    (tone * channel(shade(find(name)), i) + (1.0 - tone) * channel(paper, i)).round() as u8
                };
                let behind = format!("#{:02x}{:02x}{:02x}", mixed(0), mixed(1), mixed(2));
                assert!(contrast(ink, &behind) >= 4.5, "{ink} on {behind}: {}", contrast(ink, &behind));
            }
        }
    }

    #[test]
    fn a_file_that_stands_alone_has_no_variable_left() {
        assert_eq!(
            in_light("stroke=\"var(--preferred)\" fill=\"var(--ink)\""),
            "stroke=\"#0b4fc4\" fill=\"#1b1d21\""
        );
        assert!(css().contains("--paper: #15171b;"));
    }
}
