//! The paper's simulation of the squeezing effect (App. E.2, Fig. 20), with exact predictions.
//!
//! Softmax regression z = W·φ with frozen Gaussian features; one step of gradient descent on W, or
//! of ascent to unlearn a label. What matters is the effective step s = η‖φ‖²: figures made with the
//! same η and other features differ. Who rises is not read off the picture but predicted: after a
//! negative step a label i ≠ y rises exactly if π_i > τ(s), for every s (N4).
//!
//! ```text
//! step                         s  y   π(y)               y*  π(y*)          τ(s)    rise
//! learn 21, flat π          2.47  21  2e-2 → 2e-1      4  0.025 → 0.020       –   1 as predicted
//! unlearn 42, flat π       -2.47  42  2e-2 → 2e-3      4  0.025 → 0.026  +0.012  49 as predicted
//! unlearn the top mode     -2.47  11  4e-1 → 1e-1     10  0.144 → 0.256  -0.091  49 as predicted
//! unlearn 42, in a valley  -2.47  42  3e-3 → 1e-4     11  0.429 → 0.642  +0.267   1 as predicted
//! unlearn 42 of 1000      -47.33  42  3e-4 → 1e-26    97  0.129 → 0.979  +0.087   1 as predicted
//! ```
//!
//! The first row learns, and there the exact change of log π is the prediction. Draws the
//! distributions before and after to `squeezing.svg`, or to the file named on the command line.

mod shared {
    pub mod bars;
    #[cfg(test)]
    pub mod quoted;
    pub mod random;
}

use ldyn_core::decomposition::{exact_into, regression_step_into};
use ldyn_core::simplex::Distribution;
use ldyn_core::squeezing::NegativeStep;
use ldyn_core::toy::{self, Regression};
use shared::bars;
use shared::random::{normal, seeded};
use std::fmt::Write;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// One step: the distributions around it, and what was predicted.
struct Panel {
    name: &'static str,
    label: usize,
    /// s; negative for a step that unlearns.
    step: f64,
    before: Vec<f64>,
    after: Vec<f64>,
    runner_up: usize,
    threshold: Option<f64>,
    /// The labels that should rise.
    risers: Vec<usize>,
}

fn main() -> Outcome<()> {
    let panels = simulate()?;
    print!("{}", table(&panels));
    let path = std::env::args().nth(1).unwrap_or_else(|| "squeezing.svg".into());
    std::fs::write(&path, draw(&panels)?)?;
    println!("{path}: π before (grey) and after (red)");
    Ok(())
}

fn simulate() -> Outcome<Vec<Panel>> {
    let mut random = seeded(10086);
    let mut gaussian = |n: usize, mean: f64, scale: f64| -> Vec<f64> {
        (0..n).map(|_| mean + scale * normal(&mut random)).collect()
    };
    let phi = gaussian(5, 0.0, 1.0);
    let flat = Regression::new(5, gaussian(50 * 5, 1.0, 0.05))?;
    let mut modes = flat.clone();
    for label in (5..12).cycle().take(4 * 7) {
        toy::step(&mut modes, &phi, label, 0.5)?;
    }
    let top = Distribution::new(&toy::probs(&modes, &phi)?)?.argmax();
    let wide_phi = gaussian(50, 0.0, 1.0);
    let wide = Regression::new(50, gaussian(1000 * 50, 0.0, 0.2))?;
    Ok(vec![
        panel("learn 21, flat π", &flat, &phi, 21, 0.5)?,
        panel("unlearn 42, flat π", &flat, &phi, 42, -0.5)?,
        panel("unlearn the top mode", &modes, &phi, top, -0.5)?,
        panel("unlearn 42, in a valley", &modes, &phi, 42, -0.5)?,
        panel("unlearn 42 of 1000", &wide, &wide_phi, 42, -1.0)?,
    ])
}

/// Predicts, then takes the step on W.
fn panel(
    name: &'static str,
    model: &Regression<f64>,
    phi: &[f64],
    label: usize,
    rate: f64,
) -> Outcome<Panel> {
    let step = rate * phi.iter().map(|x| x * x).sum::<f64>();
    let before = toy::probs(model, phi)?;
    let pi = Distribution::new(&before)?;
    let (mut delta_z, mut change) = (vec![0.0; before.len()], vec![0.0; before.len()]);
    let (risers, threshold) = if step < 0.0 {
        let threshold = NegativeStep::new(pi, label, -step)?.threshold();
        ((0..before.len()).filter(|&i| i != label && before[i] > threshold).collect(), Some(threshold))
    } else {
        regression_step_into(&pi, label, step, &mut delta_z)?;
        exact_into(&pi, &delta_z, &mut change)?;
        ((0..before.len()).filter(|&i| change[i] > 0.0).collect(), None)
    };
    let runner_up = pi.runner_up(label)?.ok_or("one label")?;
    let mut stepped = model.clone();
    toy::step(&mut stepped, phi, label, rate)?;
    let after = toy::probs(&stepped, phi)?;
    Ok(Panel { name, label, step, before, after, runner_up, threshold, risers })
}

fn draw(panels: &[Panel]) -> Outcome<String> {
    let title = |p: &Panel| format!("{}: s = {:.2}", p.name, p.step);
    let pairs: Vec<_> = panels.iter().map(|p| (title(p), &p.before[..], &p.after[..])).collect();
    bars::draw(&pairs)
}

fn table(panels: &[Panel]) -> String {
    let mut out = String::from(
        "step                         s  y   π(y)               y*  π(y*)          τ(s)    rise\n",
    );
    for p in panels {
        let seen: Vec<usize> = (0..p.before.len()).filter(|&i| p.after[i] > p.before[i]).collect();
        let rise = if seen == p.risers { "as predicted" } else { "NOT as predicted" };
        let threshold = p.threshold.map_or("     –".into(), |t| format!("{t:+.3}"));
        let at = |i: usize| (p.before[i], p.after[i]);
        let ((y, y_after), (top, top_after)) = (at(p.label), at(p.runner_up));
        let _ = writeln!(
            out,
            "{:<23} {:>6.2}  {:<2}  {y:.0e} → {y_after:<5.0e}  {:>4}  {top:.3} → {top_after:.3}  {threshold:>6}  {:>2} {rise}",
            p.name,
            p.step,
            p.label,
            p.runner_up,
            seen.len(),
        );
    }
    out
}

#[test]
fn prints_what_the_header_says_and_draws_it() {
    let panels = simulate().unwrap();
    assert_eq!(table(&panels), shared::quoted::quoted(include_str!("squeezing.rs")));
    let svg = draw(&panels).unwrap();
    assert!(svg.matches("<rect").count() > 2 * 1200 && !svg.contains("NaN"));
}
