//! Every `unsafe` of the project, with its reason. The compiler refuses it elsewhere (`unsafe_code = "deny"`, and
//! `forbid` in the core), but an `allow` is soon written: here it must be entered as well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file, what is unsafe in it and how often, and why it cannot be otherwise.
type Entry = (&'static str, &'static [(&'static str, usize)], &'static str);

/// Every file with something unsafe in it.
const LIST: &[Entry] = &[
    (
        "examples/c/src/lib.rs",
        &[("attribute", 7), ("block", 6), ("extern", 7)],
        "C passes pointers, and finds functions by their names",
    ),
    (
        "examples/c/src/memory.rs",
        &[("block", 3), ("fn", 3)],
        "slices are made of C's pointers and lengths, as far as these can be checked",
    ),
    ("examples/c/src/tests.rs", &[("block", 4)], "tests call the functions as C does, by pointer"),
    ("examples/playground/src/lib.rs", &[("attribute", 13)], "the page finds functions by their names"),
    (
        "examples/playground/src/state.rs",
        &[("block", 1), ("impl", 1)],
        "the module's one state is a static, and a page has one thread",
    ),
    (
        "runner/src/main.rs",
        &[("block", 1)],
        "the environment is set in the first statement, before there is another thread",
    ),
    (
        "runner/src/value/cuda/device.rs",
        &[("block", 2)],
        "memory of a GPU is taken without filling it, and a kernel is launched",
    ),
    (
        "runner/src/value/cuda/host.rs",
        &[("block", 3), ("extern", 2)],
        "tests load the kernels as a processor's library, and call them by pointer",
    ),
    (
        "runner/src/value/cuda/product.rs",
        &[("block", 2)],
        "memory of a GPU is taken without filling it, and cuBLAS, which takes pointers, fills it",
    ),
    (
        "runner/src/value/product.rs",
        &[("block", 5), ("fn", 2), ("impl", 2)],
        "threads write to pieces of one matrix that do not overlap, some of it new memory, through `gemm`, which takes pointers",
    ),
    (
        "tests/bare_metal/src/linux.rs",
        &[("block", 3), ("fn", 1)],
        "a program without a C library asks the system itself to write and to exit",
    ),
];

/// Not spelled out, or the list would have to hold this file.
const UNSAFE: &str = concat!("un", "safe");

/// Lines above an `unsafe` in which its reason must stand.
const NEAR: usize = 4;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `at`, without what was built.
fn sources(at: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(at).unwrap_or_else(|e| panic!("{}: {e}", at.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let kept = paths.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name != "target" && !name.starts_with('.')
    });
    kept.flat_map(|path| match path.is_dir() {
        true => sources(&path),
        false if path.extension().is_some_and(|e| e == "rs") => vec![path],
        false => Vec::new(),
    })
    .collect()
}

/// What a line of code has that is unsafe: the word after each `unsafe`, or `block`.
fn unsafe_in(line: &str) -> Vec<&'static str> {
    let code = line.split("//").next().unwrap_or_default();
    let mut words = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        if word != UNSAFE {
            continue;
        }
        found.push(match words.clone().next() {
            Some("fn") => "fn",
            Some("impl") => "impl",
            Some("trait") => "trait",
            Some("extern") => "extern",
            Some("no_mangle" | "export_name" | "link_section") => "attribute",
            _ => "block",
        });
    }
    found
}

/// How often each occurs in a source, and the lines (from 1) that give no reason.
fn survey(source: &str) -> (BTreeMap<&'static str, usize>, Vec<usize>) {
    let lines: Vec<&str> = source.lines().collect();
    let mut counts = BTreeMap::new();
    let mut silent = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        for what in unsafe_in(line) {
            *counts.entry(what).or_default() += 1;
            let above = &lines[i.saturating_sub(NEAR)..=i];
            // The name of an exported function can only collide with another's, whatever stands beside it.
            if what != "attribute"
                && !above.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
            {
                silent.push(i + 1);
            }
        }
    }
    (counts, silent)
}

#[test]
fn what_is_unsafe_is_listed_with_its_reason() {
    let mut listed: BTreeMap<PathBuf, BTreeMap<&str, usize>> =
        LIST.iter().map(|(file, what, _)| (root().join(file), what.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for file in ["benches", "core", "examples", "proofs", "runner", "tests"]
        .map(|f| root().join(f))
        .iter()
        .flat_map(|f| sources(f))
    {
        let (found, silent) = survey(&std::fs::read_to_string(&file).unwrap());
        let expected = listed.remove(&file).unwrap_or_default();
        let file = file.display();
        if found != expected {
            wrong.push(format!("{file}: {found:?} found, {expected:?} listed"));
        }
        if !silent.is_empty() {
            wrong.push(format!("{file}: no `SAFETY:` above the lines {silent:?}"));
        }
    }
    wrong.extend(listed.keys().map(|file| format!("{}: listed, but not there", file.display())));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_planted_unsafe_is_found() {
    let plant = |code: &str| survey(&code.replace('@', UNSAFE));
    for (code, what) in [
        ("let x = @ { *p };", "block"),
        ("@{f()}", "block"),
        ("pub @ fn f() {}", "fn"),
        ("@ impl<T> Send for P<T> {}", "impl"),
        ("@ extern \"C\" { fn f(); }", "extern"),
        ("#[@(no_mangle)]", "attribute"),
    ] {
        let silent = if what == "attribute" { vec![] } else { vec![1] };
        assert_eq!(plant(code), (BTreeMap::from([(what, 1)]), silent), "{code}");
        assert_eq!(plant(&format!("// SAFETY: so.\n{code}")).1, [0; 0], "{code}");
    }
    for harmless in ["// @ { }", "#![forbid(@_code)]", "/// @ fn", "let not_@ = 1;"] {
        assert_eq!(plant(harmless), Default::default(), "{harmless}");
    }
}
