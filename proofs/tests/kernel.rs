//! K: its forms agree, and predictions made with it are −η·A·K·G.

use ldyn_core::decomposition::{
    Cause, logit_change_into, predicted_pair_into, predicted_step_into, remainder,
};
use ldyn_core::ntk::{self, Dense, Features, Jacobians, Kernel, ScaledIdentity, Shape};
use ldyn_core::simplex::Distribution;
use ldyn_proofs::oracle;
use ldyn_proofs::tolerance::{ALGEBRA, GROWTH, SLOPE};
use proptest::collection::vec;
use proptest::prelude::*;

/// M and L positions, V labels, d parameters, with the Jacobians of both contexts.
#[derive(Debug)]
struct Toy {
    shape: Shape,
    parameters: usize,
    observed: Vec<f64>,
    updated: Vec<f64>,
}

fn toys() -> impl Strategy<Value = Toy> {
    (1..4_usize, 1..4_usize, 2..7_usize, 1..9_usize).prop_flat_map(|(m, l, v, d)| {
        (vec(-2.0..2.0, m * v * d), vec(-2.0..2.0, l * v * d)).prop_map(move |(observed, updated)| Toy {
            shape: Shape { observed: m, updated: l, vocab: v },
            parameters: d,
            observed,
            updated,
        })
    })
}

impl Toy {
    fn kernel(&self) -> Jacobians<'_, f64> {
        Jacobians::new(&self.observed, &self.updated, self.parameters, self.shape.vocab).unwrap()
    }

    /// K_{m,l}[i][j] from the definition.
    fn entry(&self, m: usize, l: usize, i: usize, j: usize) -> f64 {
        let row = |s: &[f64], at: usize| s[at * self.parameters..(at + 1) * self.parameters].to_vec();
        let a = row(&self.observed, m * self.shape.vocab + i);
        let b = row(&self.updated, l * self.shape.vocab + j);
        oracle::sum(a.iter().zip(&b).map(|(a, b)| a * b))
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.shape.observed).flat_map(|m| (0..self.shape.updated).map(move |l| (m, l)))
    }

    /// All entries, in the layout of [`Dense`].
    fn entries(&self) -> Vec<f64> {
        let v = self.shape.vocab;
        self.pairs().flat_map(|(m, l)| (0..v * v).map(move |at| self.entry(m, l, at / v, at % v))).collect()
    }

    /// The size of products of this kernel with unit numbers.
    fn scale(&self) -> f64 {
        4.0 * self.parameters as f64 * self.shape.vocab as f64 * self.shape.updated as f64
    }
}

/// −η Σ_l A_m K_{m,l} G_l with every matrix written out.
fn written_out(toy: &Toy, pi: &[f64], residuals: &[f64], eta: f64) -> Vec<f64> {
    let v = toy.shape.vocab;
    let mut out = vec![0.0; toy.shape.observed * v];
    for (m, l) in toy.pairs() {
        for i in 0..v {
            for a in 0..v {
                let adaptation = if a == i { 1.0 } else { 0.0 } - pi[m * v + a];
                for j in 0..v {
                    out[m * v + i] -= eta * adaptation * toy.entry(m, l, a, j) * residuals[l * v + j];
                }
            }
        }
    }
    out
}

/// Rows of distributions from arbitrary numbers.
fn distributions(z: &[f64], vocab: usize, rows: usize) -> Vec<f64> {
    (0..rows)
        .flat_map(|m| oracle::softmax(&(0..vocab).map(|i| z[(m * 7 + i) % z.len()]).collect::<Vec<_>>()))
        .collect()
}

/// Rows of residuals w(π − e_y).
fn residuals(z: &[f64], vocab: usize, rows: usize, weight: f64) -> Vec<f64> {
    let mut out = distributions(z, vocab, rows);
    for (l, row) in out.chunks_mut(vocab).enumerate() {
        row[(3 * l + 1) % vocab] -= 1.0;
        row.iter_mut().for_each(|g| *g *= weight);
    }
    out
}

proptest! {
    #[test]
    fn the_kernel_of_the_swapped_contexts_is_the_transpose(toy in toys(), g in vec(-1.0..1.0, 7), h in vec(-1.0..1.0, 7)) {
        let v = toy.shape.vocab;
        let swapped = Jacobians::new(&toy.updated, &toy.observed, toy.parameters, v).unwrap();
        for (m, l) in toy.pairs() {
            let (mut kg, mut kh) = (vec![0.0; v], vec![0.0; v]);
            toy.kernel().add_product(m, l, 1.0, &g[..v], &mut kg);
            swapped.add_product(l, m, 1.0, &h[..v], &mut kh);
            let dot = |a: &[f64], b: &[f64]| oracle::sum(a.iter().zip(b).map(|(a, b)| a * b));
            prop_assert!(ALGEBRA.equal(dot(&kg, &h[..v]), dot(&kh, &g[..v]), toy.scale() * v as f64));
        }
    }

    #[test]
    fn a_context_with_itself_has_no_negative_direction(toy in toys(), g in vec(-1.0..1.0, 28)) {
        let v = toy.shape.vocab;
        let own = Jacobians::new(&toy.updated, &toy.updated, toy.parameters, v).unwrap();
        let g = &g[..toy.shape.updated * v];
        let mut kg = vec![0.0; g.len()];
        logit_change_into(Cause { kernel: &own, residuals: g }, -1.0, &mut kg).unwrap();
        let form = oracle::sum(g.iter().zip(&kg).map(|(g, k)| g * k));
        prop_assert!(ALGEBRA.holds(form, toy.scale() * g.len() as f64), "{form}");
    }

    #[test]
    fn all_forms_of_a_kernel_give_one_product(toy in toys(), g in vec(-1.0..1.0, 7)) {
        let v = toy.shape.vocab;
        let entries = toy.entries();
        let dense = Dense::new(&entries, toy.shape).unwrap();
        prop_assert_eq!(toy.kernel().shape(), toy.shape);
        for (m, l) in toy.pairs() {
            let exact: Vec<f64> =
                (0..v).map(|i| oracle::sum((0..v).map(|j| toy.entry(m, l, i, j) * g[j]))).collect();
            let (mut a, mut b, mut block) = (vec![0.0; v], vec![0.0; v], vec![0.0; v * v]);
            toy.kernel().add_product(m, l, 1.0, &g[..v], &mut a);
            dense.add_product(m, l, 1.0, &g[..v], &mut b);
            toy.kernel().dense_into(m, l, &mut block).unwrap();
            for i in 0..v {
                prop_assert!(ALGEBRA.equal(a[i], exact[i], toy.scale()) && ALGEBRA.equal(b[i], exact[i], toy.scale()));
                prop_assert!(ALGEBRA.equal(block[i * v], toy.entry(m, l, i, 0), toy.scale()));
            }
        }
    }

    #[test]
    fn the_norm_of_a_kernel_is_that_of_its_entries(toy in toys(), k in -3.0..3.0_f64) {
        let v = toy.shape.vocab;
        let entries = toy.entries();
        let dense = Dense::new(&entries, toy.shape).unwrap();
        let (mut unit, mut column) = (vec![0.0; v], vec![0.0; v]);
        for (m, l) in toy.pairs() {
            let exact = oracle::sum((0..v * v).map(|at| toy.entry(m, l, at / v, at % v).powi(2))).sqrt();
            let by_products = ntk::frobenius(&toy.kernel(), (m, l), &mut unit, &mut column).unwrap();
            for found in [toy.kernel().frobenius(m, l), dense.frobenius(m, l), by_products] {
                prop_assert!(ALGEBRA.equal(found, exact, toy.scale()));
            }
        }
        let identity = ScaledIdentity { factor: k, vocab: v };
        let exact = k.abs() * (v as f64).sqrt();
        let by_products = ntk::frobenius(&identity, (0, 0), &mut unit, &mut column).unwrap();
        prop_assert!(ALGEBRA.equal(identity.frobenius(), exact, 1.0) && ALGEBRA.equal(by_products, exact, 10.0));
    }

    #[test]
    fn the_prediction_is_minus_eta_akg_written_out(toy in toys(), z in vec(-5.0..5.0, 12), eta in 0.0..2.0_f64) {
        let Shape { observed, updated, vocab } = toy.shape;
        let pi = distributions(&z, vocab, observed);
        let g = residuals(&z, vocab, updated, 1.0);
        let mut found = vec![9.0; observed * vocab];
        predicted_step_into(&pi, Cause { kernel: &toy.kernel(), residuals: &g }, eta, &mut found).unwrap();
        for (a, b) in found.iter().zip(written_out(&toy, &pi, &g, eta)) {
            prop_assert!(ALGEBRA.equal(*a, b, 4.0 * toy.scale()));
        }
    }

    #[test]
    fn a_pair_predicts_the_chosen_minus_the_rejected(
        toy in toys(), z in vec(-5.0..5.0, 12), eta in 0.0..2.0_f64, (plus, minus) in (0.0..2.0_f64, 0.0..2.0_f64)
    ) {
        let Shape { observed, updated, vocab } = toy.shape;
        let pi = distributions(&z, vocab, observed);
        let reversed = Toy {
            shape: toy.shape,
            parameters: toy.parameters,
            observed: toy.observed.clone(),
            updated: toy.updated.iter().rev().copied().collect(),
        };
        let g_plus = residuals(&z, vocab, updated, plus);
        let g_minus = residuals(&z[2..], vocab, updated, minus);
        let mut found = vec![9.0; observed * vocab];
        let chosen = Cause { kernel: &toy.kernel(), residuals: &g_plus };
        let rejected = Cause { kernel: &reversed.kernel(), residuals: &g_minus };
        predicted_pair_into(&pi, chosen, rejected, eta, &mut found).unwrap();
        let up = written_out(&toy, &pi, &g_plus, eta);
        let down = written_out(&reversed, &pi, &g_minus, eta);
        for ((found, up), down) in found.iter().zip(up).zip(down) {
            prop_assert!(ALGEBRA.equal(*found, up - down, 16.0 * toy.scale()));
        }
    }

    #[test]
    fn a_shared_prefix_cancels_and_the_first_difference_leaves_two_labels(
        features in vec(-1.0..1.0, 6), z in vec(-3.0..3.0, 12), eta in 0.01..1.0_f64
    ) {
        // Two positions of two features: the first is shared with its token, at the second only tokens differ.
        let (vocab, dim) = (4, 2);
        let kernel = Features::new(&features, &features[..4], dim, vocab).unwrap();
        let pi = distributions(&z, vocab, 3);
        let residual = |second: usize| {
            let mut g = pi[..2 * vocab].to_vec();
            g[0] -= 1.0;
            g[vocab + second] -= 1.0;
            g
        };
        let (g_plus, g_minus) = (residual(1), residual(2));
        let mut found = vec![0.0; 3 * vocab];
        let cause = |residuals| Cause { kernel: &kernel, residuals };
        predicted_pair_into(&pi, cause(&g_plus), cause(&g_minus), eta, &mut found).unwrap();
        for m in 0..3 {
            let k = eta * kernel.factor(m, 1);
            for i in 0..vocab {
                let delta = |i: usize| if i == 1 { k } else if i == 2 { -k } else { 0.0 };
                let mean = oracle::sum((0..vocab).map(|j| pi[m * vocab + j] * delta(j)));
                prop_assert!(ALGEBRA.equal(found[m * vocab + i], delta(i) - mean, 40.0));
            }
        }
    }

    #[test]
    fn with_frozen_features_only_the_remainder_is_missing(
        features in vec(-1.0..1.0, 10), weights in vec(-3.0..3.0, 20), eta in 0.01..3.0_f64
    ) {
        // z = W·φ for 3 + 2 positions of 2 features and 5 labels; one SGD step on the 2.
        let (vocab, dim) = (5, 2);
        let (observed, updated) = features.split_at(6);
        let z = |w: &[f64], phi: &[f64]| -> Vec<f64> {
            (0..vocab).map(|i| w[2 * i] * phi[0] + w[2 * i + 1] * phi[1]).collect()
        };
        let g: Vec<f64> = updated
            .chunks(dim)
            .enumerate()
            .flat_map(|(l, phi)| {
                let mut g = oracle::softmax(&z(&weights, phi));
                g[l + 1] -= 1.0;
                g
            })
            .collect();
        let mut moved = weights[..10].to_vec();
        for (l, phi) in updated.chunks(dim).enumerate() {
            for i in 0..vocab {
                moved[2 * i] -= eta * g[l * vocab + i] * phi[0];
                moved[2 * i + 1] -= eta * g[l * vocab + i] * phi[1];
            }
        }
        let kernel = Features::new(observed, updated, dim, vocab).unwrap();
        let cause = Cause { kernel: &kernel, residuals: &g };
        let pi: Vec<f64> = observed.chunks(dim).flat_map(|phi| oracle::softmax(&z(&weights, phi))).collect();
        let (mut predicted, mut delta) = (vec![0.0; 15], vec![0.0; 15]);
        predicted_step_into(&pi, cause, eta, &mut predicted).unwrap();
        logit_change_into(cause, eta, &mut delta).unwrap();
        for (m, phi) in observed.chunks(dim).enumerate() {
            let row = m * vocab..(m + 1) * vocab;
            let r = remainder(&Distribution::new(&pi[row.clone()]).unwrap(), &delta[row.clone()]).unwrap();
            let exact = oracle::log_growth(&z(&weights, phi), &z(&moved, phi));
            for (p, exact) in predicted[row].iter().zip(exact) {
                prop_assert!(GROWTH.equal(p + r, exact, 40.0), "{p} + {r}, {exact}");
            }
        }
    }
}

/// A network that is not linear in its parameters: z = W₂·tanh(W₁x), 3 inputs, 4 hidden units, 5 labels.
struct Network {
    parameters: Vec<f64>,
}

impl Network {
    const SIZE: usize = 4 * 3 + 5 * 4;

    fn new() -> Self {
        Network { parameters: (0..Self::SIZE).map(|i| ((i * i + 3 * i) as f64).sin()).collect() }
    }

    fn hidden(&self, x: &[f64; 3]) -> Vec<f64> {
        self.parameters[..12].chunks(3).map(|w| (w[0] * x[0] + w[1] * x[1] + w[2] * x[2]).tanh()).collect()
    }

    fn logits(&self, x: &[f64; 3]) -> Vec<f64> {
        let h = self.hidden(x);
        self.parameters[12..].chunks(4).map(|w| oracle::sum(w.iter().zip(&h).map(|(w, h)| w * h))).collect()
    }

    /// ∂z/∂θ, 5 rows.
    fn jacobian(&self, x: &[f64; 3]) -> Vec<f64> {
        let h = self.hidden(x);
        let mut j = vec![0.0; 5 * Self::SIZE];
        for (i, row) in j.chunks_mut(Self::SIZE).enumerate() {
            for u in 0..4 {
                row[12 + 4 * i + u] = h[u];
                for k in 0..3 {
                    row[3 * u + k] = self.parameters[12 + 4 * i + u] * (1.0 - h[u] * h[u]) * x[k];
                }
            }
        }
        j
    }
}

#[test]
fn the_error_of_a_networks_prediction_shrinks_as_the_square_of_the_step() {
    let network = Network::new();
    let (x_o, x_u, label) = ([0.3, -0.8, 0.5], [0.1, -0.6, 0.9], 2);
    let (j_o, j_u) = (network.jacobian(&x_o), network.jacobian(&x_u));
    let kernel = Jacobians::new(&j_o, &j_u, Network::SIZE, 5).unwrap();
    let mut g = oracle::softmax(&network.logits(&x_u));
    g[label] -= 1.0;
    let error = |eta: f64| {
        let mut after = Network { parameters: network.parameters.clone() };
        for (k, w) in after.parameters.iter_mut().enumerate() {
            *w -= eta * oracle::sum((0..5).map(|i| j_u[i * Network::SIZE + k] * g[i]));
        }
        let pi = oracle::softmax(&network.logits(&x_o));
        let mut predicted = vec![0.0; 5];
        predicted_step_into(&pi, Cause { kernel: &kernel, residuals: &g }, eta, &mut predicted).unwrap();
        let exact = oracle::log_growth(&network.logits(&x_o), &after.logits(&x_o));
        oracle::sum(exact.iter().zip(&predicted).map(|(a, b)| (a - b) * (a - b))).sqrt()
    };
    let slope = (error(2e-3) / error(1e-3)).log2();
    assert!(SLOPE.equal(slope, 2.0, 1.0), "slope {slope}");
}
