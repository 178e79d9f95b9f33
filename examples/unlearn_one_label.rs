//! Unlearn one label, and see who rises: the core used from your own code, without allocation.
//!
//! ```text
//! label      π      π′   log α
//! 0      0.780   0.870  +0.110  rises: y*, the likeliest other label
//! 1      0.174   0.106  -0.496
//! 2      0.039   0.021  -0.631
//! 3      0.006   0.003  -0.664
//! 4      0.001   0.000  -1.669  unlearned
//! A label rises exactly if π > τ(s) = 0.670.
//! π(y*) > 1/√3: every other label falls, whatever the step size.
//! ```

mod shared {
    #[cfg(test)]
    pub mod quoted;
}

use ldyn_core::{Error, simplex::Distribution, softmax::softmax_into, squeezing::NegativeStep};
use std::fmt::Write;

const LOGITS: [f64; 5] = [3.0, 1.5, 0.0, -1.8, -3.5];
const UNLEARNED: usize = 4;
/// s = η‖φ‖²: the learning rate times the squared length of the features.
const STEP: f64 = 1.0;

fn main() -> Result<(), Error> {
    print!("{}", report()?);
    Ok(())
}

fn report() -> Result<String, Error> {
    let mut before = [0.0; LOGITS.len()];
    softmax_into(&LOGITS, &mut before)?;
    let step = NegativeStep::new(Distribution::new(&before)?, UNLEARNED, STEP)?;
    let mut after = [0.0; LOGITS.len()];
    step.after_into(&mut after)?;

    let mut out = String::from("label      π      π′   log α\n");
    for (label, (p, q)) in before.iter().zip(after).enumerate() {
        let growth = step.log_growth(label)?;
        let note = match label {
            UNLEARNED => "  unlearned",
            _ if label == step.runner_up() => "  rises: y*, the likeliest other label",
            _ if growth > 0.0 => "  rises",
            _ => "",
        };
        let _ = writeln!(out, "{label:<5}  {p:.3}   {q:.3}  {growth:+.3}{note}");
    }
    let _ = writeln!(out, "A label rises exactly if π > τ(s) = {:.3}.", step.threshold());
    if step.all_others_fall().is_some() {
        out.push_str("π(y*) > 1/√3: every other label falls, whatever the step size.\n");
    }
    Ok(out)
}

#[test]
fn prints_what_the_header_says() {
    assert_eq!(report().unwrap(), shared::quoted::quoted(include_str!("unlearn_one_label.rs")));
}
