//! torch's RMSprop, AdamW and SGD, in place over all parameters.

use crate::config;
use anyhow::{Result, bail};
use candle_core::{CpuStorage, DType, InplaceOp3, Layout, Tensor, Var};
use ldyn_core::Real;
use rayon::prelude::*;

/// Elements that one task updates.
const CHUNK: usize = 1 << 14;

/// An optimiser with its state, one entry a parameter.
pub struct Optimizer {
    settings: config::Optimizer,
    /// Squared-gradient averages (RMSprop, AdamW) or velocities (SGD).
    second: Vec<Tensor>,
    /// Gradient averages (AdamW).
    first: Vec<Tensor>,
    steps: i32,
}

impl Optimizer {
    /// Fresh state for these parameters.
    ///
    /// # Errors
    /// Out of device memory.
    pub fn new(settings: config::Optimizer, parameters: &[Var]) -> Result<Self> {
        let zeros = || parameters.iter().map(|p| p.zeros_like()).collect::<candle_core::Result<Vec<_>>>();
        let needs_first = matches!(settings, config::Optimizer::AdamW { .. });
        Ok(Self {
            settings,
            second: zeros()?,
            first: if needs_first { zeros()? } else { Vec::new() },
            steps: 0,
        })
    }

    /// One step with rate `lr` on `clip · gradients`, in the order of the parameters.
    ///
    /// # Errors
    /// Shapes or number types that differ from the parameters'.
    pub fn step(&mut self, parameters: &[Var], gradients: &[Tensor], lr: f64, clip: f64) -> Result<()> {
        if parameters.len() != self.second.len() || gradients.len() != self.second.len() {
            bail!(
                "{} parameters and {} gradients for a state of {}",
                parameters.len(),
                gradients.len(),
                self.second.len()
            )
        }
        self.steps += 1;
        for (i, (p, g)) in parameters.iter().zip(gradients).enumerate() {
            let (g, v) = (&g.contiguous()?, &self.second[i]);
            match self.settings {
                config::Optimizer::RmsProp { alpha, eps } => {
                    update(v, g, g, SquareAverage { decay: alpha, clip })?;
                    update(p, g, v, Normalised { rate: lr * clip, root_scale: 1.0, eps, decay: 1.0 })?;
                }
                config::Optimizer::AdamW { beta1, beta2, eps, weight_decay } => {
                    let correction = |beta: f64| 1.0 - beta.powi(self.steps);
                    update(&self.first[i], g, g, Average { decay: beta1, clip })?;
                    update(v, g, g, SquareAverage { decay: beta2, clip })?;
                    let step = Normalised {
                        rate: lr / correction(beta1),
                        root_scale: 1.0 / correction(beta2).sqrt(),
                        eps,
                        decay: 1.0 - lr * weight_decay,
                    };
                    update(p, &self.first[i], v, step)?;
                }
                config::Optimizer::Sgd { momentum, weight_decay } => {
                    update(v, g, p, Velocity { momentum, clip, weight_decay })?;
                    update(p, v, v, Descend { rate: lr })?;
                }
            }
        }
        Ok(())
    }
}

/// One elementwise update x ← f(x, a, b): in place on the CPU, and as tensor
/// operations elsewhere. A test holds the two forms together.
trait Update: Sync {
    fn apply<T: Real>(&self, x: T, a: T, b: T) -> T;
    fn compose(&self, x: &Tensor, a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor>;
}

/// x ← decay·x + (1 − decay)·(clip·a)².
struct SquareAverage {
    decay: f64,
    clip: f64,
}

impl Update for SquareAverage {
    fn apply<T: Real>(&self, x: T, a: T, _: T) -> T {
        let g = a * T::from_f64(self.clip);
        x * T::from_f64(self.decay) + g * g * T::from_f64(1.0 - self.decay)
    }
    fn compose(&self, x: &Tensor, a: &Tensor, _: &Tensor) -> candle_core::Result<Tensor> {
        (x * self.decay)? + ((a * self.clip)?.sqr()? * (1.0 - self.decay))?
    }
}

/// x ← x + (1 − decay)·(clip·a − x).
struct Average {
    decay: f64,
    clip: f64,
}

impl Update for Average {
    fn apply<T: Real>(&self, x: T, a: T, _: T) -> T {
        x + (a * T::from_f64(self.clip) - x) * T::from_f64(1.0 - self.decay)
    }
    fn compose(&self, x: &Tensor, a: &Tensor, _: &Tensor) -> candle_core::Result<Tensor> {
        x + (((a * self.clip)? - x)? * (1.0 - self.decay))?
    }
}

/// x ← decay·x − rate·a / (root_scale·√b + eps).
struct Normalised {
    rate: f64,
    root_scale: f64,
    eps: f64,
    decay: f64,
}

impl Update for Normalised {
    fn apply<T: Real>(&self, x: T, a: T, b: T) -> T {
        x * T::from_f64(self.decay)
            - a * T::from_f64(self.rate) / (b.sqrt() * T::from_f64(self.root_scale) + T::from_f64(self.eps))
    }
    fn compose(&self, x: &Tensor, a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
        (x * self.decay)? - ((a * self.rate)? / ((b.sqrt()? * self.root_scale)? + self.eps)?)?
    }
}

/// x ← momentum·x + clip·a + weight_decay·b.
struct Velocity {
    momentum: f64,
    clip: f64,
    weight_decay: f64,
}

impl Update for Velocity {
    fn apply<T: Real>(&self, x: T, a: T, b: T) -> T {
        x * T::from_f64(self.momentum) + a * T::from_f64(self.clip) + b * T::from_f64(self.weight_decay)
    }
    fn compose(&self, x: &Tensor, a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
        (x * self.momentum)? + ((a * self.clip)? + (b * self.weight_decay)?)?
    }
}

/// x ← x − rate·a.
struct Descend {
    rate: f64,
}

impl Update for Descend {
    fn apply<T: Real>(&self, x: T, a: T, _: T) -> T {
        x - a * T::from_f64(self.rate)
    }
    fn compose(&self, x: &Tensor, a: &Tensor, _: &Tensor) -> candle_core::Result<Tensor> {
        x - (a * self.rate)?
    }
}

fn update(x: &Tensor, a: &Tensor, b: &Tensor, rule: impl Update) -> Result<()> {
    if a.shape() != x.shape() || b.shape() != x.shape() {
        bail!("an update of shape {:?} with {:?} and {:?}", x.shape(), a.shape(), b.shape())
    }
    let fused = x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64);
    if fused {
        x.inplace_op3(a, b, &InPlace(rule))?;
    } else {
        x.slice_set(&rule.compose(x, a, b)?, 0, 0)?;
    }
    Ok(())
}

struct InPlace<U>(U);

impl<U: Update> InplaceOp3 for InPlace<U> {
    fn name(&self) -> &'static str {
        "optimizer-update"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<()> {
        let ranges = [x_layout, a_layout, b_layout].map(|l| l.contiguous_offsets());
        let [Some(rx), Some(ra), Some(rb)] = ranges else {
            candle_core::bail!("optimizer update of tensors that are not contiguous")
        };
        match (x, a, b) {
            (CpuStorage::F32(x), CpuStorage::F32(a), CpuStorage::F32(b)) => {
                run(&self.0, &mut x[rx.0..rx.1], &a[ra.0..ra.1], &b[rb.0..rb.1]);
            }
            (CpuStorage::F64(x), CpuStorage::F64(a), CpuStorage::F64(b)) => {
                run(&self.0, &mut x[rx.0..rx.1], &a[ra.0..ra.1], &b[rb.0..rb.1]);
            }
            _ => candle_core::bail!("optimizer update of mixed number types"),
        }
        Ok(())
    }
}

fn run<T: Real + Send + Sync, U: Update>(rule: &U, x: &mut [T], a: &[T], b: &[T]) {
    x.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK)).for_each(|((x, a), b)| {
        for ((x, a), b) in x.iter_mut().zip(a).zip(b) {
            *x = rule.apply(*x, *a, *b);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn tensors() -> [Tensor; 3] {
        let values = |s: f64| (0..40_000).map(|i| (f64::from(i) * s).sin()).collect::<Vec<_>>();
        [0.31, 0.17, 0.23].map(|s| Tensor::new(values(s), &Device::Cpu).unwrap())
    }

    fn check(rule: impl Update) {
        let [x, a, b] = tensors();
        let b = b.sqr().unwrap();
        let composed = rule.compose(&x, &a, &b).unwrap();
        update(&x, &a, &b, rule).unwrap();
        let difference =
            (x - composed).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(difference < 1e-14, "{difference}");
    }

    #[test]
    fn every_update_equals_its_composed_form() {
        check(SquareAverage { decay: 0.99, clip: 0.5 });
        check(Average { decay: 0.9, clip: 0.5 });
        check(Normalised { rate: 0.1, root_scale: 1.2, eps: 1e-2, decay: 0.9 });
        check(Velocity { momentum: 0.9, clip: 0.5, weight_decay: 0.1 });
        check(Descend { rate: 0.3 });
    }

    #[test]
    fn the_first_rmsprop_step_is_ten_rates_in_the_sign_of_the_gradient() {
        let p = Var::new(&[0.0f64, 0.0, 0.0], &Device::Cpu).unwrap();
        let g = Tensor::new(&[3.0f64, -0.01, 200.0], &Device::Cpu).unwrap();
        let parameters = std::slice::from_ref(&p);
        let settings = config::Optimizer::RmsProp { alpha: 0.99, eps: 1e-8 };
        let mut optimizer = Optimizer::new(settings, parameters).unwrap();
        optimizer.step(parameters, &[g], 1e-3, 1.0).unwrap();
        for (p, sign) in p.to_vec1::<f64>().unwrap().into_iter().zip([-1.0, 1.0, -1.0]) {
            assert!((p - sign * 1e-2).abs() < 1e-6, "{p}");
        }
    }
}
