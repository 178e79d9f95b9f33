use super::cpu::composed_only;
use super::*;
use candle_core::{DType, Device, Var};
use rand::Rng;

fn random(stream: &str, shape: &[usize], dtype: DType) -> Tensor {
    let mut rng = crate::seed::rng(0, stream);
    let data: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-0.3..0.3)).collect();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// A small decoder with every kind of row operation, as a function of its input rows.
struct Toy {
    attention: Attention,
    weights: Vec<Tensor>,
    precision: Precision,
}

impl Toy {
    fn new(head_dim: usize, vocabulary: usize, wide: usize, dtype: DType) -> Self {
        let d = 4 * head_dim;
        let attention = Attention {
            heads: 4,
            kv_heads: 2,
            head_dim,
            rotary_dim: head_dim / 4 * 2,
            rope_theta: 10_000.0,
            order: QkvOrder::Grouped,
        };
        let shapes = [
            vec![vocabulary, d],
            vec![d],
            vec![d],
            vec![2 * d, d],
            vec![2 * d],
            vec![d, d],
            vec![wide, d],
            vec![d, wide],
            vec![vocabulary, d],
        ];
        let weights =
            shapes.iter().enumerate().map(|(i, s)| random(&format!("weight {i}"), s, dtype)).collect();
        Self { attention, weights, precision: Precision::Full }
    }

    fn log_probs<V: Value>(&self, w: &[V], tokens: &[u32], targets: &[u32], layout: &Layout) -> V {
        let p = self.precision;
        let forward = || -> Result<V> {
            let x = w[0].rows(&Tensor::new(tokens, w[0].primal().device())?)?;
            let qkv = x.layer_norm(&w[1], &w[2], 1e-5)?.linear(&w[3], Some(&w[4]), p)?;
            let x = x.add(&qkv.attention(&self.attention, layout)?.linear(&w[5], None, p)?)?;
            let up = x.rms_norm(&w[1], 1e-5)?.linear(&w[6], None, p)?;
            let x = x.add(&up.activate(Activation::Gelu)?.mul(&up)?.linear(&w[7], None, p)?)?;
            x.log_probs(&w[8], targets, p, None)
        };
        forward().unwrap()
    }
}

fn tokens(stream: &str, n: usize, vocabulary: usize) -> Vec<u32> {
    let mut rng = crate::seed::rng(1, stream);
    (0..n).map(|_| rng.random_range(0..vocabulary as u32)).collect()
}

fn bits(logp: &Tensor) -> Vec<u32> {
    logp.to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_sequence_has_the_same_bits_alone_packed_and_behind_a_shared_prompt() {
    // Widths on both sides of where matrix products change their order of summation.
    for (head_dim, vocabulary, wide) in [(2, 3, 5), (4, 17, 40), (16, 70, 300), (40, 333, 700)] {
        let toy = Toy::new(head_dim, vocabulary, wide, DType::F32);
        let prompt = tokens("prompt", 33, vocabulary);
        let responses = [1, 2, 40, 7, 64].map(|n| tokens(&format!("response {n}"), n, vocabulary));
        let mut alone = Vec::new();
        let (mut packed, mut packed_tokens) = (Layout::new(), Vec::new());
        let (mut shared, mut shared_tokens) = (Layout::new(), prompt.clone());
        let parent = shared.push(prompt.len(), None).unwrap();
        for response in &responses {
            let whole: Vec<u32> = prompt.iter().chain(response).copied().collect();
            let logp = toy.log_probs(&toy.weights, &whole, &whole, &Layout::single(whole.len()).unwrap());
            alone.push(bits(&logp));
            packed.push(whole.len(), None).unwrap();
            packed_tokens.extend(whole);
            shared.push(response.len(), Some(parent)).unwrap();
            shared_tokens.extend(response);
        }
        let short = tokens("prompt", 1, vocabulary);
        let one = bits(&toy.log_probs(&toy.weights, &short, &short, &Layout::single(1).unwrap()));
        assert_eq!(one, alone[0][..1], "one row alone, head_dim {head_dim}");

        let together = bits(&toy.log_probs(&toy.weights, &packed_tokens, &packed_tokens, &packed));
        assert_eq!(together, alone.concat(), "packed, head_dim {head_dim}");

        let behind = bits(&toy.log_probs(&toy.weights, &shared_tokens, &shared_tokens, &shared));
        let expected: Vec<u32> =
            alone.iter().fold(alone[0][..33].to_vec(), |all, a| [&all[..], &a[33..]].concat());
        assert_eq!(behind, expected, "shared prompt, head_dim {head_dim}");
    }
}

#[test]
fn gradients_do_not_depend_on_the_number_of_threads() {
    let toy = Toy::new(16, 70, 300, DType::F32);
    let mut layout = Layout::new();
    let parent = layout.push(50, None).unwrap();
    for n in [20, 70, 9] {
        layout.push(n, Some(parent)).unwrap();
    }
    let tokens = tokens("tokens", layout.n_rows(), 70);
    let gradients = |threads: usize| -> Vec<Vec<u32>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let vars: Vec<Var> = toy.weights.iter().map(|w| Var::from_tensor(w).unwrap()).collect();
            let weights: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
            let loss = toy.log_probs(&weights, &tokens, &tokens, &layout).sum_all().unwrap();
            let store = loss.backward().unwrap();
            vars.iter().map(|v| bits(&store.get(v).unwrap().flatten_all().unwrap())).collect()
        })
    };
    assert_eq!(gradients(1), gradients(3));
}

/// The attention of two sequences in passes of several rows each, sequence by sequence: `[rows, width]`.
fn in_passes(a: &Attention, sequences: &[Tensor; 2], passes: &[[usize; 2]]) -> [Tensor; 2] {
    let mut cache = Cache::new();
    let mut parts = [Vec::new(), Vec::new()];
    let mut done = [0, 0];
    for lens in passes {
        let mut layout = Layout::new();
        let mut rows = Vec::new();
        for i in 0..2 {
            layout.push_behind(lens[i], done[i]).unwrap();
            rows.push(sequences[i].narrow(0, done[i], lens[i]).unwrap());
            done[i] += lens[i];
        }
        let pass = Pass::new(&mut cache, &layout, 1).unwrap();
        let out = pass.value(Tensor::cat(&rows, 0).unwrap()).attention(a, &layout).unwrap();
        for i in 0..2 {
            parts[i].push(out.primal().narrow(0, layout.spans()[i].start, lens[i]).unwrap());
        }
        assert_eq!(cache.lens(), done);
    }
    parts.map(|parts| Tensor::cat(&parts, 0).unwrap())
}

#[test]
fn cached_attention_has_the_bits_of_whole_sequences_and_the_composed_form_agrees() {
    let grouped = Toy::new(20, 17, 40, DType::F32).attention;
    let per_head = Attention { heads: 2, kv_heads: 2, order: QkvOrder::PerHead, ..grouped.clone() };
    for (a, dtype) in [(&grouped, DType::F32), (&grouped, DType::F64), (&per_head, DType::F64)] {
        let width = (a.heads + 2 * a.kv_heads) * a.head_dim;
        let sequences = [150, 71].map(|n| (random(&format!("qkv {n}"), &[n, width], dtype) * 9.0).unwrap());
        let whole = sequences.each_ref().map(|x| {
            let out = x.attention(a, &Layout::single(x.dims()[0]).unwrap()).unwrap();
            out.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap()
        });
        // Beyond blocks of queries (32) and pieces of keys (64), and steps of one row.
        let passes = [[100, 1], [1, 1], [30, 64], [1, 1], [18, 4]];
        let vec = |x: Tensor| x.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
        assert_eq!(in_passes(a, &sequences, &passes).map(vec), whole, "{dtype:?}");
        if dtype == DType::F64 {
            let composed = composed_only(|| in_passes(a, &sequences, &passes)).map(vec);
            let pairs = composed.concat().concat().into_iter().zip(whole.concat().concat());
            pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-13, "{a} {b}"));
        }
    }
}

#[test]
fn a_dual_without_tangents_computes_none() {
    let toy = Toy::new(4, 17, 40, DType::F64);
    let layout = Layout::single(5).unwrap();
    let tokens = tokens("tokens", 5, 17);
    let weights: Vec<Dual> = toy.weights.iter().cloned().map(Dual::constant).collect();
    let logp = toy.log_probs(&weights, &tokens, &tokens, &layout);
    assert!(logp.tangents.is_empty());
    let expected = toy.log_probs(&toy.weights, &tokens, &tokens, &layout).to_vec1::<f64>().unwrap();
    assert_eq!(logp.primal.to_vec1::<f64>().unwrap(), expected);
}

#[test]
fn values_without_variables_leave_no_graph() {
    let toy = Toy::new(4, 17, 40, DType::F32);
    let tokens = tokens("tokens", 5, 17);
    let layout = Layout::single(5).unwrap();
    assert!(!toy.log_probs(&toy.weights, &tokens, &tokens, &layout).track_op());
    let var = Var::from_tensor(&toy.weights[0]).unwrap();
    let dual = Dual::new(var.as_tensor(), &[Some(&toy.weights[0])]).unwrap();
    let ids = Tensor::new(&[1u32], &Device::Cpu).unwrap();
    assert!(!dual.rows(&ids).unwrap().primal.track_op());
}

#[test]
fn statistics_agree_between_the_fused_and_the_composed_head() {
    statistics_agree(&Device::Cpu);
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_statistics_agree_with_the_composed_head() {
    if let Some(gpu) = crate::device::gpu() {
        statistics_agree(&gpu);
    }
}

fn statistics_agree(device: &Device) {
    for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-13)] {
        let (h, head) = (random("h", &[300, 6], dtype), random("head", &[40, 6], dtype));
        let head = (head * 100.0).unwrap(); // confident rows, where 1 − max π is small
        let targets = tokens("targets", 300, 40);
        let run = |device: &Device| {
            let mut stats = vec![];
            let [h, head] = [&h, &head].map(|x| x.to_device(device).unwrap());
            let logp = h.log_probs(&head, &targets, Precision::Full, Some(&mut stats)).unwrap();
            (logp.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap(), stats)
        };
        let ((logp, stats), (_, expected)) = (run(device), composed_only(|| run(&Device::Cpu)));
        assert_eq!((stats.len(), expected.len()), (300, 300));
        for ((s, e), logp) in stats.iter().zip(&expected).zip(logp) {
            assert_eq!((s.argmax, s.logp), (e.argmax, logp));
            for (a, b) in [
                (s.logp, e.logp),
                (s.argmax_logp, e.argmax_logp),
                (s.rest_logp, e.rest_logp),
                (s.sum_sq, e.sum_sq),
                (s.rest_sq, e.rest_sq),
                (s.entropy, e.entropy),
                (s.log_z, e.log_z),
            ] {
                assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{a} {b}");
            }
        }
    }
}

#[test]
fn refusals_say_what_was_found_and_expected() {
    let x = random("x", &[2, 3], DType::F32);
    let w = random("w", &[5, 4], DType::F32);
    let refused = |result: Result<Tensor>, parts: &[&str]| {
        let error = format!("{:#}", result.unwrap_err());
        assert!(parts.iter().all(|p| error.contains(p)), "{error}");
    };
    refused(x.linear(&w, None, Precision::Full), &["linear", "[2, 3]", "[5, 4]"]);
    refused(Value::add(&x, &w), &["add", "[2, 3]", "[5, 4]"]);
    refused(x.rms_norm(&w, 1e-5), &["rms_norm", "[5, 4]"]);
    let head = random("head", &[5, 3], DType::F32);
    refused(x.log_probs(&head, &[0], Precision::Full, None), &["log_probs", "2 rows", "found 1"]);
    refused(x.log_probs(&head, &[0, 5], Precision::Full, None), &["target 5", "row 1", "5 labels"]);
    let toy = Toy::new(4, 17, 40, DType::F32);
    refused(x.attention(&toy.attention, &Layout::single(2).unwrap()), &["attention", "[2, 32]", "[2, 3]"]);
    let odd = Attention { rotary_dim: 3, ..toy.attention.clone() };
    refused(x.attention(&odd, &Layout::single(2).unwrap()), &["rotary_dim", "found 3"]);
    assert!(Dual::new(&x, &[Some(&w)]).is_err());
    let mut behind = Layout::new();
    behind.push_behind(2, 7).unwrap();
    let qkv = random("qkv", &[2, 32], DType::F32);
    refused(qkv.attention(&toy.attention, &behind), &["span 0", "7 cached rows", "no cache"]);
    let mut cache = Cache::new();
    let whole = Layout::single(2).unwrap();
    Pass::new(&mut cache, &whole, 1).unwrap().value(qkv.clone()).attention(&toy.attention, &whole).unwrap();
    // Another number type, another shape of heads.
    let step = cache.step();
    let row = |x: Tensor| x.narrow(0, 0, 1).unwrap();
    for (row, a) in [
        (row(qkv.to_dtype(DType::F64).unwrap()), toy.attention.clone()),
        (row(qkv.clone()), Attention { head_dim: 2, heads: 12, ..toy.attention.clone() }),
    ] {
        let pass = Pass::new(&mut cache, &step, 1).unwrap();
        let result = pass.value(row).attention(&a, &step);
        refused(result.map(|x| x.primal().clone()), &["cache of another model"]);
    }
}

/// Log-probabilities and gradients of a small decoder on a device, in the place of what buffers hold and added to it.
#[cfg(feature = "cuda")]
fn decoder_on(device: &Device) -> Vec<Vec<f64>> {
    let toy = Toy::new(16, 70, 300, DType::F64);
    let mut layout = Layout::new();
    let parent = layout.push(50, None).unwrap();
    for n in [20, 70, 9] {
        layout.push(n, Some(parent)).unwrap();
    }
    let tokens = tokens("tokens", layout.n_rows(), 70);
    let on_device = |w: &Tensor| Var::from_tensor(&w.to_device(device).unwrap()).unwrap();
    let vars: Vec<Var> = toy.weights.iter().map(on_device).collect();
    let mut all = Vec::new();
    for add in [false, true] {
        let tape = Tape::new();
        let weights: Vec<Traced> = vars.iter().map(|v| tape.parameter(v)).collect();
        let logp = toy.log_probs(&weights, &tokens, &tokens, &layout);
        let seed = logp.primal().ones_like().unwrap();
        let buffers: Vec<Tensor> = vars.iter().map(|v| v.ones_like().unwrap()).collect();
        logp.backward(&seed, &vars, &buffers, add).unwrap();
        all.push(logp.primal().clone());
        all.extend(buffers);
    }
    let numbers = |t: &Tensor| t.to_device(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    all.iter().map(numbers).collect()
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_a_decoder_has_the_gradients_of_the_cpu() {
    let Some(gpu) = crate::device::gpu() else { return };
    for (found, expected) in decoder_on(&gpu).iter().zip(decoder_on(&Device::Cpu)) {
        let size = expected.iter().map(|x| x.abs()).fold(0.0, f64::max);
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= 1e-11 * size, "{a} {b}");
        }
    }
}
