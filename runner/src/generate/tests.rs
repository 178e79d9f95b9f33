use super::*;
use crate::data::byte_tokenizer;
use crate::model::{ModelConfig, small_models};
use crate::value::Layout;
use candle_core::Device;

const GREEDY: Sampling = Sampling { max_new_tokens: 12, temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0 };

fn prompts<'a>(ids: &'a [Vec<u32>]) -> Vec<Prompt<'a>> {
    ids.iter().enumerate().map(|(stream, ids)| Prompt { ids, stream }).collect()
}

/// A random f32 model of 258 labels that reads 40 tokens.
fn model(seed: u64) -> Model {
    let config = r#"{"model_type": "qwen2", "vocab_size": 258, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48,
        "max_position_embeddings": 40, "initializer_range": 0.3}"#;
    let rng = &mut seed::rng(seed, "model");
    Model::init(ModelConfig::parse(config).unwrap(), DType::F32, &Device::Cpu, rng).unwrap()
}

/// The greedy continuation by computing the whole sequence for each token.
fn recomputed(model: &Model, prompt: &[u32], new: usize) -> Vec<u32> {
    let mut ids = prompt.to_vec();
    for _ in 0..new.min(model.max_positions() - prompt.len()) {
        let logits =
            model.logits(&ids, &Layout::single(ids.len()).unwrap()).unwrap().to_vec2::<f64>().unwrap();
        let last = &logits[ids.len() - 1];
        let best = (0..last.len()).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap();
        ids.push(best as u32);
    }
    ids.split_off(prompt.len())
}

#[test]
fn greedy_continuations_are_those_of_recomputed_sequences() {
    for (name, model) in small_models(5).unwrap() {
        // More than go through the model together, of different lengths; the long ones reach the last position.
        let ids: Vec<Vec<u32>> = (0..BATCH + 5)
            .map(|i| (0..=(i * 7 % 13) as u32).map(|j| (3 * j + i as u32) % 19).collect())
            .collect();
        let found = generate(&model, &prompts(&ids), &Stop::default(), &GREEDY).unwrap();
        for (prompt, found) in ids.iter().zip(&found) {
            assert_eq!(found, &recomputed(&model, prompt, 12), "{name}, prompt {prompt:?}");
        }
        assert!(found.iter().any(|ids| ids.len() == 12) && found.iter().any(|ids| ids.len() < 12));
    }
}

#[test]
fn a_prompt_is_continued_alike_in_any_company() {
    let model = model(1);
    let ids: Vec<Vec<u32>> =
        (0..40u32).map(|i| (0..=(i * 5 % 11)).map(|j| (j * 31 + i) % 250).collect()).collect();
    let sampling = Sampling { temperature: 1.5, top_k: 100, top_p: 0.98, seed: 7, ..GREEDY };
    let stop = Stop::at(17);
    let run = |prompts: &[Prompt], sampling: &Sampling| generate(&model, prompts, &stop, sampling).unwrap();
    let all = prompts(&ids);
    let together = run(&all, &sampling);
    let alone: Vec<_> = all.iter().flat_map(|p| run(std::slice::from_ref(p), &sampling)).collect();
    assert_eq!(together, alone);
    let backwards: Vec<Prompt> = all.iter().rev().copied().collect();
    assert_eq!(run(&backwards, &sampling).into_iter().rev().collect::<Vec<_>>(), together);
    assert_ne!(run(&all, &Sampling { seed: 8, ..sampling }), together);
    // One prompt in two streams.
    let two = [0, 1].map(|stream| Prompt { ids: &ids[3], stream });
    let found = run(&two, &sampling);
    assert_ne!(found[0], found[1]);
}

#[test]
fn a_continuation_ends_at_a_token_at_tokens_at_the_longest_length_or_at_the_last_position() {
    let model = model(2);
    let prompt = vec![5, 6, 7];
    let run = |stop: &Stop, sampling: &Sampling| {
        generate(&model, &prompts(std::slice::from_ref(&prompt)), stop, sampling).unwrap().remove(0)
    };
    let whole = run(&Stop::default(), &GREEDY);
    assert_eq!(whole.len(), 12);
    let at = |stop: &Stop| run(stop, &GREEDY).len();
    let first =
        |wanted: &[u32]| whole.windows(wanted.len()).position(|w| w == wanted).unwrap() + wanted.len();
    assert_eq!(at(&Stop::at(whole[4])), first(&whole[4..5]));
    assert_eq!(at(&Stop::at(257).or_tokens(&whole[3..6]).unwrap()), first(&whole[3..6]));
    assert_eq!(at(&Stop::at(whole[0])), 1);
    assert!(run(&Stop::default(), &Sampling { max_new_tokens: 0, ..GREEDY }).is_empty());
    let longest = run(&Stop::default(), &Sampling { max_new_tokens: 1000, ..GREEDY });
    assert_eq!((longest.len(), &longest[..12]), (37, &whole[..]));
}

#[test]
fn a_stop_text_ends_a_continuation_and_is_cut_off_with_what_follows() {
    let tokenizer = byte_tokenizer();
    let ids = |text: &str| tokenizer.encode(text).unwrap();
    let stop = Stop::at(tokenizer.eos_id()).or_texts(&tokenizer, &["\n\nHuman:", "END"]).unwrap();
    let answer = " Twice.\n\nHuman: Thanks";
    for n in 0..=answer.len() {
        assert_eq!(stop.reached(&ids(&answer[..n])).unwrap(), n >= " Twice.\n\nHuman:".len(), "{n}");
    }
    let text = |t: &str| stop.text(&tokenizer, &ids(t)).unwrap();
    assert_eq!(text(answer), " Twice.");
    assert_eq!(text("a END b\n\nHuman:"), "a ");
    assert_eq!(text("a b<|endoftext|>"), "a b");
    assert_eq!(text("no end\n\nHum"), "no end\n\nHum");
    assert_eq!(Stop::default().text(&tokenizer, &ids(answer)).unwrap(), answer);
    let cut = Stop::default().or_tokens(&ids("\n\n")).unwrap();
    assert_eq!(cut.text(&tokenizer, &ids(" a\n\n")).unwrap(), " a");

    // The same within a continuation: the first two letters in a row that a random model writes.
    let model = model(3);
    let sampling = Sampling { temperature: 1.0, max_new_tokens: 37, ..GREEDY };
    let all: Vec<Vec<u32>> = (0..8).map(|i| vec![i, 2, 3]).collect();
    let never = Stop::default();
    let whole = generate(&model, &prompts(&all), &never, &sampling).unwrap();
    let letters = |ids: &[u32]| {
        let text = tokenizer.decode(ids).ok().filter(|t| t.chars().all(|c| c.is_ascii_graphic()));
        text.filter(|t| t.len() == 2)
    };
    let (i, at) = (0..8)
        .find_map(|i| whole[i].windows(2).position(|w| letters(w).is_some()).map(|at| (i, at)))
        .expect("two letters in a row");
    let wanted = letters(&whole[i][at..at + 2]).unwrap();
    let stop = Stop::default().or_texts(&tokenizer, &[wanted]).unwrap();
    let found = generate(&model, &prompts(&all), &stop, &sampling).unwrap();
    assert_eq!(found[i], whole[i][..at + 2]);
    assert_eq!(stop.text(&tokenizer, &found[i]).unwrap(), tokenizer.decode(&whole[i][..at]).unwrap());
}

#[test]
fn what_cannot_be_continued_is_refused() {
    let model = model(4);
    let refused = |ids: Vec<u32>, stop: &Stop, sampling: Sampling, words: &[&str]| {
        let good = vec![1];
        let error = generate(&model, &prompts(&[good, ids]), stop, &sampling).unwrap_err();
        let text = format!("{error:#}");
        assert!(words.iter().all(|w| text.contains(w)), "{text}");
    };
    let none = Stop::default();
    refused(vec![], &none, GREEDY, &["prompt 1", "empty"]);
    refused(vec![0; 40], &none, GREEDY, &["prompt 1", "40 tokens", "40 positions"]);
    refused(vec![258], &none, GREEDY, &["258", "tokenizer"]);
    refused(vec![1], &none, Sampling { top_p: 0.0, ..GREEDY }, &["top_p"]);
    let tokenizer = byte_tokenizer();
    let unknown = Stop::default().or_texts(&tokenizer, &["x"]).unwrap();
    assert!(unknown.or_texts(&tokenizer, &[""]).is_err());
    assert!(Stop::default().or_tokens(&[]).is_err());
    assert!(generate(&model, &[], &none, &GREEDY).unwrap().is_empty());
}
