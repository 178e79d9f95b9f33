//! `STATEMENTS.md`, the tests, the theory and the tables of the code say the same; each way in which they could
//! differ is planted once, and reported.

use ldyn_core::statements::STATEMENTS;
use ldyn_proofs::tolerance::TABLE;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const KINDS: [&str; 4] = ["exact", "first-order", "false", "numeric"];

/// Exact statements that are not in the table of `ldyn-core`, and why one case is not enough for them.
const NOT_IN_THE_TABLE: [(&str, &str); 18] = [
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
    ("exact/N8-optimal", "about one family of distributions"),
    ("exact/P8", "about one pair of contexts"),
    ("exact/T8", "about the limit of infinitely many steps"),
    ("exact/L8", "about the limit of infinitely many steps"),
    ("exact/M5", "about the limit of infinitely many steps"),
    ("exact/M6-size", "about the features of a context"),
    ("exact/C6-optimal", "about one distribution"),
    ("exact/S8", "about one distribution"),
];

/// All that is compared, as text.
#[derive(Clone)]
struct Sources {
    /// `STATEMENTS.md`.
    page: String,
    /// The source of every file of tests beside this one.
    tests: BTreeMap<String, String>,
    /// `coq/Statements.v`.
    theory: String,
    /// `coq/README.md`.
    readme: String,
    /// Id and kind of the statements of `ldyn-core`.
    table: Vec<(String, String)>,
}

struct Row {
    id: String,
    coq: Vec<String>,
    test: String,
    tolerance: String,
}

impl Row {
    fn kind(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }
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

fn set<T: ToString>(items: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

/// What is in one set and not in the other, each with the words.
fn missing(from: &BTreeSet<String>, of: &BTreeSet<String>, words: &str) -> Vec<String> {
    of.difference(from).map(|name| format!("{name}: {words}")).collect()
}

impl Sources {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = |path: &Path| fs::read_to_string(path).unwrap();
        let beside = fs::read_dir(root.join("tests")).unwrap().map(|entry| entry.unwrap().path());
        let beside = beside.filter(|path| path.extension().is_some_and(|e| e == "rs"));
        let tests = beside.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), file(&path)));
        Sources {
            page: file(&root.join("STATEMENTS.md")),
            tests: tests.filter(|(name, _)| name != "index").collect(),
            theory: file(&root.join("coq/Statements.v")),
            readme: file(&root.join("coq/README.md")),
            table: STATEMENTS.iter().map(|s| (s.id.to_owned(), s.kind.to_string())).collect(),
        }
    }

    /// The rows of the page that name a test.
    fn rows(&self) -> Vec<Row> {
        let lines = self.page.lines().filter(|line| line.starts_with('|') && line.contains("::"));
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

    /// Each test, `file::function`, with its body.
    fn bodies(&self) -> BTreeMap<String, &str> {
        let mut found = BTreeMap::new();
        for (file, source) in &self.tests {
            for after in source.split("#[test]").skip(1) {
                let (_, body) = after.split_once("fn ").unwrap();
                let name = body.split(|c: char| c != '_' && !c.is_alphanumeric()).next().unwrap();
                found.insert(format!("{file}::{name}"), body);
            }
        }
        found
    }

    fn ids_and_kinds(&self) -> Vec<String> {
        let rows = self.rows();
        let mut seen = BTreeSet::new();
        let twice =
            rows.iter().filter(|row| !seen.insert(&row.id)).map(|row| format!("{}: stands twice", row.id));
        let no_kind = rows.iter().filter(|row| !KINDS.contains(&row.kind()));
        twice.chain(no_kind.map(|row| format!("{}: begins with none of {KINDS:?}", row.id))).collect()
    }

    /// A statement without a test, a test without a statement.
    fn statements_and_tests(&self) -> Vec<String> {
        let stated = set(self.rows().iter().map(|row| &row.test));
        let tests = set(self.bodies().keys());
        let untested = missing(&tests, &stated, "in STATEMENTS.md, but no such test");
        untested
            .into_iter()
            .chain(missing(&stated, &tests, "a test without a row in STATEMENTS.md"))
            .collect()
    }

    /// Of those that have a test.
    fn tolerances(&self) -> Vec<String> {
        let bodies = self.bodies();
        let fault = |row: &Row| {
            let (name, body) = (&row.tolerance, bodies.get(&row.test)?);
            let through_helper = name == "QUOTED" && body.contains("assert_quoted");
            let in_body = body.contains(&format!("{name}.")) || body.contains(&format!(", {name})"));
            if !TABLE.iter().any(|t| t.name == name) {
                Some(format!("{}: no tolerance {name}", row.id))
            } else if in_body || through_helper || name == "EXACT" {
                None
            } else {
                Some(format!("{}: {} does not use {name}", row.id, row.test))
            }
        };
        self.rows().iter().filter_map(fault).collect()
    }

    fn table_of_tolerances(&self) -> Vec<String> {
        let written =
            self.page.split_once("| name | relative | reason |\n|---|---|---|\n").map(|(_, table)| table);
        let rendered: String =
            TABLE.iter().map(|t| format!("| {} | {:e} | {} |\n", t.name, t.relative, t.reason)).collect();
        let differs = written != Some(&rendered);
        differs
            .then(|| format!("STATEMENTS.md does not end with src/tolerance.rs:\n{rendered}"))
            .into_iter()
            .collect()
    }

    /// A name that is no theorem, a theorem that is named nowhere or needlessly excused, a row that lacks a name.
    fn statements_and_theorems(&self) -> Vec<String> {
        let theorems =
            self.theory.lines().filter_map(|line| line.strip_prefix("Theorem ")?.strip_suffix(" :"));
        let proved = set(theorems);
        let (_, list) = self.readme.split_once("| theorem | statement | paper |\n|---|---|---|\n").unwrap();
        let listed = list.lines().take_while(|line| line.starts_with('|'));
        let excused = set(listed.map(|line| unquoted(&cells(line)[0])));
        let rows = self.rows();
        let named = set(rows.iter().flat_map(|row| &row.coq));
        let either = &named | &excused;
        let twice = set(&named & &excused);
        let unproved = rows.iter().filter(|row| row.kind() != "numeric" && row.coq.is_empty());
        [
            missing(&proved, &either, "named, but not a theorem of coq/Statements.v"),
            missing(&either, &proved, "a theorem named neither in STATEMENTS.md nor in coq/README.md"),
            missing(&BTreeSet::new(), &twice, "has a row, so coq/README.md need not list it"),
            unproved.map(|row| format!("{}: names no theorem", row.id)).collect(),
        ]
        .concat()
    }

    /// The table of `ldyn-core`, which `ldyn verify` goes through.
    fn statements_and_table(&self) -> Vec<String> {
        let stated = set(self.rows().iter().map(|row| &row.id));
        let in_table = set(self.table.iter().map(|(id, _)| id));
        let excused = set(NOT_IN_THE_TABLE.map(|(id, _)| id));
        let exact = stated.iter().filter(|id| id.starts_with("exact/")).cloned().collect();
        let twice = self.table.len() - in_table.len();
        let other_kind = self.table.iter().filter(|(id, kind)| id.split('/').next() != Some(kind));
        [
            missing(&(&in_table | &excused), &exact, "not in the table, and without a reason"),
            missing(&stated, &in_table, "in the table, but not in STATEMENTS.md"),
            missing(&BTreeSet::new(), &(&in_table & &excused), "in the table, and with a reason not to be"),
            missing(&exact, &excused, "a reason for a statement that is not there"),
            other_kind.map(|(id, kind)| format!("{id}: is {kind} in the table")).collect(),
            (twice > 0).then(|| format!("{twice} ids stand twice in the table")).into_iter().collect(),
        ]
        .concat()
    }

    fn faults(&self) -> Vec<String> {
        [
            self.ids_and_kinds(),
            self.statements_and_tests(),
            self.tolerances(),
            self.table_of_tolerances(),
            self.statements_and_theorems(),
            self.statements_and_table(),
        ]
        .concat()
    }
}

#[test]
fn every_id_is_unique_and_has_a_kind() {
    assert_eq!(Sources::read().ids_and_kinds(), [""; 0]);
}

#[test]
fn every_statement_has_a_test_and_every_test_a_statement() {
    assert_eq!(Sources::read().statements_and_tests(), [""; 0]);
}

#[test]
fn every_statement_names_a_tolerance_that_its_test_uses() {
    assert_eq!(Sources::read().tolerances(), [""; 0]);
}

#[test]
fn the_table_of_tolerances_is_the_one_in_use() {
    assert_eq!(Sources::read().table_of_tolerances(), [""; 0]);
}

#[test]
fn every_statement_but_the_numeric_has_a_theorem_and_every_theorem_a_statement_or_an_excuse() {
    assert_eq!(Sources::read().statements_and_theorems(), [""; 0]);
}

#[test]
fn every_exact_statement_is_in_the_table_or_has_a_reason_not_to_be() {
    assert_eq!(Sources::read().statements_and_table(), [""; 0]);
}

/// What is reported of the sources with one fault planted in them, which are otherwise in order.
fn planted(plant: impl FnOnce(&mut Sources)) -> Vec<String> {
    let mut sources = Sources::read();
    assert_eq!(sources.faults(), [""; 0]);
    plant(&mut sources);
    sources.faults()
}

/// A row without a theorem, which is not to be in the table.
fn row(id: &str, test: &str, tolerance: &str) -> String {
    format!("| {id} | beyond | planted | — | `{test}` | {tolerance} |\n")
}

/// Puts a row before those of rounding.
fn add(page: &mut String, row: &str) {
    let at = page.find("| numeric/F1 ").unwrap();
    page.insert_str(at, row);
}

/// Replaces what stands once.
fn edit(text: &mut String, from: &str, to: &str) {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    *text = text.replace(from, to);
}

#[test]
fn a_statement_without_a_test_is_reported() {
    let found = planted(|s| add(&mut s.page, &row("numeric/Z1", "numeric::planted", "EXACT")));
    assert_eq!(found, ["numeric::planted: in STATEMENTS.md, but no such test"]);
}

#[test]
fn a_test_without_a_statement_is_reported() {
    let found = planted(|s| s.tests.get_mut("numeric").unwrap().push_str("#[test]\nfn planted() {}\n"));
    assert_eq!(found, ["numeric::planted: a test without a row in STATEMENTS.md"]);
}

#[test]
fn a_name_that_is_no_theorem_is_reported() {
    let found = planted(|s| {
        edit(&mut s.page, "`label_falls`, `label_falls_most`", "`label_falls`, `label_falls_most`, `planted`")
    });
    assert_eq!(found, ["planted: named, but not a theorem of coq/Statements.v"]);
}

#[test]
fn a_theorem_that_is_named_nowhere_is_reported() {
    let found = planted(|s| s.theory.push_str("Theorem planted :\n  True.\n"));
    assert_eq!(found, ["planted: a theorem named neither in STATEMENTS.md nor in coq/README.md"]);
}

#[test]
fn an_excuse_for_a_theorem_that_has_a_row_is_reported() {
    let found = planted(|s| {
        edit(&mut s.readme, "| `runner_up_exists` |", "| `label_falls` | planted | |\n| `runner_up_exists` |")
    });
    assert_eq!(found, ["label_falls: has a row, so coq/README.md need not list it"]);
}

#[test]
fn a_statement_that_names_no_theorem_is_reported() {
    let kept = "| `label_falls` | `squeezing::the_penalised_label_falls_strictly` |";
    let found = planted(|s| edit(&mut s.page, kept, &kept.replace("`label_falls`", "—")));
    assert_eq!(found, ["exact/N1-strict: names no theorem"]);
    for kind in ["first-order", "false"] {
        let id = format!("{kind}/Z1");
        let found = planted(|s| {
            add(&mut s.page, &row(&id, "numeric::softmax_and_its_log_are_the_definitions", "GROWTH"))
        });
        assert_eq!(found, [format!("{id}: names no theorem")]);
    }
}

#[test]
fn a_statement_that_is_not_verified_is_reported() {
    let found = planted(|s| s.table.retain(|(id, _)| id != "exact/N1"));
    assert_eq!(found, ["exact/N1: not in the table, and without a reason"]);
    let found = planted(|s| s.table.push(("exact/Z1".into(), "exact".into())));
    assert_eq!(found, ["exact/Z1: in the table, but not in STATEMENTS.md"]);
    let found = planted(|s| s.table[0].1 = "numeric".into());
    assert_eq!(found, ["exact/A1: is numeric in the table"]);
}

#[test]
fn an_id_that_stands_twice_or_has_no_kind_is_reported() {
    let test = "numeric::softmax_and_its_log_are_the_definitions";
    let found = planted(|s| add(&mut s.page, &row("numeric/F2", test, "GROWTH")));
    assert_eq!(found, ["numeric/F2: stands twice"]);
    let found = planted(|s| edit(&mut s.page, "| numeric/F1 |", "| approximate/F1 |"));
    assert!(found[0].starts_with("approximate/F1: begins with none of"), "{found:?}");
}

#[test]
fn a_tolerance_that_is_unknown_or_not_used_is_reported() {
    let test = "numeric::softmax_and_its_log_are_the_definitions";
    let found = planted(|s| add(&mut s.page, &row("numeric/Z1", test, "PLANTED")));
    assert_eq!(found, ["numeric/Z1: no tolerance PLANTED"]);
    let found = planted(|s| add(&mut s.page, &row("numeric/Z1", test, "SLOPE")));
    assert_eq!(found, [format!("numeric/Z1: {test} does not use SLOPE")]);
    let found = planted(|s| edit(&mut s.page, "| SLOPE | 2e-2 |", "| SLOPE | 2e-1 |"));
    assert_eq!(found.len(), 1, "{found:?}");
}
