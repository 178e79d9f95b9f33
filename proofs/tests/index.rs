//! `STATEMENTS.md`, the tests and the table of tolerances say the same.

use ldyn_core::statements::STATEMENTS;
use ldyn_proofs::tolerance::TABLE;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const KINDS: [&str; 4] = ["exact", "first-order", "false", "numeric"];

struct Row {
    id: String,
    coq: Vec<String>,
    test: String,
    tolerance: String,
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn page() -> String {
    file("STATEMENTS.md")
}

/// `name` in backticks, without them.
fn unquoted(cell: &str) -> String {
    let name = cell.strip_prefix('`').and_then(|c| c.strip_suffix('`'));
    name.unwrap_or_else(|| panic!("a name stands in backticks, found {cell}")).to_owned()
}

/// The cells of a Markdown table row; `\|` is a bar within a cell.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim().trim_matches('|').replace("\\|", "\u{1}");
    line.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
}

fn rows() -> Vec<Row> {
    let page = page();
    let lines = page.lines().filter(|line| KINDS.iter().any(|kind| line.starts_with(&format!("| {kind}/"))));
    lines
        .map(|line| match cells(line).as_slice() {
            [id, _, _, coq, test, tolerance] => Row {
                id: id.clone(),
                coq: if coq == "—" { Vec::new() } else { coq.split(", ").map(unquoted).collect() },
                test: unquoted(test),
                tolerance: tolerance.clone(),
            },
            other => panic!("a statement has 6 cells, found {}: {line}", other.len()),
        })
        .collect()
}

/// `file::function` of every test beside this one.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|e| e != "rs") || file == "index" {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        for after in source.split("#[test]").skip(1) {
            let (_, name) = after.split_once("fn ").unwrap();
            let name = name.split(|c: char| c != '_' && !c.is_alphanumeric()).next().unwrap();
            found.insert(format!("{file}::{name}"));
        }
    }
    found
}

#[test]
fn every_statement_has_a_test_and_every_test_a_statement() {
    let stated: BTreeSet<String> = rows().into_iter().map(|row| row.test).collect();
    let tests = tests();
    let untested: Vec<_> = stated.difference(&tests).collect();
    let unstated: Vec<_> = tests.difference(&stated).collect();
    assert!(untested.is_empty(), "in STATEMENTS.md, but no such test: {untested:?}");
    assert!(unstated.is_empty(), "a test without a row in STATEMENTS.md: {unstated:?}");
}

/// The theorems of `coq/Statements.v`, and those that `coq/README.md` lists for want of a row.
fn theorems() -> (BTreeSet<String>, BTreeSet<String>) {
    let source = file("coq/Statements.v");
    let proved = source.lines().filter_map(|line| line.strip_prefix("Theorem ")?.strip_suffix(" :"));
    let readme = file("coq/README.md");
    let (_, list) = readme.split_once("| theorem | statement | paper |\n|---|---|---|\n").unwrap();
    let listed = list.lines().take_while(|line| line.starts_with('|')).map(|line| unquoted(&cells(line)[0]));
    (proved.map(str::to_owned).collect(), listed.collect())
}

#[test]
fn every_coq_name_is_a_theorem_and_every_theorem_is_named_once() {
    let (proved, listed) = theorems();
    let rows: BTreeSet<String> = rows().into_iter().flat_map(|row| row.coq).collect();
    assert!(!proved.is_empty() && !rows.is_empty(), "the theory or the column is empty");
    let unknown: Vec<_> = rows.union(&listed).filter(|name| !proved.contains(*name)).collect();
    assert!(unknown.is_empty(), "named, but not a theorem of coq/Statements.v: {unknown:?}");
    let unnamed: Vec<_> =
        proved.iter().filter(|name| !rows.contains(*name) && !listed.contains(*name)).collect();
    assert!(unnamed.is_empty(), "a theorem named neither in STATEMENTS.md nor in coq/README.md: {unnamed:?}");
    let twice: Vec<_> = rows.intersection(&listed).collect();
    assert!(twice.is_empty(), "has a row, so coq/README.md need not list it: {twice:?}");
}

#[test]
fn every_id_is_unique_and_every_table_row_has_a_kind() {
    let rows = rows();
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids.len(), rows.len(), "an id stands twice");
    let with_test = page().lines().filter(|line| line.contains("` | ") && line.contains("::")).count();
    assert_eq!(with_test, rows.len(), "a row's id starts with none of {KINDS:?}");
}

#[test]
fn every_statement_names_a_tolerance_that_its_test_uses() {
    for row in rows() {
        assert!(TABLE.iter().any(|t| t.name == row.tolerance), "{}: no tolerance {}", row.id, row.tolerance);
        let (file, name) = row.test.split_once("::").unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(format!("{file}.rs"));
        let source = fs::read_to_string(path).unwrap();
        let body = source.split_once(&format!("fn {name}(")).map_or("", |(_, after)| after);
        let body = body.split("#[test]").next().unwrap();
        let through_helper = row.tolerance == "QUOTED" && body.contains("assert_quoted");
        let by_sign = row.tolerance == "EXACT";
        assert!(
            body.contains(&format!("{}.", row.tolerance))
                || body.contains(&format!(", {})", row.tolerance))
                || through_helper
                || by_sign,
            "{}: {name} does not use {}",
            row.id,
            row.tolerance
        );
    }
}

#[test]
fn the_table_of_tolerances_is_the_one_in_use() {
    let page = page();
    let (_, written) = page.split_once("| name | relative | reason |\n|---|---|---|\n").unwrap();
    let rendered: String =
        TABLE.iter().map(|t| format!("| {} | {:e} | {} |\n", t.name, t.relative, t.reason)).collect();
    assert_eq!(written, rendered, "write the table of src/tolerance.rs at the end of STATEMENTS.md");
}

/// Exact statements that are not in the table of `ldyn-core`, and why one case is not enough for them.
const NOT_IN_THE_TABLE: [(&str, &str); 19] = [
    ("exact/R7-optimal", "about one distribution"),
    ("exact/K1", "about the Jacobians of two contexts"),
    ("exact/K2", "about the Jacobians of a context"),
    ("exact/K3", "about the Jacobians of two contexts"),
    ("exact/K4", "about the Jacobians of two contexts"),
    ("exact/K5", "about the Jacobians of two contexts"),
    ("exact/K6", "about the Jacobians of three contexts"),
    ("exact/K7", "about two responses"),
    ("exact/K8", "about the features of two contexts"),
    ("exact/N6-sharp", "about one distribution"),
    ("exact/P5", "about two contexts"),
    ("exact/P6", "about two contexts"),
    ("exact/P7", "about two contexts"),
    ("exact/P8", "about one pair of contexts"),
    ("exact/T8", "about the limit of infinitely many steps"),
    ("exact/M5", "about the limit of infinitely many steps"),
    ("exact/M6-size", "about the features of a context"),
    ("exact/C6-optimal", "about one distribution"),
    ("exact/S8", "about one distribution"),
];

#[test]
fn every_exact_statement_is_in_the_table_or_has_a_reason_not_to_be() {
    let stated: BTreeSet<String> = rows().into_iter().map(|row| row.id).collect();
    let in_table: BTreeSet<String> = STATEMENTS.iter().map(|s| s.id.to_owned()).collect();
    assert_eq!(in_table.len(), STATEMENTS.len(), "an id stands twice in the table");
    let unstated: Vec<_> = in_table.difference(&stated).collect();
    assert!(unstated.is_empty(), "in the table, but not in STATEMENTS.md: {unstated:?}");
    let excused: BTreeSet<String> = NOT_IN_THE_TABLE.iter().map(|(id, _)| (*id).to_owned()).collect();
    let missing: BTreeSet<String> =
        stated.difference(&in_table).filter(|id| id.starts_with("exact/")).cloned().collect();
    assert_eq!(missing, excused, "not in the table, and listed with a reason");
    for statement in STATEMENTS {
        assert_eq!(
            statement.id.split('/').next(),
            Some(statement.kind.to_string().as_str()),
            "{}",
            statement.id
        );
    }
}
