use super::*;
use crate::data::KINDS;
use crate::model::Model;
use crate::score::{self, Item};
use crate::value::Value as _;
use candle_core::{DType, Device};
use std::collections::{BTreeMap, HashSet};
use tokenizers::Tokenizer;

const SEED: u64 = 1;

fn records(corpus: &Corpus) -> impl Iterator<Item = &Record> {
    corpus.train.iter().chain(&corpus.held_out)
}

fn word_count(text: &str) -> usize {
    text.split_whitespace().count()
}

/// Mean number of words of a kind over the corpus.
fn mean_words(corpus: &Corpus, kind: &str) -> f64 {
    let counts: Vec<usize> = records(corpus).map(|r| word_count(r.response(kind).unwrap())).collect();
    counts.iter().sum::<usize>() as f64 / counts.len() as f64
}

#[test]
fn there_are_four_hundred_training_questions_and_a_hundred_others_and_all_differ() {
    for seed in 0..5 {
        let corpus = corpus(seed);
        assert!(corpus.train.len() >= 400, "{}", corpus.train.len());
        assert!(corpus.held_out.len() >= 100, "{}", corpus.held_out.len());
        let prompts: HashSet<&str> = records(&corpus).map(|r| r.prompt.as_str()).collect();
        assert_eq!(prompts.len(), corpus.train.len() + corpus.held_out.len());
        for part in [&corpus.train, &corpus.held_out] {
            assert!(part.iter().enumerate().all(|(line, r)| r.example == line));
        }
    }
}

#[test]
fn no_topic_is_both_trained_on_and_held_out() {
    let corpus = corpus(SEED);
    let side = |records: &[Record]| -> HashSet<String> {
        records.iter().map(|r| r.response("chosen").unwrap().to_lowercase()).collect()
    };
    let (train, held_out) = (side(&corpus.train), side(&corpus.held_out));
    let found = |side: &HashSet<String>, entry: &written::Entry| {
        side.iter().any(|text| text.ends_with(&entry.helpful[0].to_lowercase()))
    };
    for topic in written::material().unwrap().topics {
        let trained = topic.entries.iter().filter(|e| found(&train, e)).count();
        let kept = topic.entries.iter().filter(|e| found(&held_out, e)).count();
        assert_eq!(trained.max(kept), topic.entries.len(), "{topic:?}");
        assert_eq!(trained.min(kept), 0, "{topic:?}");
    }
}

#[test]
fn a_seed_gives_the_same_corpus_again_and_another_seed_another() {
    assert_eq!(corpus(SEED), corpus(SEED));
    assert_ne!(corpus(SEED).train, corpus(SEED + 1).train);
}

#[test]
fn every_kind_that_needs_writing_is_there_in_the_order_of_the_table() {
    let built_elsewhere = ["chosen_initial", "irr_train", "irr_test", "random_permute", "random_nonhum"];
    let expected: HashSet<&str> =
        KINDS.iter().map(|k| k.0).filter(|kind| !built_elsewhere.contains(kind)).collect();
    for record in records(&corpus(SEED)) {
        let kinds: HashSet<&str> = record.responses.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, expected);
        assert_eq!(record.responses.len(), expected.len());
    }
}

#[test]
fn responses_are_tidy_sentences_and_no_two_of_a_question_are_alike() {
    for record in records(&corpus(SEED)) {
        let mut seen = HashSet::new();
        for (kind, text) in &record.responses {
            let body = text.strip_prefix(' ').unwrap_or_else(|| panic!("{kind}: no leading space"));
            assert!(body.starts_with(|c: char| c.is_uppercase() || c.is_numeric()), "{kind}: {text}");
            assert!(body.ends_with(['.', '?']) && body.is_ascii() && !body.contains("  "), "{kind}: {text}");
            assert!(seen.insert(text), "{kind} repeats another kind: {text}");
        }
    }
}

#[test]
fn lengths_are_those_of_short_answers_and_chosen_ones_say_more() {
    let corpus = corpus(SEED);
    let mean = |kind: &str| mean_words(&corpus, kind);
    assert!((18.0..26.0).contains(&mean("chosen")), "{}", mean("chosen"));
    assert!((10.0..16.0).contains(&mean("rejected")), "{}", mean("rejected"));
    for (kind, like, tolerance) in [
        ("chosen_gptsemantic", "chosen", 2.0),
        ("chosen_gptformat", "chosen", 2.0),
        ("irr_hum", "chosen", 4.0),
        ("reject_gptsemantic", "rejected", 3.0),
        ("reject_gptformat", "rejected", 3.0),
    ] {
        assert!((mean(kind) - mean(like)).abs() < tolerance, "{kind}: {} and {}", mean(kind), mean(like));
    }
    assert!(records(&corpus).all(|r| word_count(&r.prompt) <= 30), "a question is too long");
}

#[test]
fn a_format_kind_shares_form_but_not_content_and_a_semantic_kind_the_reverse() {
    // Words of the openings do not count: the format kinds share them by design.
    let content = |text: &str| -> HashSet<String> {
        let words = text.split(|c: char| !c.is_alphabetic()).filter(|w| w.len() > 5);
        words
            .map(str::to_lowercase)
            .filter(|w| !["advice", "suggest", "question", "answer"].contains(&w.as_str()))
            .collect()
    };
    let shared = |a: &str, b: &str| content(a).intersection(&content(b)).count() as f64;
    let corpus = corpus(SEED);
    let (mut semantic, mut format) = (0.0, 0.0);
    for record in records(&corpus) {
        let chosen = record.response("chosen").unwrap();
        semantic += shared(chosen, record.response("chosen_gptsemantic").unwrap());
        format += shared(chosen, record.response("chosen_gptformat").unwrap());
    }
    assert!(semantic > 3.0 * format, "shared content words: {semantic} and {format}");
}

#[test]
fn the_vocabulary_is_that_of_many_subjects_and_no_opening_prevails() {
    let corpus = corpus(SEED);
    let mut words = HashSet::new();
    let mut openings: BTreeMap<String, usize> = BTreeMap::new();
    for text in records(&corpus).flat_map(|r| ["chosen", "rejected"].map(|kind| r.response(kind).unwrap())) {
        words.extend(text.split(|c: char| !c.is_alphabetic()).map(str::to_lowercase));
        let opening: Vec<&str> = text.split_whitespace().take(4).collect();
        *openings.entry(opening.join(" ")).or_default() += 1;
    }
    assert!(words.len() > 2500, "{} different words", words.len());
    let most = openings.iter().max_by_key(|(_, n)| **n).unwrap();
    assert!(*most.1 < records(&corpus).count() / 10, "{most:?}");
}

#[test]
fn pretraining_shows_every_helpful_line_equally_often_and_no_unhelpful_one() {
    let corpus = corpus(SEED);
    let text = corpus.pretraining.join("\n").to_lowercase();
    for entry in written::material().unwrap().topics.iter().step_by(20).flat_map(|t| t.entries.clone()) {
        for line in &entry.helpful {
            assert_eq!(text.matches(&line.to_lowercase()).count(), pretraining::ROUNDS, "{line}");
        }
        for line in &entry.unhelpful {
            assert!(!text.contains(&line.to_lowercase()), "{line}");
        }
    }
    assert!(corpus.pretraining.iter().all(|document| !document.trim().is_empty()));
}

#[test]
fn the_tokenizer_is_the_same_each_time_and_gives_every_text_back() {
    let corpus = corpus(SEED);
    let json = train_tokenizer(&corpus.pretraining).unwrap();
    assert_eq!(json, train_tokenizer(&corpus.pretraining).unwrap());
    let tokenizer = Tokenizer::from_bytes(json.as_bytes()).unwrap();
    assert_eq!(tokenizer.token_to_id(EOS), Some(0));
    assert_eq!(tokenizer.get_vocab_size(true), VOCABULARY);
    let written = records(&corpus).flat_map(|r| r.responses.iter().map(|(_, t)| t).chain([&r.prompt]));
    for text in written.map(String::as_str).chain(["\n\nHuman: naïve, 日本 and \u{1f600}?\t"]) {
        let ids = tokenizer.encode(text, false).unwrap();
        assert_eq!(tokenizer.decode(ids.get_ids(), false).unwrap(), text);
    }
}

#[test]
fn the_files_hold_the_corpus_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    materialise(folder.path(), SEED, Start::Embedded).unwrap();
    let corpus = corpus(SEED);
    let read = |name: &str| -> Vec<Map<String, Value>> {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for (name, records) in [(TRAIN, &corpus.train), (HELD_OUT, &corpus.held_out)] {
        let rows = read(name);
        assert_eq!(rows.len(), records.len());
        for (row, record) in rows.iter().zip(records) {
            assert_eq!(row["prompt"], record.prompt.as_str());
            assert_eq!(row.len(), 1 + record.responses.len());
            assert!(record.responses.iter().all(|(kind, text)| row[kind] == text.as_str()));
        }
    }
    let texts: Vec<String> =
        read(PRETRAIN).iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts, corpus.pretraining);
}

/// The first seed's corpus made the embedded model: a change of the corpus, the tokenizer or the shape calls for
/// `ldyn demo --pretrain --seed 1`, whose folder `pretrain` becomes `base/`.
#[test]
fn the_embedded_base_is_of_this_corpus_and_this_shape() {
    let file = |name: &str| std::str::from_utf8(base::FILES.iter().find(|f| f.0 == name).unwrap().1).unwrap();
    let json = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let expected = shape(&corpus(SEED)).unwrap();
    for (name, text) in &expected[..2] {
        assert_eq!(json(file(name)), json(text), "{name}");
    }
    let mut config = json(&expected[2].1);
    config["torch_dtype"] = "float16".into();
    assert_eq!(json(file("config.json")), config);
    assert!(config["vocab_size"].as_u64().unwrap() as usize >= VOCABULARY);
}

#[test]
fn the_embedded_base_has_learnt_its_corpus() {
    let folder = tempfile::tempdir().unwrap();
    materialise(folder.path(), SEED, Start::Embedded).unwrap();
    let base = folder.path().join(BASE);
    let model = Model::load(&base, DType::F32, &Device::Cpu).unwrap();
    let tokenizer = Tokenizer::from_file(base.join("tokenizer.json")).unwrap();
    let (mut nats, mut tokens) = (0.0, 0);
    for text in corpus(SEED).pretraining.iter().step_by(40) {
        let ids = tokenizer.encode(text.as_str(), false).unwrap().get_ids().to_vec();
        let packed = score::pack(&[Item { prompt: &[], responses: vec![&ids] }]).unwrap();
        let logp: Vec<f32> = score::log_probs(&model, &packed, None).unwrap().primal().to_vec1().unwrap();
        nats -= logp.iter().copied().map(f64::from).sum::<f64>();
        tokens += logp.len();
    }
    // A uniform guess costs ln 2048 = 7.6 nats, word frequencies alone some 5.
    assert!(nats / (tokens as f64) < 2.5, "{} nats a token", nats / tokens as f64);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let message = materialise(file.path(), SEED, Start::Embedded).unwrap_err().to_string();
    assert!(message.contains(file.path().to_str().unwrap()), "{message}");
}
