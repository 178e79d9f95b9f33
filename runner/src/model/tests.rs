use super::check::small_models;
use super::*;
use crate::seed;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// The shapes of Pythia-14M, in transformers 4's layout.
const PYTHIA_14M: &str = r#"{"architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0,
    "hidden_act": "gelu", "hidden_size": 128, "initializer_range": 0.02, "intermediate_size": 512,
    "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "model_type": "gpt_neox",
    "num_attention_heads": 4, "num_hidden_layers": 6, "rotary_emb_base": 10000, "rotary_pct": 0.25,
    "tie_word_embeddings": false, "torch_dtype": "float16", "transformers_version": "4.24.0",
    "use_cache": true, "use_parallel_residual": true, "vocab_size": 50304}"#;

/// A folder with one of the small models in f32.
fn folder(which: usize) -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("model");
    small_models(1).unwrap()[which].1.save(&path, None).unwrap();
    (place, path)
}

fn load(path: &Path) -> Result<Model> {
    Model::load(path, DType::F32, &Device::Cpu)
}

/// The whole error chain must hold every one of `words`.
fn refused<T>(result: Result<T>, words: &[&str]) {
    let Err(error) = result else { panic!("accepted, but should be refused for {words:?}") };
    let text = format!("{error:#}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

/// The tensors of a folder's only file, changed and written back.
fn rewrite(path: &Path, change: impl FnOnce(&mut BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>)) {
    let file = path.join(load::WEIGHTS);
    let bytes = fs::read(&file).unwrap();
    let whole = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let own = |v: &TensorView| (v.dtype(), v.shape().to_vec(), v.data().to_vec());
    let mut tensors = whole.iter().map(|(name, v)| (name.to_owned(), own(&v))).collect();
    change(&mut tensors);
    write(&file, &tensors);
}

fn write(file: &Path, tensors: &BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>) {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    safetensors::serialize_to_file(views, None, file).unwrap();
}

/// A config of `model_type` with one more key.
fn with(model_type: &str, key: &str, value: Json) -> Result<ModelConfig> {
    let mut config = json!({"model_type": model_type, "hidden_size": 64, "num_attention_heads": 4,
        "num_key_value_heads": 2});
    config[key] = value;
    ModelConfig::parse(&config.to_string())
}

#[test]
fn every_parameter_receives_the_gradient_of_finite_differences() {
    let checks = self_test(1).unwrap();
    assert_eq!(checks.len(), 4);
    for (check, (_, model)) in checks.iter().zip(small_models(1).unwrap()) {
        assert_eq!(check.tensors.len(), model.parameters().count());
        check.verdict().unwrap();
        assert!(check.worst() > 0.0);
    }
}

#[test]
fn a_wrong_derivative_is_named() {
    let tensor = |name: &str, backward| TensorCheck {
        name: name.into(),
        backward,
        forward: backward,
        difference: 1.0,
    };
    let check = |b| GradientCheck { model: "m".into(), tensors: vec![tensor("good", 1.0), tensor("bad", b)] };
    check(1.0).verdict().unwrap();
    for wrong in [0.0, 1.001, f64::NAN] {
        let error = check(wrong).verdict().unwrap_err().to_string();
        assert!(error.contains("`bad`") && !error.contains("`good`"), "{error}");
    }
}

#[test]
fn a_gradient_check_in_f32_is_refused() {
    let (_place, path) = folder(0);
    refused(gradient_check(&load(&path).unwrap(), 0), &["f64"]);
}

#[test]
fn a_shared_prompt_gives_the_hidden_rows_of_separate_sequences() {
    for (name, model) in small_models(2).unwrap() {
        let (prompt, responses) = ([3, 1, 4, 1], [vec![5, 9, 2], vec![6, 5]]);
        let mut layout = Layout::new();
        let parent = layout.push(prompt.len(), None).unwrap();
        let mut ids = prompt.to_vec();
        for response in &responses {
            layout.push(response.len(), Some(parent)).unwrap();
            ids.extend(response);
        }
        let shared: Vec<Vec<f64>> = model.logits(&ids, &layout).unwrap().to_vec2().unwrap();
        let mut row = prompt.len();
        for response in &responses {
            let whole = [&prompt[..], response].concat();
            let alone = Layout::single(whole.len()).unwrap();
            let alone: Vec<Vec<f64>> = model.logits(&whole, &alone).unwrap().to_vec2().unwrap();
            let pairs = shared[..prompt.len()].iter().chain(&shared[row..row + response.len()]).zip(&alone);
            for (a, b) in pairs.flat_map(|(a, b)| a.iter().zip(b)) {
                assert!((a - b).abs() < 1e-12, "{name}: {a} and {b}");
            }
            row += response.len();
        }
    }
}

/// The logits `[len, V]` of every sequence, each by itself and at once.
fn whole(model: &Model, sequences: &[Vec<u32>]) -> Vec<Vec<Vec<f64>>> {
    let one = |ids: &Vec<u32>| {
        let layout = Layout::single(ids.len()).unwrap();
        model.logits(ids, &layout).unwrap().to_dtype(DType::F64).unwrap().to_vec2().unwrap()
    };
    sequences.iter().map(one).collect()
}

/// Prefixes of different lengths, then a row a step, against the whole sequences at every position. A
/// sequence is dropped where it ends, and another one comes in after the first step.
fn worst_error_of_a_cache(model: &Model) -> f64 {
    let sequences = [
        vec![3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3],
        vec![2, 7, 1, 8],
        vec![1, 6, 1, 8, 0, 3, 3, 9, 8],
        vec![5, 7, 7, 2, 1],
    ];
    let whole = whole(model, &sequences);
    let mut worst: f64 = 0.0;
    let mut compare = |logits: &Tensor, places: &[(usize, usize)]| {
        let rows = logits.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
        assert_eq!(rows.len(), places.len());
        for (row, &(i, last)) in rows.iter().zip(places) {
            let far = row.iter().zip(&whole[i][last]).map(|(a, b)| (a - b).abs());
            worst = far.fold(worst, |a, b| if a.is_nan() || a > b { a } else { b });
        }
    };
    let begin = |starts: &[(usize, usize)]| {
        let (mut layout, mut ids, mut cache) = (Layout::new(), Vec::new(), Cache::new());
        for &(i, n) in starts {
            layout.push(n, None).unwrap();
            ids.extend_from_slice(&sequences[i][..n]);
        }
        let logits = model.next_logits(&ids, &layout, &mut cache).unwrap();
        (logits, cache, starts.iter().map(|&(i, n)| (i, n - 1)).collect::<Vec<_>>())
    };
    let (logits, mut cache, mut places) = begin(&[(0, 1), (1, 3), (2, 5)]);
    compare(&logits, &places);
    let mut late = Some(begin(&[(3, 2)]));
    while !places.is_empty() {
        let keep: Vec<bool> = places.iter().map(|&(i, last)| last + 1 < sequences[i].len()).collect();
        cache.retain(&keep).unwrap();
        places.retain(|&(i, last)| last + 1 < sequences[i].len());
        places.iter_mut().for_each(|(_, last)| *last += 1);
        if places.is_empty() {
            break;
        }
        let ids: Vec<u32> = places.iter().map(|&(i, last)| sequences[i][last]).collect();
        compare(&model.next_logits(&ids, &cache.step(), &mut cache).unwrap(), &places);
        if let Some((logits, more, new)) = late.take() {
            compare(&logits, &new);
            cache.append(more).unwrap();
            places.extend(new);
        }
    }
    worst
}

#[test]
fn cached_logits_equal_those_of_whole_sequences_at_every_position() {
    for (name, model) in small_models(4).unwrap() {
        for composed in [false, true] {
            let run = || worst_error_of_a_cache(&model);
            let worst = if composed { crate::value::composed_only(run) } else { run() };
            assert!(worst < 1e-12, "{name}, composed {composed}: {worst:e}");
        }
        let place = tempfile::tempdir().unwrap();
        model.save(&place.path().join("m"), None).unwrap();
        let worst = worst_error_of_a_cache(&load(&place.path().join("m")).unwrap());
        assert!(worst > 0.0 && worst < 1e-4, "{name} in f32: {worst:e}");
    }
}

#[test]
fn passes_of_several_rows_behind_a_cache_have_the_bits_of_the_whole_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let mut models = small_models(4).unwrap();
    models[0].1.save(&folder.path().join("m"), None).unwrap();
    let mut rounded = load(&folder.path().join("m")).unwrap();
    rounded.precision = Precision::Bf16;
    models.push(("products of bf16", rounded));
    for (name, model) in models {
        let ids = [3, 1, 4, 1, 5, 9, 2, 6, 5];
        let whole = whole(&model, &[ids.to_vec()]).remove(0);
        let mut cache = Cache::new();
        let mut begin = 0;
        for end in [2, 5, 9] {
            let mut layout = Layout::new();
            layout.push_behind(end - begin, begin).unwrap();
            let logits = model.next_logits(&ids[begin..end], &layout, &mut cache).unwrap();
            let logits = logits.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
            assert_eq!(logits, [whole[end - 1].clone()], "{name} {end}");
            begin = end;
        }
    }
}

#[test]
fn a_pass_that_does_not_go_on_where_the_cache_ends_is_refused() {
    let (_, model) = &small_models(1).unwrap()[2];
    let single = |n| Layout::single(n).unwrap();
    let mut cache = Cache::new();
    let mut behind = Layout::new();
    behind.push_behind(1, 3).unwrap();
    refused(model.next_logits(&[1], &behind, &mut cache), &["holds [0]", "behind [3]"]);
    let mut shared = Layout::new();
    let parent = shared.push(1, None).unwrap();
    shared.push(1, Some(parent)).unwrap();
    refused(model.next_logits(&[1, 2], &shared, &mut cache), &["span 1", "shares its prompt"]);
    model.next_logits(&[1, 2], &single(2), &mut cache).unwrap();
    refused(model.next_logits(&[1], &single(1), &mut cache), &["holds [2]", "behind [0]"]);
    refused(model.next_logits(&[1], &behind, &mut cache), &["holds [2]", "behind [3]"]);
    refused(cache.retain(&[]), &["0 choices", "1 sequences"]);
    let mut last = Layout::new();
    last.push_behind(15, 2).unwrap();
    refused(model.next_logits(&[0; 15], &last, &mut cache), &["17", "16", "max_position_embeddings"]);
    // A refusal leaves the cache as it was.
    model.next_logits(&[3], &cache.step(), &mut cache).unwrap();
    assert_eq!(cache.lens(), [3]);
    let mut other = Cache::new();
    let config = r#"{"model_type": "gpt_neox", "vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "rotary_pct": 0.5}"#;
    let small = ModelConfig::parse(config).unwrap();
    let small = Model::init(small, DType::F64, &Device::Cpu, &mut seed::rng(0, "small")).unwrap();
    small.next_logits(&[1], &single(1), &mut other).unwrap();
    refused(cache.append(other), &["caches of 2 and of 1 layers"]);
    refused(small.next_logits(&[1], &cache.step(), &mut cache), &["2 layers for 1", "another model"]);
}

#[test]
fn the_future_does_not_change_the_past() {
    for (name, model) in small_models(3).unwrap() {
        let rows = |ids: &[u32]| -> Vec<Vec<f64>> {
            let layout = Layout::single(ids.len()).unwrap();
            model.logits(ids, &layout).unwrap().to_vec2().unwrap()
        };
        let (a, b) = (rows(&[1, 2, 3, 4]), rows(&[1, 2, 3, 5]));
        assert_eq!(a[..3], b[..3], "{name}");
        assert_ne!(a[3], b[3], "{name}");
    }
}

#[test]
fn ids_that_do_not_fit_are_refused() {
    let (_, model) = &small_models(1).unwrap()[0];
    let single = |n| Layout::single(n).unwrap();
    refused(model.hidden_detached(&[1, 2], &single(3)), &["2 token ids", "3 rows"]);
    refused(model.hidden_detached(&[1, 19], &single(2)), &["19", "row 1", "tokenizer"]);
    refused(model.hidden_detached(&[0; 17], &single(17)), &["17", "16", "max_position_embeddings"]);
    refused(model.hidden_detached(&[], &Layout::new()), &["0 rows"]);
}

#[test]
fn a_tangent_of_another_shape_or_name_is_refused() {
    let (_, model) = &small_models(1).unwrap()[0];
    let zeros = Tensor::zeros(3, DType::F64, &Device::Cpu).unwrap();
    let duals = |name: &str| {
        let direction = BTreeMap::from([(name.to_owned(), zeros.clone())]);
        model.duals(&[&direction], &[0], &Layout::single(1).unwrap())
    };
    refused(duals("embed_out.weight"), &["embed_out.weight", "[3]", "[19, 16]"]);
    refused(duals("lm_head.weight"), &["lm_head.weight"]);
}

#[test]
fn a_saved_model_has_identical_bits_when_loaded() {
    for (name, model) in small_models(1).unwrap() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("m");
        model.save_as(&path, None, DType::F64).unwrap();
        let loaded = Model::load(&path, DType::F64, &Device::Cpu).unwrap();
        assert_eq!(loaded.sha256().unwrap(), model.sha256().unwrap(), "{name}");
        assert_eq!(loaded.config.attention, model.config.attention, "{name}");
        // f32 on disk: once rounded, nothing changes any more.
        let (once, twice) = (place.path().join("once"), place.path().join("twice"));
        model.save(&once, None).unwrap();
        load(&once).unwrap().save(&twice, None).unwrap();
        for file in [CONFIG, load::WEIGHTS] {
            assert_eq!(fs::read(once.join(file)).unwrap(), fs::read(twice.join(file)).unwrap(), "{name}");
        }
    }
}

#[test]
fn the_hash_sees_one_changed_bit() {
    let (_, model) = &small_models(1).unwrap()[0];
    let copy = model.copy().unwrap();
    assert_eq!(copy.sha256().unwrap(), model.sha256().unwrap());
    let var = copy.var("embed_out.weight").unwrap();
    let mut values: Vec<f64> = var.flatten_all().unwrap().to_vec1().unwrap();
    values[7] = f64::from_bits(values[7].to_bits() ^ 1);
    var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap()).unwrap();
    assert_ne!(copy.sha256().unwrap(), model.sha256().unwrap());
}

#[test]
fn half_precision_on_disk_is_read_as_f32() {
    let (_, model) = &small_models(1).unwrap()[2];
    for dtype in [DType::F16, DType::BF16] {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("m");
        model.save_as(&path, None, dtype).unwrap();
        let loaded = load(&path).unwrap();
        let rounded = model.var("lm_head.weight").unwrap().to_dtype(dtype).unwrap();
        let rounded: Vec<Vec<f32>> = rounded.to_dtype(DType::F32).unwrap().to_vec2().unwrap();
        assert_eq!(loaded.var("lm_head.weight").unwrap().to_vec2::<f32>().unwrap(), rounded);
        assert_eq!(loaded.dtype(), DType::F32);
    }
}

#[test]
fn a_weight_too_large_for_half_precision_is_not_saved_as_infinity() {
    let (_, model) = &small_models(1).unwrap()[2];
    let model = model.copy().unwrap();
    let var = model.var("lm_head.weight").unwrap();
    var.set(&(var.as_detached_tensor() * 1e7).unwrap()).unwrap();
    let place = tempfile::tempdir().unwrap();
    refused(model.save_as(&place.path().join("half"), None, DType::F16), &["lm_head.weight", "F16", "bf16"]);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    refused(model.rounded(DType::F16), &["lm_head.weight", "F16 cannot hold"]);
    model.save_as(&place.path().join("brain"), None, DType::BF16).unwrap();
}

#[test]
fn a_saved_folder_is_what_transformers_reads() {
    let (_, model) = &small_models(1).unwrap()[3];
    let place = tempfile::tempdir().unwrap();
    let (assets, path) = (place.path().join("assets"), place.path().join("m"));
    fs::create_dir(&assets).unwrap();
    for name in ["tokenizer.json", "chat_template.jinja", "pytorch_model.bin"] {
        fs::write(assets.join(name), name).unwrap();
    }
    model.save(&path, Some(&assets)).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"]);
    let bytes = fs::read(path.join(load::WEIGHTS)).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    // Tied: the head is not written twice.
    assert!(metadata.info("lm_head.weight").is_none() && metadata.info("model.norm.weight").is_some());
    let config: Json = serde_json::from_slice(&fs::read(path.join(CONFIG)).unwrap()).unwrap();
    assert_eq!(config["torch_dtype"], "float32");
    assert_eq!(config["head_dim"], 6);
}

#[test]
fn an_existing_model_is_not_overwritten() {
    let (place, path) = folder(0);
    let before = fs::read(path.join(load::WEIGHTS)).unwrap();
    let model = load(&path).unwrap();
    refused(model.save(&path, None), &["never overwritten"]);
    assert_eq!(fs::read(path.join(load::WEIGHTS)).unwrap(), before);
    let other = place.path().join("notes");
    fs::create_dir(&other).unwrap();
    model.save(&other, None).unwrap();
    fs::remove_file(other.join(CONFIG)).unwrap();
    fs::remove_file(other.join(load::WEIGHTS)).unwrap();
    fs::write(other.join("notes.txt"), "mine").unwrap();
    refused(model.save(&other, None), &["not an empty folder"]);
    refused(model.save(&path.join(CONFIG), None), &["not an empty folder"]);
    assert_eq!(fs::read(other.join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn a_failed_save_leaves_nothing_behind() {
    let (place, path) = folder(0);
    let model = load(&path).unwrap();
    let assets = place.path().join("assets");
    refused(model.save(&place.path().join("new"), Some(&assets)), &["assets"]);
    refused(model.save_as(&place.path().join("new"), None, DType::U8), &["U8"]);
    // A file where the parent folder should be.
    let blocked = path.join(CONFIG).join("new");
    refused(model.save(&blocked, None), &["new"]);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn both_layouts_of_a_config_mean_the_same() {
    let old = ModelConfig::parse(PYTHIA_14M).unwrap();
    let mut new: Json = serde_json::from_str(PYTHIA_14M).unwrap();
    let map = new.as_object_mut().unwrap();
    for key in ["rotary_pct", "rotary_emb_base", "torch_dtype"] {
        map.remove(key).unwrap();
    }
    map.insert("dtype".into(), "float16".into());
    let rope = json!({"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25});
    map.insert("rope_parameters".into(), rope);
    let new = ModelConfig::parse(&new.to_string()).unwrap();
    assert_eq!(new.attention, old.attention);
    assert_eq!((old.attention.head_dim, old.attention.rotary_dim), (32, 8));
    let saved = |config: &ModelConfig| -> Json {
        serde_json::from_str(&config.to_json(DType::BF16).unwrap()).unwrap()
    };
    assert_eq!(saved(&new)["dtype"], "bfloat16");
    assert!(saved(&new).get("torch_dtype").is_none());
    let mut expected: Json = serde_json::from_str(PYTHIA_14M).unwrap();
    expected["torch_dtype"] = "bfloat16".into();
    assert_eq!(saved(&old), expected);
}

#[test]
fn pythia_14m_has_its_published_size() {
    let config = ModelConfig::parse(PYTHIA_14M).unwrap();
    let n: usize = config.parameters().0.iter().map(|p| p.shape.iter().product::<usize>()).sum();
    assert_eq!(n, 14_067_712);
}

#[test]
fn defaults_are_those_of_transformers() {
    let config = ModelConfig::parse(r#"{"model_type": "gpt_neox"}"#).unwrap();
    let switches = GptNeoX { parallel_residual: true, attention_bias: true };
    assert_eq!(config.architecture, Architecture::GptNeoX(switches));
    assert_eq!((config.vocab_size, config.hidden_size, config.layers), (50_432, 6144, 44));
    assert_eq!((config.attention.rotary_dim, config.norm_eps, config.tied), (24, 1e-5, false));
    let config = ModelConfig::parse(r#"{"model_type": "qwen2", "rope_scaling": null}"#).unwrap();
    assert_eq!((config.vocab_size, config.hidden_size, config.layers), (151_936, 4096, 32));
    assert_eq!((config.attention.kv_heads, config.attention.rope_theta), (32, 1e4));
    assert_eq!((config.max_positions, config.norm_eps), (32_768, 1e-6));
    assert_eq!(with("qwen2", "num_key_value_heads", Json::Null).unwrap().attention.kv_heads, 4);
}

#[test]
fn an_odd_rotation_takes_one_more_dimension_at_the_same_frequencies() {
    // int(16 · 0.2) = 3: frequencies 1 and 10000^(−2/3), over 4 dimensions.
    let a = with("gpt_neox", "rotary_pct", json!(0.2)).unwrap().attention;
    assert_eq!(a.rotary_dim, 4);
    let second = a.rope_theta.powf(-2.0 / a.rotary_dim as f64);
    assert!((second - 1e4_f64.powf(-2.0 / 3.0)).abs() < 1e-15);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let yarn = json!({"rope_type": "yarn", "factor": 4.0});
    let refusals = [
        ("qwen2", "model_type", json!("llama"), vec!["`model_type`", "llama", "qwen2"]),
        ("qwen2", "model_type", json!("qwen2_moe"), vec!["`model_type`", "qwen2_moe"]),
        ("qwen2", "use_sliding_window", json!(true), vec!["`use_sliding_window`", "true"]),
        ("qwen2", "layer_types", json!(["sliding_attention"]), vec!["`layer_types`", "sliding_attention"]),
        ("qwen2", "rope_scaling", yarn.clone(), vec!["`rope_scaling`", "yarn"]),
        ("qwen2", "rope_parameters", yarn, vec!["`rope_parameters`", "yarn"]),
        (
            "gpt_neox",
            "rope_scaling",
            json!({"type": "linear", "factor": 2.0}),
            vec!["`rope_scaling`", "linear"],
        ),
        ("qwen2", "rope_parameters", json!({"full_attention": {"rope_theta": 1.0}}), vec!["by layer"]),
        ("qwen2", "rope_scaling", json!(2), vec!["`rope_scaling`", "2"]),
        ("qwen2", "partial_rotary_factor", json!(0.5), vec!["`partial_rotary_factor`", "0.5"]),
        ("gpt_neox", "rope_theta", json!(5e5), vec!["`rope_theta`", "500000", "10000"]),
        ("gpt_neox", "rotary_pct", json!(0.01), vec!["`rotary_pct`", "0.01"]),
        ("gpt_neox", "rotary_pct", json!(1.5), vec!["`rotary_pct`", "1.5"]),
        ("gpt_neox", "head_dim", json!(32), vec!["`head_dim`", "32", "16"]),
        ("gpt_neox", "hidden_act", json!("quick_gelu"), vec!["`hidden_act`", "quick_gelu"]),
        ("gpt_neox", "hidden_size", json!(66), vec!["`hidden_size`", "66"]),
        ("gpt_neox", "hidden_size", json!(0), vec!["`hidden_size`", "0"]),
        ("gpt_neox", "hidden_size", json!(1e30), vec!["`hidden_size`", "1e"]),
        ("gpt_neox", "vocab_size", json!("many"), vec!["`vocab_size`", "many"]),
        ("gpt_neox", "layer_norm_eps", json!(-1), vec!["`layer_norm_eps`", "-1"]),
        ("gpt_neox", "use_parallel_residual", json!(1), vec!["`use_parallel_residual`", "1"]),
        ("qwen2", "num_key_value_heads", json!(3), vec!["`num_key_value_heads`", "3", "4"]),
        ("qwen2", "head_dim", json!(7), vec!["7"]),
        ("qwen2", "quantization_config", json!({"bits": 4}), vec!["`quantization_config`", "4"]),
    ];
    for (model_type, key, value, words) in refusals {
        refused(with(model_type, key, value), &words);
    }
    refused(ModelConfig::parse("{"), &["JSON"]);
    refused(ModelConfig::parse("{}"), &["`model_type`"]);
}

#[test]
fn what_changes_nothing_is_accepted() {
    for (model_type, key, value) in [
        ("qwen2", "use_sliding_window", json!(false)),
        ("qwen2", "sliding_window", json!(4096)),
        ("qwen2", "layer_types", json!(["full_attention"])),
        ("qwen2", "rope_scaling", json!({"type": "default"})),
        ("gpt_neox", "attention_dropout", json!(0.1)),
        ("gpt_neox", "partial_rotary_factor", json!(0.25)),
        ("gpt_neox", "rope_theta", json!(10000)),
    ] {
        with(model_type, key, value).unwrap();
    }
}

#[test]
fn a_missing_folder_or_config_is_named() {
    let place = tempfile::tempdir().unwrap();
    refused(load(&place.path().join("absent")), &["no model folder", "absent"]);
    refused(load(place.path()), &[CONFIG]);
    fs::write(place.path().join(CONFIG), PYTHIA_14M).unwrap();
    refused(load(place.path()), &[load::WEIGHTS, load::INDEX]);
    fs::write(place.path().join("pytorch_model.bin"), "").unwrap();
    refused(load(place.path()), &["pytorch_model.bin", "save_pretrained"]);
    fs::write(place.path().join(CONFIG), [0xff, 0xfe]).unwrap();
    refused(load(place.path()), &[CONFIG, "UTF-8"]);
}

#[test]
fn a_cut_weights_file_is_refused() {
    let (_place, path) = folder(0);
    let file = path.join(load::WEIGHTS);
    let whole = fs::read(&file).unwrap();
    for keep in [0, 4, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&file, &whole[..keep]).unwrap();
        refused(load(&path), &[load::WEIGHTS, "not a whole safetensors file", &keep.to_string()]);
    }
    fs::write(&file, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n").unwrap();
    refused(load(&path), &["git lfs pull"]);
}

#[test]
fn a_tensor_of_the_wrong_shape_is_refused() {
    let (_place, path) = folder(0);
    rewrite(&path, |t| t.get_mut("embed_out.weight").unwrap().1 = vec![16, 19]);
    refused(load(&path), &["`embed_out.weight`", "[16, 19]", "[19, 16]"]);
}

#[test]
fn a_weight_that_is_not_a_number_is_refused() {
    for bad in [f32::NAN, f32::NEG_INFINITY] {
        let (_place, path) = folder(0);
        rewrite(&path, |t| {
            t.get_mut("embed_out.weight").unwrap().2[4 * 37..][..4].copy_from_slice(&bad.to_le_bytes());
        });
        refused(load(&path), &["`embed_out.weight`", "[2, 5]", &bad.to_string()]);
    }
    let (_, model) = &small_models(1).unwrap()[0];
    for (dtype, bad) in [(DType::F16, 0x7c01_u16), (DType::BF16, 0xff80)] {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("m");
        model.save_as(&path, None, dtype).unwrap();
        rewrite(&path, |t| {
            t.get_mut("embed_out.weight").unwrap().2[2 * 16..][..2].copy_from_slice(&bad.to_le_bytes());
        });
        refused(load(&path), &["`embed_out.weight`", "[1, 0]"]);
    }
}

#[test]
fn integers_are_no_weights() {
    let (_place, path) = folder(0);
    rewrite(&path, |t| t.get_mut("embed_out.weight").unwrap().0 = Dtype::I32);
    refused(load(&path), &["`embed_out.weight`", "I32"]);
}

#[test]
fn missing_and_unexpected_tensors_are_named() {
    let (_place, path) = folder(0);
    rewrite(&path, |t| drop(t.remove("embed_out.weight")));
    refused(load(&path), &["lacks", "`embed_out.weight`"]);
    let (_place, path) = folder(0);
    rewrite(&path, |t| {
        for i in 0..7 {
            t.insert(format!("adapter.{i}"), (Dtype::F32, vec![1], vec![0; 4]));
        }
    });
    refused(load(&path), &["`adapter.0`", "and 2 more"]);
}

#[test]
fn buffers_of_old_pythia_files_are_passed_over() {
    let (_place, path) = folder(0);
    let hash = load(&path).unwrap().sha256().unwrap();
    rewrite(&path, |t| {
        for layer in 0..2 {
            let at = |name: &str| format!("gpt_neox.layers.{layer}.attention.{name}");
            t.insert(at("bias"), (Dtype::U8, vec![1, 1, 2, 2], vec![1; 4]));
            t.insert(at("masked_bias"), (Dtype::F32, vec![], vec![0xff; 4]));
            t.insert(at("rotary_emb.inv_freq"), (Dtype::F32, vec![1], vec![0; 4]));
        }
    });
    assert_eq!(load(&path).unwrap().sha256().unwrap(), hash);
}

#[test]
fn a_second_copy_of_a_tied_head_must_be_equal() {
    let (_place, path) = folder(3);
    rewrite(&path, |t| drop(t.insert("lm_head.weight".into(), t["model.embed_tokens.weight"].clone())));
    load(&path).unwrap();
    rewrite(&path, |t| t.get_mut("lm_head.weight").unwrap().2[0] ^= 1);
    refused(load(&path), &["`tie_word_embeddings`", "`lm_head.weight`"]);
}

#[test]
fn weights_in_many_files_are_read_by_their_index() {
    let (_place, path) = folder(2);
    let hash = load(&path).unwrap().sha256().unwrap();
    let mut all = BTreeMap::new();
    rewrite(&path, |t| all = t.clone());
    fs::remove_file(path.join(load::WEIGHTS)).unwrap();
    let (mut parts, mut map) = ([BTreeMap::new(), BTreeMap::new()], serde_json::Map::new());
    for (i, (name, tensor)) in all.into_iter().enumerate() {
        map.insert(name.clone(), format!("part-{}.safetensors", i % 2).into());
        parts[i % 2].insert(name, tensor);
    }
    let index = |map: &serde_json::Map<String, Json>| {
        fs::write(path.join(load::INDEX), json!({"metadata": {}, "weight_map": map}).to_string()).unwrap();
    };
    index(&map);
    for (i, part) in parts.iter().enumerate() {
        write(&path.join(format!("part-{i}.safetensors")), part);
    }
    assert_eq!(load(&path).unwrap().sha256().unwrap(), hash);

    write(&path.join("part-1.safetensors"), &parts[0]);
    refused(load(&path), &["part-1.safetensors", "earlier file"]);
    fs::remove_file(path.join("part-1.safetensors")).unwrap();
    refused(load(&path), &["cannot read", "part-1.safetensors"]);
    for outside in ["../part-0.safetensors", "..", "/etc/passwd", "a/b", "a\\b", ""] {
        map.insert("lm_head.weight".into(), outside.into());
        index(&map);
        refused(load(&path), &["`lm_head.weight`", "plain file names"]);
    }
    fs::write(path.join(load::INDEX), "{}").unwrap();
    refused(load(&path), &[load::INDEX, "weight_map"]);
    index(&serde_json::Map::new());
    refused(load(&path), &["names no file"]);
}

#[test]
fn a_fresh_model_is_drawn_as_transformers_draws() {
    let config = r#"{"model_type": "gpt_neox", "vocab_size": 500, "hidden_size": 64, "num_attention_heads": 4,
        "num_hidden_layers": 1, "intermediate_size": 64, "initializer_range": 0.05}"#;
    let init = |seed, dtype| {
        let config = ModelConfig::parse(config).unwrap();
        Model::init(config, dtype, &Device::Cpu, &mut seed::rng(seed, "init")).unwrap()
    };
    let model = init(1, DType::F64);
    let of = |name: &str| -> Vec<f64> { model.var(name).unwrap().flatten_all().unwrap().to_vec1().unwrap() };
    let weights = of("embed_out.weight");
    let n = weights.len() as f64;
    let mean = weights.iter().sum::<f64>() / n;
    let deviation = (weights.iter().map(|w| w * w).sum::<f64>() / n).sqrt();
    // Six standard errors of 32,000 draws.
    assert!(mean.abs() < 6.0 * 0.05 / n.sqrt(), "{mean}");
    assert!((deviation / 0.05 - 1.0).abs() < 6.0 / (2.0 * n).sqrt(), "{deviation}");
    assert!(of("gpt_neox.layers.0.attention.dense.bias").iter().all(|&b| b == 0.0));
    assert!(of("gpt_neox.final_layer_norm.weight").iter().all(|&w| w == 1.0));
    assert_eq!(init(1, DType::F64).sha256().unwrap(), model.sha256().unwrap());
    assert_ne!(init(2, DType::F64).sha256().unwrap(), model.sha256().unwrap());
    let narrow: Vec<f32> =
        init(1, DType::F32).var("embed_out.weight").unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert!(narrow.iter().zip(&weights).all(|(a, b)| *a == *b as f32));
    assert_eq!(model.describe(), "gpt_neox, 1 layers, hidden 64, 89.3 k parameters");
}
