//! Real files and tokenizers, where they lie: `$LDYN_DATA`, or `shared/data` beside the checkout.
//! Each test says so and passes where they are absent.

use super::*;
use std::path::{Path, PathBuf};

/// Texts and their ids by Python's `tokenizers` 0.23.3, `add_special_tokens=False`.
type Golden = [(&'static str, &'static [u32]); 4];

const TALK: &str = "\n\nHuman: Hi, I want to learn to play horseshoes.\n\nAssistant:";
const METAL: &str = " A horseshoe is usually made out of metal.";
const MIXED: &str = "naïve 🙂  two  spaces\ttab";
const CODE: &str = "def f(x):\n    return x * 1234567";

#[rustfmt::skip]
const GPT_NEOX: Golden = [
    (TALK, &[187, 187, 22705, 27, 17459, 13, 309, 971, 281, 3037, 281, 1132, 12074, 1689, 265, 15, 187, 187, 6717, 5567, 27]),
    (METAL, &[329, 12074, 32810, 310, 3798, 1160, 562, 273, 5148, 15]),
    (MIXED, &[2072, 30180, 42908, 50276, 9389, 50276, 31748, 186, 8476]),
    (CODE, &[1545, 269, 9, 89, 2262, 187, 50274, 2309, 1269, 475, 1249, 16767, 2251]),
];

#[rustfmt::skip]
const QWEN: Golden = [
    (TALK, &[271, 33975, 25, 21018, 11, 358, 1366, 311, 3960, 311, 1486, 59375, 4288, 7072, 382, 71703, 25]),
    (METAL, &[362, 59375, 4288, 4644, 374, 5990, 1865, 700, 315, 9317, 13]),
    (MIXED, &[3376, 37572, 586, 27484, 220, 1378, 220, 12621, 58149]),
    (CODE, &[750, 282, 2075, 982, 262, 470, 856, 353, 220, 16, 17, 18, 19, 20, 21, 22]),
];

fn check_ids(tokenizer: &Tokenizer, golden: &Golden) {
    for (text, ids) in golden {
        assert_eq!(tokenizer.encode(text).unwrap(), *ids, "{text:?}");
        assert_eq!(tokenizer.decode(ids).unwrap(), *text);
    }
}

fn data(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let path = std::env::var_os("LDYN_DATA").map_or_else(beside, PathBuf::from).join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("absent, skipped: {name} (set LDYN_DATA to the folder that holds it)");
    None
}

#[test]
fn all_raw_hh_pairs_are_read_and_bad_ones_are_named() {
    let Some(path) = data("hh-pairs/harmless_base_test.jsonl.gz") else { return };
    let message = format!("{:#}", read(&path, &ReadOptions::default()).unwrap_err());
    assert!(message.contains("harmless_base_test.jsonl.gz, line "), "{message}");
    let data = read(&path, &ReadOptions { skip_bad: true, ..Default::default() }).unwrap();
    assert_eq!(data.format, Format::Hh);
    let counts: Vec<usize> = data.skipped.values().map(|(count, _)| *count).collect();
    assert_eq!(data.records.len() + counts.iter().sum::<usize>(), 2312);
    assert_eq!(data.skipped["the prompts of `chosen` and `rejected` differ"].0, 5);
    assert_eq!(counts.iter().sum::<usize>(), 9, "{:?}", data.skipped);
    for record in &data.records {
        assert!(record.prompt.starts_with("\n\nHuman:") && record.prompt.ends_with(HH_MARKER));
    }
}

#[test]
fn the_reference_probe_file_has_500_prompts_and_12_kinds() {
    let Some(path) = data("hh-probe/probe_train.jsonl") else { return };
    let any = ReadOptions { need: Need::Any, ..Default::default() };
    let file = read(&path, &any).unwrap();
    assert_eq!((file.format, file.records.len()), (Format::Probe, 500));
    let emptied: Vec<_> = file.emptied.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(emptied, [("chosen_initial", 21), ("rejected", 1)]);
    let full: Vec<&str> = KINDS.iter().map(|(kind, ..)| *kind).collect();
    let kinds = |r: &Record| r.responses.iter().map(|(kind, _)| kind.clone()).collect::<Vec<_>>();
    assert_eq!(file.records.iter().filter(|r| kinds(r) == full).count(), 478);
    assert!(file.records[0].extra.contains_key("chosen_selfr"));
    // As pairs for training, the record with the empty `rejected` is refused by line.
    let message = format!("{:#}", read(&path, &ReadOptions::default()).unwrap_err());
    assert!(message.contains("line 248: `rejected` is empty"), "{message}");
    // Its kinds are used as they are.
    let set = probe_set::build(&file.records, &[], &ProbeOptions::default()).unwrap();
    assert_eq!(set.records, file.records);
}

#[test]
fn single_responses_are_read_for_sft_and_refused_for_dpo() {
    let Some(path) = data("ultrafeedback/prompts_chosen_500.jsonl") else { return };
    let message = format!("{:#}", read(&path, &ReadOptions::default()).unwrap_err());
    assert!(message.contains("line 1: no field `rejected`") && message.contains("`sft`"), "{message}");
    let options = ReadOptions { need: Need::Chosen, ..Default::default() };
    assert_eq!(read(&path, &options).unwrap().records.len(), 500);
}

#[test]
fn pythia_ids_are_those_of_the_python_package() {
    let Some(path) = data("tokenizers/gpt-neox-20b/tokenizer.json") else { return };
    let tokenizer = Tokenizer::load(&path, None).unwrap();
    assert_eq!((tokenizer.eos_id(), tokenizer.eos_token()), (0, "<|endoftext|>"));
    assert_eq!(tokenizer.vocab_size(), 50_277);
    check_ids(&tokenizer, &GPT_NEOX);
}

#[test]
fn qwen_ids_are_those_of_the_python_package() {
    let Some(path) = data("tokenizers/qwen1.5") else { return };
    let tokenizer = Tokenizer::load(&path, None).unwrap();
    assert_eq!((tokenizer.eos_token(), tokenizer.eos_source()), ("<|im_end|>", "tokenizer_config.json"));
    assert_eq!(tokenizer.token_id("<|endoftext|>"), Some(151_643));
    assert_eq!(Tokenizer::load(&path, Some("<|endoftext|>")).unwrap().eos_id(), 151_643);
    check_ids(&tokenizer, &QWEN);
}

#[test]
fn qwen_chats_end_with_the_templates_own_eos_once() {
    let Some(path) = data("tokenizers/qwen1.5") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.jsonl");
    let row = serde_json::json!({"prompt": "Hi", "chosen": [{"role": "assistant", "content": "Hello"}]});
    std::fs::write(&file, row.to_string()).unwrap();
    let template = ChatTemplate::load(&path).unwrap();
    let data = read(&file, &ReadOptions { need: Need::Chosen, template, ..Default::default() }).unwrap();
    assert_eq!(
        data.records[0].prompt,
        "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
    let tokenizer = Tokenizer::load(&path, None).unwrap();
    let (rows, _) = data.tokenize(&tokenizer, &Lengths::default(), EosInText::Error).unwrap();
    assert_eq!(tokenizer.decode(&rows[0].responses[0].1).unwrap(), "Hello<|im_end|>");
    assert_eq!(rows[0].prompt[0], 151_644);
}

#[test]
fn real_prompts_are_cut_by_either_rule_and_everything_round_trips() {
    let (Some(records), Some(path)) =
        (data("hh-probe/probe_train.jsonl"), data("tokenizers/gpt-neox-20b/tokenizer.json"))
    else {
        return;
    };
    let any = ReadOptions { need: Need::Any, ..Default::default() };
    let records = read(&records, &any).unwrap().records;
    let tokenizer = Tokenizer::load(&path, None).unwrap();
    let run = |cut, max_length| {
        let lengths = Lengths { cut, max_length, ..Default::default() };
        tokenize(&records, &tokenizer, &lengths, EosInText::Error).unwrap()
    };
    let (rows, report) = run(Cut::Independent, 512);
    for (record, row) in records.iter().zip(&rows) {
        let prompt = tokenizer.decode(&row.prompt).unwrap();
        assert!(record.prompt.ends_with(&prompt) || row.prompt.len() == 256);
        for (kind, ids) in &row.responses {
            assert!(row.prompt.len() + ids.len() <= 512);
            if let Some((&0, text)) = ids.split_last() {
                assert_eq!(Some(tokenizer.decode(text).unwrap().as_str()), record.response(kind));
            }
        }
    }
    // 512 is twice 256, so the two rules agree; with more room the reference spares some prompts.
    assert_eq!(run(Cut::Reference, 512), (rows, report));
    assert!(run(Cut::Reference, 1024).1.prompts < run(Cut::Independent, 1024).1.prompts);
}
