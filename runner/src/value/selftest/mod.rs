//! A check of every operation's derivatives on this machine, in under a second.
//!
//! candle does not report an operation without a backward: the weights behind it silently stay
//! as they are. So each operation is asked, at small random inputs, whether its gradient is
//! there, agrees with differences of its values and with its tangent, and whether its fused form
//! agrees with the composed one.

mod cases;

use super::cpu::composed_only;
use super::{Dual, Precision, Tape, Value};
use crate::seed;
use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, Var};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// One check of one operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpReport {
    /// The method of [`Value`].
    pub op: &'static str,
    /// With which options.
    pub case: String,
    /// What was compared.
    pub check: String,
    /// The relative difference found; ∞ if there is no gradient or no tangent at all.
    pub error: f64,
    /// The largest difference that passes.
    pub tolerance: f64,
}

impl OpReport {
    /// Whether the check passes. A difference that is not a number does not.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// Checks every operation on the CPU; see [`self_test_on`].
///
/// # Errors
/// An operation refused its inputs. A wrong derivative is no error but a report that has not
/// [`passed`](OpReport::passed).
///
/// ```
/// assert!(ldyn::value::self_test()?.iter().all(|report| report.passed()));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn self_test() -> Result<Vec<OpReport>> {
    self_test_on(&Device::Cpu)
}

/// Checks every operation on `device`: the backward and the tangent against central differences
/// and against each other (⟨v, Ju⟩ = ⟨Jᵀv, u⟩), in f64; values, gradients and tangents against
/// the composed form on the CPU, in f64 and f32; where operands can be rounded, products of rounded ones too.
///
/// # Errors
/// As [`self_test`].
pub fn self_test_on(device: &Device) -> Result<Vec<OpReport>> {
    let mut reports = Vec::new();
    for case in cases::all()? {
        check(&case, device, &mut reports)
            .with_context(|| format!("self test of {} ({})", case.op(), case.describe()))?;
    }
    for (precision, tolerance) in ROUNDED {
        if precision.check(DType::F32, device.is_cuda()).is_ok() {
            check_products(precision, tolerance, device, &mut reports)
                .with_context(|| format!("self test of products in {precision}"))?;
        }
    }
    Ok(reports)
}

/// An operation with its options.
trait Case {
    fn op(&self) -> &'static str;
    fn describe(&self) -> String;
    /// Shapes of the inputs that are differentiated.
    fn inputs(&self) -> Vec<Vec<usize>>;
    fn run<V: Value>(&self, inputs: &[V]) -> Result<V>;
}

/// Half the distance of a central difference: its errors, about h² and ε/h, are below 1e-9.
const STEP: f64 = 1e-5;
/// Of central differences in f64.
const DIFFERENCE: f64 = 1e-7;
/// Of forms that compute the same in f64 and in f32, with another order of summation.
const SAME: [(DType, f64); 2] = [(DType::F64, 1e-11), (DType::F32, 1e-4)];

/// Of rounded operands. A residual between two numbers of bf16 is rounded down in one form and up in the other, if rarely;
/// tf32 is compared with f32 itself.
const ROUNDED: [(Precision, f64); 2] = [(Precision::Bf16, 1e-3), (Precision::Tf32, 2e-3)];

/// Inputs, directions of theirs, and one of the value.
type Drawn = (Vec<Tensor>, Vec<Tensor>, Tensor);

fn draw(case: &impl Case, dtype: DType, device: &Device) -> Result<Drawn> {
    let mut rng = seed::rng(0, &format!("self test {} {}", case.op(), case.describe()));
    let mut draw = |shape: &[usize]| Ok(random(&mut rng, shape, device)?.to_dtype(dtype)?);
    let x = case.inputs().iter().map(|shape| draw(shape)).collect::<Result<Vec<_>>>()?;
    let u = case.inputs().iter().map(|shape| draw(shape)).collect::<Result<Vec<_>>>()?;
    let v = draw(case.run(&x)?.dims())?;
    Ok((x, u, v))
}

fn check(case: &impl Case, device: &Device, reports: &mut Vec<OpReport>) -> Result<()> {
    let (x, u, v) = draw(case, DType::F64, device)?;
    let mut report = |check: String, error: f64, tolerance: f64| {
        reports.push(OpReport { op: case.op(), case: case.describe(), check, error, tolerance });
    };

    for composed in [false, true] {
        let run = || -> Result<_> { Ok((gradients(case, &x, &v)?, tangents(case, &x, &u)?)) };
        let ((_, gradients), tangents) = if composed { composed_only(run) } else { run() }?;
        let form = if composed { "composed" } else { "as run" };
        for (i, (gradient, tangent)) in gradients.iter().zip(&tangents).enumerate() {
            let difference = difference(case, &x, i, &u[i])?;
            let along = match gradient {
                Some(g) if norm(g)? > 0.0 => Some(dot(g, &u[i])?),
                _ => None,
            };
            let scale = norm(&difference)? * norm(&v)?;
            let gap = |a: f64, b: f64| (a - b).abs() / scale;
            let error = match along {
                Some(along) => gap(along, dot(&v, &difference)?),
                None => f64::INFINITY,
            };
            report(format!("gradient {i} against differences, {form}"), error, DIFFERENCE);
            let error = tangent.as_ref().map_or(Ok(f64::INFINITY), |t| relative(t, &difference))?;
            report(format!("tangent {i} against differences, {form}"), error, DIFFERENCE);
            let error = match (along, tangent) {
                (Some(along), Some(tangent)) => gap(along, dot(&v, tangent)?),
                _ => f64::INFINITY,
            };
            report(format!("tangent {i} against gradient, {form}"), error, SAME[0].1);
        }
    }

    for (dtype, tolerance) in SAME {
        let error = against_composed([case, case], dtype, device)?;
        report(format!("as run against composed, {}", dtype.as_str()), error, tolerance);
    }
    Ok(())
}

/// The products of rounded operands against the composed form, which a CPU has of all that it can round itself.
fn check_products(
    precision: Precision,
    tolerance: f64,
    device: &Device,
    reports: &mut Vec<OpReport>,
) -> Result<()> {
    let on_cpu = if precision.check(DType::F32, false).is_ok() { precision } else { Precision::Full };
    for (case, composed) in cases::products(precision).iter().zip(&cases::products(on_cpu)) {
        let error = against_composed([case, composed], DType::F32, device)?;
        let check = format!("as run against composed, {precision}");
        reports.push(OpReport { op: case.op(), case: case.describe(), check, error, tolerance });
    }
    Ok(())
}

/// The largest relative difference of value, gradients and tangents between a case as it is run and its composed form
/// on the CPU.
fn against_composed<C: Case>([case, composed]: [&C; 2], dtype: DType, device: &Device) -> Result<f64> {
    let all = |case: &C, device: &Device| -> Result<Vec<Option<Tensor>>> {
        let (x, u, v) = draw(case, dtype, device)?;
        let (value, mut all) = gradients(case, &x, &v)?;
        all.extend(tangents(case, &x, &u)?);
        all.push(Some(value));
        Ok(all)
    };
    let (found, expected) = (all(case, device)?, composed_only(|| all(composed, &Device::Cpu))?);
    let mut worst: f64 = 0.0;
    for pair in found.into_iter().zip(expected) {
        let (Some(found), Some(expected)) = pair else { return Ok(f64::INFINITY) };
        let found = found.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
        worst = worst.max(relative(&found, &expected.to_dtype(DType::F64)?)?);
    }
    Ok(worst)
}

fn random(rng: &mut ChaCha8Rng, shape: &[usize], device: &Device) -> Result<Tensor> {
    let data: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-1.5..1.5)).collect();
    Ok(Tensor::from_vec(data, shape, device)?)
}

/// The value at `x`, and the gradients of ⟨v, f(x)⟩ by each input.
fn gradients(case: &impl Case, x: &[Tensor], v: &Tensor) -> Result<(Tensor, Vec<Option<Tensor>>)> {
    let vars = x.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
    let tape = Tape::new();
    let y = case.run(&vars.iter().map(|var| tape.parameter(var)).collect::<Vec<_>>())?;
    Ok((y.primal().detach(), y.gradients(v, &vars)?))
}

/// The derivative along `u[i]` in input i alone, for each i, out of one run along all these directions.
fn tangents(case: &impl Case, x: &[Tensor], u: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
    let dual = |(j, x): (usize, &Tensor)| {
        let directions: Vec<_> = (0..u.len()).map(|i| (i == j).then_some(&u[j])).collect();
        Dual::new(x, &directions)
    };
    let y = case.run(&x.iter().enumerate().map(dual).collect::<Result<Vec<_>>>()?)?;
    Ok((0..x.len()).map(|i| y.tangent(i).cloned()).collect())
}

/// (f(x + h·u) − f(x − h·u)) / 2h in input `i`.
fn difference(case: &impl Case, x: &[Tensor], i: usize, u: &Tensor) -> Result<Tensor> {
    let at = |step: f64| -> Result<Tensor> {
        let mut x = x.to_vec();
        x[i] = (&x[i] + (u * step)?)?;
        case.run(&x)
    };
    Ok(((at(STEP)? - at(-STEP)?)? / (2.0 * STEP))?)
}

fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    Ok((a * b)?.sum_all()?.to_scalar()?)
}

fn norm(a: &Tensor) -> Result<f64> {
    Ok(dot(a, a)?.sqrt())
}

/// ‖a − b‖ / ‖b‖.
fn relative(a: &Tensor, b: &Tensor) -> Result<f64> {
    Ok(norm(&(a - b)?)? / norm(b)?)
}

#[cfg(test)]
mod tests;
