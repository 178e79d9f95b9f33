use super::*;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape};

#[test]
fn every_operation_passes_its_checks() {
    let reports = self_test().unwrap();
    let failed: Vec<_> = reports.iter().filter(|r| !r.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_every_operation_passes_its_checks() {
    let Some(gpu) = crate::device::gpu() else { return };
    let failed: Vec<_> = self_test_on(&gpu).unwrap().into_iter().filter(|r| !r.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_operation_of_the_trait_is_checked() {
    let source = include_str!("../mod.rs");
    let (_, body) = source.split_once("pub trait Value").unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let checked: Vec<_> = cases::all().unwrap().iter().map(Case::op).collect();
    let methods: Vec<_> = body.split("\n    fn ").skip(1).map(|m| m.split('(').next().unwrap()).collect();
    assert!(methods.contains(&"attention"), "the trait's source was not understood: {methods:?}");
    for method in methods {
        assert!(
            // A block is what its operations make of it.
            ["constant", "primal", "block"].contains(&method) || checked.contains(&method),
            "{method} is not checked"
        );
    }
}

/// Operations with a derivative that is missing or wrong.
enum Planted {
    /// 2x as candle's own fused operations are: without a backward.
    WithoutBackward,
    /// x², of which one factor is taken for a constant.
    HalfOfIt,
}

struct Double;

impl CustomOp1 for Double {
    fn name(&self) -> &'static str {
        "double"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let data = match x {
            CpuStorage::F64(x) => CpuStorage::F64(x.iter().map(|x| 2.0 * x).collect()),
            CpuStorage::F32(x) => CpuStorage::F32(x.iter().map(|x| 2.0 * x).collect()),
            _ => candle_core::bail!("f32 or f64 expected"),
        };
        Ok((data, layout.shape().clone()))
    }
}

impl Case for Planted {
    fn op(&self) -> &'static str {
        "planted"
    }

    fn describe(&self) -> String {
        String::new()
    }

    fn inputs(&self) -> Vec<Vec<usize>> {
        vec![vec![2, 3]]
    }

    fn run<V: Value>(&self, x: &[V]) -> Result<V> {
        let primal = x[0].primal();
        match self {
            Self::WithoutBackward => Ok(V::constant(primal.apply_op1_no_bwd(&Double)?)),
            Self::HalfOfIt => x[0].mul(&V::constant(primal.clone())),
        }
    }
}

/// The checks that fail and the differences they found.
fn failures(planted: Planted) -> Vec<(String, f64)> {
    let mut reports = Vec::new();
    check(&planted, &Device::Cpu, &mut reports).unwrap();
    reports.into_iter().filter(|r| !r.passed()).map(|r| (r.check, r.error)).collect()
}

#[test]
fn an_operation_without_backward_fails_the_checks() {
    let failed = failures(Planted::WithoutBackward);
    for check in ["gradient 0 against differences, as run", "tangent 0 against differences, as run"] {
        assert!(failed.contains(&(check.into(), f64::INFINITY)), "{failed:?}");
    }
}

#[test]
fn a_wrong_derivative_fails_the_checks() {
    let failed = failures(Planted::HalfOfIt);
    for check in ["gradient 0 against differences, as run", "tangent 0 against differences, as run"] {
        let found = failed.iter().find(|(name, _)| name == check);
        assert!(found.is_some_and(|(_, error)| (0.001..1.0).contains(error)), "{failed:?}");
    }
}
