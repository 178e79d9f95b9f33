//! torch's RMSprop, AdamW and SGD, in place over all parameters.

use crate::config;
#[cfg(any(feature = "cuda", test))]
use crate::value::Kernel;
use crate::value::simd;
use anyhow::{Result, bail};
use candle_core::{CpuStorage, DType, InplaceOp3, Layout, Tensor, Var};
use ldyn_core::Real;
use rayon::prelude::*;

/// Elements of a parameter that all updates go through before the next ones.
const BLOCK: usize = 1 << 19;

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
        Ok(Self {
            settings,
            second: zeros()?,
            first: if settings.averages() > 1 { zeros()? } else { Vec::new() },
            steps: 0,
        })
    }

    /// Averages or velocities, of which some optimisers have one kind and some two, a tensor a parameter each.
    pub fn averages(&self) -> [&[Tensor]; 2] {
        [&self.second, &self.first]
    }

    /// Steps taken.
    pub fn steps(&self) -> i32 {
        self.steps
    }

    /// Takes over the state that [`Optimizer::averages`] and [`Optimizer::steps`] gave.
    ///
    /// # Errors
    /// A state of another optimiser or other parameters.
    pub fn restore(&mut self, averages: [Vec<Tensor>; 2], steps: i32) -> Result<()> {
        for (own, other) in self.averages().into_iter().zip(&averages) {
            let form = |tensors: &[Tensor]| -> Vec<_> {
                tensors.iter().map(|t| (t.dtype(), t.dims().to_vec())).collect()
            };
            if form(own) != form(other) {
                bail!(
                    "the state of {} tensors is not one of this optimiser and these {} parameters",
                    other.len(),
                    own.len()
                )
            }
        }
        let [second, first] = averages;
        (self.second, self.first, self.steps) = (second, first, steps);
        Ok(())
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
            self.update_parameter(i, &p.as_detached_tensor(), &g.contiguous()?, lr, clip)?;
        }
        Ok(())
    }

    /// The updates of one parameter, block by block, so that the second one finds in the cache what the first one has read.
    fn update_parameter(&self, i: usize, p: &Tensor, g: &Tensor, lr: f64, clip: f64) -> Result<()> {
        if p.shape() != g.shape() {
            bail!("an update of shape {:?} with a gradient of {:?}", p.shape(), g.shape())
        }
        #[cfg(feature = "cuda")]
        if p.device().is_cuda() && matches!(p.dtype(), DType::F32 | DType::F64) {
            let averages: Vec<&Tensor> = self.averages().iter().filter_map(|kind| kind.get(i)).collect();
            return Ok(crate::value::optimise(&self.kernel(lr, clip), [p, g], &averages)?);
        }
        let n = p.elem_count();
        for from in (0..n).step_by(BLOCK) {
            let block = |t: &Tensor| t.flatten_all()?.narrow(0, from, BLOCK.min(n - from));
            let (p, g, v) = (&block(p)?, &block(g)?, &block(&self.second[i])?);
            match self.settings {
                config::Optimizer::RmsProp { alpha, eps } => {
                    update(v, g, g, SquareAverage { decay: alpha, clip })?;
                    update(p, g, v, Normalised::rmsprop(lr * clip, eps))?;
                }
                config::Optimizer::AdamW { beta1, beta2, eps, weight_decay } => {
                    let rule = Normalised::adamw(lr, [beta1, beta2], eps, self.steps);
                    let m = &block(&self.first[i])?;
                    update(m, g, g, Average { decay: beta1, clip })?;
                    update(v, g, g, SquareAverage { decay: beta2, clip })?;
                    update(p, m, v, Normalised { decay: 1.0 - lr * weight_decay, ..rule })?;
                }
                config::Optimizer::Sgd { momentum, weight_decay } => {
                    update(v, g, p, Velocity { momentum, clip, weight_decay })?;
                    update(p, v, v, Descend { rate: lr })?;
                }
            }
        }
        Ok(())
    }

    /// What [`Optimizer::step`] would make of the parameters and of this state. Nothing is changed.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    pub(super) fn tried(
        &self,
        parameters: &[Var],
        gradients: &[Tensor],
        lr: f64,
        clip: f64,
    ) -> Result<(Vec<Var>, Self)> {
        let mut next = Self {
            settings: self.settings,
            second: copies(&self.second)?,
            first: copies(&self.first)?,
            steps: self.steps,
        };
        let moved = copies(parameters.iter().map(Var::as_tensor))?;
        let moved = moved.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
        next.step(&moved, gradients, lr, clip)?;
        Ok((moved, next))
    }

    /// Whether a step at this rate could leave a number that is not finite, as far as rate and settings tell.
    ///
    /// Gradients whose norm is finite lie below 2⁶⁴ in f32, because their squares are finite. So do their averages,
    /// and velocities below 2⁶⁴/(1 − momentum). With the bounds here, a step then moves a weight by less than 2¹²⁵, and
    /// weights below 2¹⁰⁰ stay finite.
    pub(super) fn may_overflow(&self, lr: f64) -> bool {
        let (scale, decay) = match self.settings {
            config::Optimizer::RmsProp { eps, .. } => (lr / eps, 0.0),
            config::Optimizer::AdamW { beta1, eps, weight_decay, .. } => {
                (lr / ((1.0 - beta1) * eps), lr * weight_decay)
            }
            config::Optimizer::Sgd { momentum, weight_decay } => {
                (lr / (1.0 - momentum), lr.max(1.0) * weight_decay)
            }
        };
        scale > 2f64.powi(60) || decay > 1.0
    }

    /// The updates of a parameter as one kernel.
    #[cfg(any(feature = "cuda", test))]
    fn kernel(&self, lr: f64, clip: f64) -> Kernel {
        match self.settings {
            config::Optimizer::RmsProp { alpha, eps } => {
                let rule = Normalised::rmsprop(lr * clip, eps);
                Kernel { name: "rmsprop", constants: vec![clip, alpha, 1.0 - alpha, rule.rate, rule.eps] }
            }
            config::Optimizer::AdamW { beta1, beta2, eps, weight_decay } => {
                let rule = Normalised::adamw(lr, [beta1, beta2], eps, self.steps);
                let averages = [clip, beta2, 1.0 - beta2, 1.0 - beta1];
                let step = [1.0 - lr * weight_decay, rule.rate, rule.root_scale, rule.eps];
                Kernel { name: "adamw", constants: [averages, step].concat() }
            }
            config::Optimizer::Sgd { momentum, weight_decay } => {
                Kernel { name: "sgd", constants: vec![clip, momentum, weight_decay, lr] }
            }
        }
    }

    /// The step that [`Optimizer::step`] would take, as a linear function of the gradient:
    /// Δθ = −gain ∘ g + history + decay. Nothing is changed.
    ///
    /// RMSprop and AdamW divide by the root of a squared average that holds this gradient too; the
    /// function is linear at that average.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    pub fn linearised(
        &self,
        parameters: &[Var],
        gradients: &[Tensor],
        lr: f64,
        clip: f64,
    ) -> Result<Linearised> {
        let (_, next) = self.tried(parameters, gradients, lr, clip)?;

        let (mut gain, mut history, mut decay) = (Vec::new(), Vec::new(), Vec::new());
        for (i, p) in parameters.iter().enumerate() {
            // What the rule makes of a weight 0 along a direction 1: minus its rate.
            let (rates, ones) = (p.zeros_like()?, p.ones_like()?);
            match self.settings {
                config::Optimizer::RmsProp { eps, .. } => {
                    update(&rates, &ones, &next.second[i], Normalised::rmsprop(lr * clip, eps))?;
                    gain.push(rates.neg()?);
                }
                config::Optimizer::AdamW { beta1, beta2, eps, weight_decay } => {
                    let rule = Normalised::adamw(lr, [beta1, beta2], eps, next.steps);
                    update(&rates, &ones, &next.second[i], rule)?;
                    gain.push((&rates * (-(1.0 - beta1) * clip))?);
                    history.push((&rates * (&self.first[i] * beta1)?)?);
                    decay.push((p.as_detached_tensor() * (-lr * weight_decay))?);
                }
                config::Optimizer::Sgd { momentum, weight_decay } => {
                    update(&rates, &ones, &ones, Descend { rate: lr })?;
                    gain.push((&rates * -clip)?);
                    history.push((&rates * (&self.second[i] * momentum)?)?);
                    decay.push((&rates * (p.as_detached_tensor() * weight_decay)?)?);
                }
            }
        }
        let (momentum, weight_decay) = match self.settings {
            config::Optimizer::RmsProp { .. } => (0.0, 0.0),
            config::Optimizer::AdamW { beta1, weight_decay, .. } => (beta1, weight_decay),
            config::Optimizer::Sgd { momentum, weight_decay } => (momentum, weight_decay),
        };
        Ok(Linearised {
            gain,
            history: (self.steps > 0 && momentum != 0.0).then_some(history),
            decay: (weight_decay != 0.0).then_some(decay),
        })
    }
}

/// A step as a linear function of its gradient; see [`Optimizer::linearised`]. One tensor a parameter.
#[derive(Debug)]
pub struct Linearised {
    /// What the step takes off a weight per unit of its gradient: one number for all weights with
    /// SGD, a number for each with RMSprop and AdamW.
    pub gain: Vec<Tensor>,
    /// The part of the step that earlier gradients cause through momentum.
    pub history: Option<Vec<Tensor>>,
    /// The part that weight decay causes.
    pub decay: Option<Vec<Tensor>>,
}

fn copies<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<Vec<Tensor>> {
    Ok(tensors.into_iter().map(|t| t.detach().copy()).collect::<candle_core::Result<_>>()?)
}

/// One elementwise update x ← f(x, a, b): in place on the CPU, and as tensor operations where neither that nor a
/// kernel is there. A test holds the forms together.
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
    #[inline(always)]
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
    #[inline(always)]
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

impl Normalised {
    fn rmsprop(rate: f64, eps: f64) -> Self {
        Self { rate, root_scale: 1.0, eps, decay: 1.0 }
    }

    /// Without decay; `steps` counts from 1.
    fn adamw(lr: f64, [beta1, beta2]: [f64; 2], eps: f64, steps: i32) -> Self {
        let correction = |beta: f64| 1.0 - beta.powi(steps);
        Self { rate: lr / correction(beta1), root_scale: 1.0 / correction(beta2).sqrt(), eps, decay: 1.0 }
    }
}

impl Update for Normalised {
    #[inline(always)]
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
    #[inline(always)]
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
    #[inline(always)]
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
        simd(
            #[inline(always)]
            || {
                x.iter_mut().zip(a).zip(b).for_each(
                    #[inline(always)]
                    |((x, a), b)| *x = rule.apply(*x, *a, *b),
                )
            },
        );
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

    const ALL: [config::Optimizer; 3] = [
        config::Optimizer::RmsProp { alpha: 0.99, eps: 1e-8 },
        config::Optimizer::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1 },
        config::Optimizer::Sgd { momentum: 0.9, weight_decay: 0.1 },
    ];

    fn numbers(t: &Tensor) -> Vec<f64> {
        t.to_device(&Device::Cpu).unwrap().to_vec1().unwrap()
    }

    /// Weights and averages after each of three steps on a device.
    fn path(settings: config::Optimizer, device: &Device) -> Vec<Vec<f64>> {
        let [p, a, b] = tensors().map(|t| t.to_device(device).unwrap());
        let p = Var::from_tensor(&p).unwrap();
        let parameters = std::slice::from_ref(&p);
        let mut optimizer = Optimizer::new(settings, parameters).unwrap();
        let mut path = Vec::new();
        for g in [&a, &b, &(&a + &b).unwrap()] {
            optimizer.step(parameters, std::slice::from_ref(g), 1e-2, 0.7).unwrap();
            path.push(numbers(&p));
            path.extend(optimizer.averages().concat().iter().map(numbers));
        }
        path
    }

    #[track_caller]
    fn close(found: &[Vec<f64>], expected: &[Vec<f64>]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.concat().iter().zip(expected.concat()) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }

    #[test]
    fn every_kernel_takes_the_steps_of_the_cpu() {
        for settings in ALL {
            let [p, a, b] = tensors();
            let mut weights = numbers(&p);
            let mut averages = vec![vec![0.0; weights.len()]; settings.averages()];
            let mut optimizer = Optimizer::new(settings, &[]).unwrap();
            let mut path_of_kernel = Vec::new();
            for g in [&a, &b, &(&a + &b).unwrap()] {
                optimizer.steps += 1;
                let kernel = optimizer.kernel(1e-2, 0.7);
                if !crate::value::run_on_host(&kernel, &mut weights, &numbers(g), &mut averages) {
                    return;
                }
                path_of_kernel.push(weights.clone());
                path_of_kernel.extend(averages.clone());
            }
            close(&path_of_kernel, &path(settings, &Device::Cpu));
        }
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn cuda_steps_are_those_of_the_cpu() {
        let Some(gpu) = crate::device::gpu() else { return };
        for settings in ALL {
            close(&path(settings, &gpu), &path(settings, &Device::Cpu));
        }
    }

    #[test]
    fn a_step_is_the_sum_of_its_parts() {
        for settings in ALL {
            let [p, a, b] = tensors();
            let p = Var::from_tensor(&p).unwrap();
            let parameters = std::slice::from_ref(&p);
            let mut optimizer = Optimizer::new(settings, parameters).unwrap();
            for g in [&a, &b, &(&a + &b).unwrap()] {
                let gradient = std::slice::from_ref(g);
                let linear = optimizer.linearised(parameters, gradient, 1e-2, 0.7).unwrap();
                let before = p.as_detached_tensor().copy().unwrap();
                optimizer.step(parameters, gradient, 1e-2, 0.7).unwrap();
                let mut rest = ((p.as_tensor() - before).unwrap() + (&linear.gain[0] * g).unwrap()).unwrap();
                for part in [linear.history, linear.decay].into_iter().flatten() {
                    rest = (rest - &part[0]).unwrap();
                }
                let rest = rest.abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
                assert!(rest < 1e-15, "{settings:?}: {rest} of the step is in no part");
            }
        }
    }
}
