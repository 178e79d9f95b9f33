use super::*;
use crate::testing::noise;

const SIZES: [usize; 4] = [6, 9, 7, 4];

fn mlp(activation: Activation) -> Mlp<f64> {
    // noise is uniform: a width of √12 gives variance 1.
    let mut numbers = noise(1000, 12.0_f64.sqrt()).into_iter();
    let mut model = Mlp::new(&SIZES, activation, || numbers.next().unwrap()).unwrap();
    for (p, shift) in model.parameters_mut().iter_mut().zip(noise(1000, 0.2)) {
        *p += shift; // biases too are no longer 0
    }
    model
}

fn regression() -> Regression<f64> {
    Regression::new(6, noise(24, 3.0)).unwrap()
}

fn input(n: usize) -> Vec<f64> {
    noise(6 * (n + 1), 2.0)[6 * n..].to_vec()
}

/// The Jacobian's distance from central differences, relative to its largest entry.
fn distance_from_differences(mut model: impl Model<f64>, x: &[f64]) -> f64 {
    let (vocab, parameters, h) = (model.vocab(), model.parameters().len(), 1e-5);
    let mut jacobian = vec![0.0; vocab * parameters];
    model.jacobian_into(x, &mut jacobian).unwrap();
    let (mut plus, mut minus) = (vec![0.0; vocab], vec![0.0; vocab]);
    let mut worst = 0.0_f64;
    for p in 0..parameters {
        let at = model.parameters()[p];
        model.parameters_mut()[p] = at + h;
        model.logits_into(x, &mut plus).unwrap();
        model.parameters_mut()[p] = at - h;
        model.logits_into(x, &mut minus).unwrap();
        model.parameters_mut()[p] = at;
        for i in 0..vocab {
            let difference = (plus[i] - minus[i]) / (2.0 * h);
            worst = worst.max((jacobian[i * parameters + p] - difference).abs());
        }
    }
    worst / jacobian.iter().fold(0.0_f64, |m, j| m.max(j.abs()))
}

#[test]
fn jacobians_are_those_of_finite_differences() {
    // h² = 1e-10 from curvature, ε/h = 2e-11 from rounding.
    for n in 0..3 {
        assert!(distance_from_differences(mlp(Activation::Tanh), &input(n)) < 1e-9);
        assert!(distance_from_differences(mlp(Activation::Relu), &input(n)) < 1e-9);
        assert!(distance_from_differences(regression(), &input(n)) < 1e-9);
    }
}

#[test]
fn the_kernel_of_regression_is_the_features_product_times_the_identity() {
    let (phi_o, phi_u) = (input(0), input(1));
    let kernel = kernel(&regression(), &phi_o, &phi_u).unwrap();
    for (i, row) in kernel.chunks_exact(4).enumerate() {
        for (j, &k) in row.iter().enumerate() {
            assert_eq!(k, if i == j { dot(&phi_o, &phi_u) } else { 0.0 });
        }
    }
}

#[test]
fn the_kernel_of_swapped_inputs_is_the_transpose() {
    let model = mlp(Activation::Tanh);
    let (there, back) = (kernel(&model, &input(0), &input(1)), kernel(&model, &input(1), &input(0)));
    let (there, back) = (there.unwrap(), back.unwrap());
    for i in 0..4 {
        for j in 0..4 {
            assert_eq!(there[4 * i + j], back[4 * j + i]);
        }
    }
}

/// max |actual − predicted| over the labels at x_o after a step on x_u.
fn remainder<M: Model<f64> + Clone>(model: &M, rate: f64) -> f64 {
    let (x_o, x_u, label) = (input(0), input(1), 2);
    let predicted = predict(model, &x_o, &x_u, label, rate).unwrap();
    let mut stepped = model.clone();
    step(&mut stepped, &x_u, label, rate).unwrap();
    let (before, after) = (log_probs(model, &x_o).unwrap(), log_probs(&stepped, &x_o).unwrap());
    let errors = (0..4).map(|i| (after[i] - before[i] - predicted[i]).abs());
    errors.fold(0.0, f64::max)
}

#[test]
fn the_remainder_shrinks_as_the_square_of_the_learning_rate() {
    // Slope of the log of the remainder over a factor of 8 in η; cubic terms bend it by O(η).
    let slope = |remainder: &dyn Fn(f64) -> f64| (remainder(8e-4) / remainder(1e-4)).log2() / 3.0;
    for (name, slope) in [
        ("tanh", slope(&|rate| remainder(&mlp(Activation::Tanh), rate))),
        ("relu", slope(&|rate| remainder(&mlp(Activation::Relu), rate))),
        ("regression", slope(&|rate| remainder(&regression(), rate))),
    ] {
        assert!((slope - 2.0).abs() < 0.02, "{name}: {slope}");
    }
}

#[test]
fn a_step_of_regression_is_the_negative_step_of_squeezing() {
    use crate::squeezing::NegativeStep;
    let (mut model, phi, rate) = (regression(), input(1), 0.3);
    let pi = probs(&model, &phi).unwrap();
    let squeezed = NegativeStep::new(Distribution::new(&pi).unwrap(), 1, rate * dot(&phi, &phi)).unwrap();
    let before = log_probs(&model, &phi).unwrap();
    step(&mut model, &phi, 1, -rate).unwrap();
    for (i, after) in log_probs(&model, &phi).unwrap().into_iter().enumerate() {
        assert!((after - before[i] - squeezed.log_growth(i).unwrap()).abs() < 1e-14);
    }
}

#[test]
fn f32_follows_f64() {
    let (exact, phi) = (regression(), input(0));
    let model = Regression::new(6, exact.parameters().iter().map(|&w| w as f32).collect()).unwrap();
    let phi32: Vec<f32> = phi.iter().map(|&x| x as f32).collect();
    let (a, b) = (log_probs(&exact, &phi).unwrap(), log_probs(&model, &phi32).unwrap());
    assert!(a.iter().zip(&b).all(|(a, &b)| (a - f64::from(b)).abs() < 1e-6));
}

#[test]
fn bad_shapes_and_labels_are_refused() {
    let mut model = mlp(Activation::Relu);
    let short = Error::Length { name: "x", found: 5, expected: 6 };
    assert_eq!(log_probs(&model, &[0.0; 5]), Err(short));
    assert_eq!(step(&mut model, &[0.0; 5], 0, 0.1), Err(short));
    assert_eq!(step(&mut model, &[0.0; 6], 4, 0.1), Err(Error::Label { found: 4, vocab: 4 }));
    assert!(model.pullback_into(&[0.0; 6], &[0.0; 3], &mut [0.0; 4]).is_err());
    assert!(model.jacobian_into(&[0.0; 6], &mut [0.0; 4]).is_err());
    assert!(predict(&regression(), &[0.0; 6], &[0.0; 7], 0, 0.1).is_err());
    assert!(matches!(log_probs(&regression(), &[f64::NAN; 6]), Err(Error::Logit { .. })));
    assert!(Mlp::new(&[3], Activation::Tanh, || 0.0_f32).is_err());
    assert!(Regression::<f32>::new(0, Vec::new()).is_err());
}
