//! Which module may use which (the house's "Direction" and "Never").

use std::path::{Path, PathBuf};

/// Folder or file, and the words that its code must not use.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "core/src",
        &["candle", "std::fs", "std::io", "std::time", "std::net", "rand::", "rand_chacha", "ldyn::"],
    ),
    (
        "runner/src/report",
        &["crate::train", "crate::probe", "crate::model", "crate::value", "crate::dynamics", "candle"],
    ),
    (
        "runner/src/record",
        &[
            "crate::config",
            "crate::data",
            "crate::model",
            "crate::report",
            "crate::score",
            "crate::train",
            "candle",
        ],
    ),
    (
        "runner/src/monitor",
        &[
            "crate::data",
            "crate::dynamics",
            "crate::model",
            "crate::probe",
            "crate::report",
            "crate::train",
            "candle",
        ],
    ),
    ("runner/src/files.rs", &["crate::", "candle"]),
    (
        "runner/src/chat.rs",
        &["crate::cli", "crate::data", "crate::judge", "crate::model", "crate::record", "candle"],
    ),
    (
        "runner/src/chat",
        &["crate::cli", "crate::data", "crate::judge", "crate::model", "crate::record", "candle"],
    ),
    (
        "runner/src/hub",
        &[
            "crate::cli",
            "crate::config",
            "crate::data",
            "crate::report",
            "crate::study",
            "crate::train",
            "candle",
        ],
    ),
    (
        "runner/src/tensorboard",
        &["crate::config", "crate::model", "crate::report", "crate::study", "crate::train", "candle"],
    ),
    (
        "runner/src/judge",
        &["crate::cli", "crate::report", "crate::study", "crate::train", "crate::probe", "candle", "ureq"],
    ),
    (
        "runner/src/compat",
        &["crate::train", "crate::model", "crate::report", "crate::study", "crate::config", "candle"],
    ),
    ("runner/src/checkpoint", &["crate::report", "crate::study", "crate::cli"]),
    ("runner/src/statistics.rs", &["crate::record", "crate::model", "candle"]),
    ("runner/src/data", &["crate::model", "crate::train", "crate::value", "candle"]),
    ("runner/src/value", &["crate::model", "crate::score", "crate::train", "crate::probe", "crate::data"]),
    ("runner/src/model", &["crate::score", "crate::train", "crate::probe", "crate::data"]),
    ("runner/src/score.rs", &["crate::train", "crate::probe", "crate::report"]),
    ("runner/src/probe", &["Optimizer", "crate::train", "crate::report"]),
    ("runner/src/dynamics", &["Optimizer", "crate::report", "crate::cli"]),
    ("proofs", &["ldyn::", "candle"]),
];

/// Calls that only one file may make.
const ONLY_IN: &[(&str, &str)] = &[
    ("runner/src/seed.rs", "ChaCha8Rng::"),
    ("runner/src/device.rs", "Device::new_cuda"),
    ("core/src/real.rs", "num_traits"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(at: &Path) -> Vec<PathBuf> {
    if at.is_file() {
        return vec![at.to_owned()];
    }
    let entries = std::fs::read_dir(at).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
    let mut found: Vec<PathBuf> = entries.flat_map(|e| sources(&e.unwrap().path())).collect();
    let is_test = |stem: &str| stem == "tests" || stem.ends_with("_test") || stem.ends_with("_tests");
    found.retain(|p| p.extension().is_some_and(|e| e == "rs"));
    found.retain(|p| !p.file_stem().and_then(|s| s.to_str()).is_some_and(is_test));
    found
}

/// Lines of code that use a forbidden word; comments and unit tests, in their own files too, may say what they like.
fn violations(code: &str, words: &[&str]) -> Vec<String> {
    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|l| !l.trim_start().starts_with("//"));
    lines.filter(|l| words.iter().any(|w| l.contains(w))).map(str::to_owned).collect()
}

#[test]
fn modules_use_only_what_lies_below_them() {
    for (place, words) in FORBIDDEN {
        let files = sources(&root().join(place));
        assert!(!files.is_empty(), "{place} holds no sources");
        for file in files {
            let found = violations(&std::fs::read_to_string(&file).unwrap(), words);
            assert!(found.is_empty(), "{} must not use {words:?}:\n{}", file.display(), found.join("\n"));
        }
    }
}

#[test]
fn some_calls_are_made_in_one_place_only() {
    for (place, word) in ONLY_IN {
        for file in ["core/src", "runner/src"].iter().flat_map(|p| sources(&root().join(p))) {
            if file != root().join(place) {
                let found = violations(&std::fs::read_to_string(&file).unwrap(), &[word]);
                assert!(
                    found.is_empty(),
                    "{} uses {word}, which belongs to {place}:\n{}",
                    file.display(),
                    found.join("\n")
                );
            }
        }
    }
}

#[test]
fn a_planted_use_is_found() {
    assert_eq!(
        violations("use std::fs;\n// use candle_core\nuse candle_core::Tensor;\n", &["candle"]).len(),
        1
    );
    assert!(violations("fn f() {}\n#[cfg(test)]\nuse candle_core::Tensor;", &["candle"]).is_empty());
}
