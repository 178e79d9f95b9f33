//! The core's table of statements on random cases: every exact statement must hold
//! on each of them.

use crate::seed;
use anyhow::{Result, ensure};
use ldyn_core::statements::{Case, Fault, Kind, Outcome, STATEMENTS, Statement};
use rand::Rng;
use rayon::prelude::*;
use serde::Serialize;
use std::time::Instant;

/// How many cases share a random stream and its scratch space: fewer of more labels, so that a few large cases
/// occupy all threads too.
fn chunk_len(vocab: usize) -> u64 {
    (65_536 / vocab.max(64) as u64).max(1)
}

/// What is verified.
#[derive(Clone, Debug)]
pub struct Request {
    /// Cases.
    pub cases: u64,
    /// Labels V of each case; 0 draws V from 2 to 64.
    pub vocab: usize,
    /// Seed of the cases.
    pub seed: u64,
    /// A fault put into every step, to see the statements notice.
    pub fault: Option<Fault>,
    /// Beginnings of the ids that are checked; none for all of them.
    pub only: Vec<String>,
}

impl Request {
    fn statements(&self) -> Result<Vec<&'static Statement>> {
        for start in &self.only {
            ensure!(
                STATEMENTS.iter().any(|s| s.id.starts_with(start)),
                "no statement's id begins with `{start}`: ids are such as `{}`, and `verify` without a choice lists them",
                STATEMENTS[0].id
            );
        }
        let chosen = |s: &&Statement| self.only.is_empty() || self.only.iter().any(|o| s.id.starts_with(o));
        Ok(STATEMENTS.iter().filter(chosen).collect())
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// Cases tried.
    pub cases: u64,
    /// Labels of each, 0 for 2 to 64.
    pub vocab: usize,
    /// Seed.
    pub seed: u64,
    /// Fault put in.
    pub fault: Option<String>,
    /// Threads.
    pub threads: usize,
    /// Wall seconds.
    pub seconds: f64,
    /// A row a statement.
    pub statements: Vec<Row>,
}

/// One statement on all cases.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Id, as in STATEMENTS.md of the proofs.
    pub id: &'static str,
    /// Kind of truth.
    pub kind: String,
    /// The statement.
    pub words: &'static str,
    /// Cases on which its condition is met.
    pub tried: u64,
    /// Cases on which it fails.
    pub failed: u64,
    /// What follows from that.
    pub verdict: Verdict,
    /// Smallest margin, in units of rounding's scale; absent if it was never tried. A margin that is not a
    /// number is `null` in JSON too: the verdict tells them apart.
    pub worst_margin: Option<f64>,
    /// The first case on which it fails, in the order of the cases.
    pub counter_example: Option<CounterExample>,
}

/// What the cases say of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// On every case that meets its condition.
    Holds,
    /// It fails on some.
    Refuted,
    /// No case meets its condition.
    #[serde(rename = "not tried")]
    NotTried,
}

/// A case on which a statement fails.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CounterExample {
    /// Number of the case.
    pub case: u64,
    /// How its logits were drawn.
    pub family: &'static str,
    /// Labels.
    pub vocab: usize,
    /// Logits, if there are at most 64.
    pub logits: Vec<f64>,
    /// y and the second label.
    pub labels: (usize, usize),
    /// Step size s.
    pub step: f64,
    /// Where the statement fails most.
    pub at_label: usize,
    /// By how much, in units of rounding's scale.
    pub margin: f64,
}

impl Row {
    fn of(statement: &Statement, tally: Tally) -> Self {
        Row {
            id: statement.id,
            kind: statement.kind.to_string(),
            words: statement.words,
            tried: tally.tried,
            failed: tally.failed,
            verdict: match (tally.tried, tally.failed) {
                (0, _) => Verdict::NotTried,
                (_, 0) => Verdict::Holds,
                _ => Verdict::Refuted,
            },
            worst_margin: (tally.tried > 0).then_some(tally.worst),
            counter_example: tally.first,
        }
    }
}

impl Verification {
    /// Statements of a kind that failed.
    pub fn failed(&self, kind: Kind) -> impl Iterator<Item = &Row> {
        let kind = kind.to_string();
        self.statements.iter().filter(move |r| r.kind == kind && r.failed > 0)
    }
}

/// Checks the statements on every case, in parallel; the result does not depend on the threads.
///
/// The cases do not depend on the statements that are chosen, nor does the work that all statements share.
///
/// # Errors
/// No cases, V = 1, or a choice that no statement answers to.
///
/// ```
/// use ldyn::verify::{Request, verify};
/// let found = verify(&Request { cases: 200, vocab: 8, seed: 1, fault: None, only: vec![] })?;
/// assert!(found.statements.iter().all(|row| row.failed == 0));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn verify(request: &Request) -> Result<Verification> {
    ensure!(request.cases > 0, "0 cases verify nothing: give at least 1");
    ensure!(request.vocab != 1, "one label has probability 1 whatever happens: give at least 2");
    let statements = request.statements()?;
    let started = Instant::now();
    let chunks = request.cases.div_ceil(chunk_len(request.vocab));
    let tallies: Result<Vec<Vec<Tally>>> =
        (0..chunks).into_par_iter().map(|chunk| tally(request, &statements, chunk)).collect();
    let mut total = vec![Tally::default(); statements.len()];
    for tallies in tallies? {
        total.iter_mut().zip(tallies).for_each(|(sum, t)| sum.add(t));
    }
    Ok(Verification {
        cases: request.cases,
        vocab: request.vocab,
        seed: request.seed,
        fault: request.fault.map(|f| format!("{f:?}").to_lowercase()),
        threads: rayon::current_num_threads(),
        seconds: started.elapsed().as_secs_f64(),
        statements: statements.into_iter().zip(total).map(|(s, t)| Row::of(s, t)).collect(),
    })
}

#[derive(Clone, Debug)]
struct Tally {
    tried: u64,
    failed: u64,
    worst: f64,
    first: Option<CounterExample>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { tried: 0, failed: 0, worst: f64::INFINITY, first: None }
    }
}

impl Tally {
    /// `later` comes from later cases.
    fn add(&mut self, later: Self) {
        self.tried += later.tried;
        self.failed += later.failed;
        self.worst = if later.worst < self.worst || later.worst.is_nan() { later.worst } else { self.worst };
        self.first = self.first.take().or(later.first);
    }
}

fn tally(request: &Request, statements: &[&Statement], chunk: u64) -> Result<Vec<Tally>> {
    let rng = &mut seed::rng(request.seed, &format!("verify/{}/{chunk}", request.vocab));
    let mut tallies = vec![Tally::default(); statements.len()];
    let (mut logits, mut scratch) = (Vec::new(), Vec::new());
    let len = chunk_len(request.vocab);
    for number in chunk * len..request.cases.min((chunk + 1) * len) {
        let vocab = if request.vocab == 0 { rng.random_range(2..=64) } else { request.vocab };
        let family = draw(&mut logits, vocab, rng);
        let label = rng.random_range(0..vocab);
        let other = (label + rng.random_range(1..vocab)) % vocab;
        let step = 10f64.powf(rng.random_range(-3.0..2.0));
        scratch.resize(Case::scratch_len(vocab), 0.0);
        let case = Case::new(&logits, (label, other), step, &mut scratch, request.fault)?;
        for (statement, tally) in statements.iter().zip(&mut tallies) {
            let (margin, failure) = match (statement.check)(&case) {
                Outcome::NotApplicable => continue,
                Outcome::Holds { margin, .. } => (margin, None),
                Outcome::Fails { margin, label } => (margin, Some(label)),
            };
            let first = failure.filter(|_| tally.first.is_none()).map(|at_label| CounterExample {
                case: number,
                family,
                vocab,
                logits: if vocab <= 64 { logits.clone() } else { Vec::new() },
                labels: (label, other),
                step,
                at_label,
                margin,
            });
            tally.add(Tally { tried: 1, failed: u64::from(failure.is_some()), worst: margin, first });
        }
    }
    Ok(tallies)
}

/// Draws a row of logits of a random family, and names it.
fn draw(logits: &mut Vec<f64>, vocab: usize, rng: &mut impl Rng) -> &'static str {
    logits.clear();
    let uniform = |logits: &mut Vec<f64>, size: f64, rng: &mut dyn rand::RngCore| {
        logits.extend((0..vocab).map(|_| rng.random_range(-size..size)));
    };
    match rng.random_range(0..8) {
        0 => {
            uniform(logits, 4.0, rng);
            "random"
        }
        1 => {
            uniform(logits, 2.0, rng);
            logits[rng.random_range(0..vocab)] = rng.random_range(4.0..14.0);
            "peaky"
        }
        2 => {
            uniform(logits, 1e-3, rng);
            "flat"
        }
        3 => {
            logits.extend((0..vocab).map(|_| [-1.0, 0.0, 1.5][rng.random_range(0..3)]));
            "tied"
        }
        4 => {
            uniform(logits, 1.0, rng);
            logits[rng.random_range(0..vocab)] = rng.random_range(40.0..2000.0);
            "one-hot"
        }
        5 => {
            uniform(logits, 1e4, rng);
            "huge"
        }
        6 => {
            uniform(logits, 1e-12, rng);
            "tiny"
        }
        _ => {
            logits.resize(vocab, 0.0);
            "uniform"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(fault: Option<Fault>) -> Verification {
        verify(&Request { cases: 4000, vocab: 0, seed: 7, fault, only: vec![] }).unwrap()
    }

    #[test]
    fn a_choice_of_statements_sees_the_same_cases() {
        let chosen = |only: &[&str]| {
            let only = only.iter().map(|o| o.to_string()).collect();
            verify(&Request { cases: 4000, vocab: 0, seed: 7, fault: Some(Fault::Size), only })
        };
        let (all, some) = (run(Some(Fault::Size)), chosen(&["exact/R", "numeric/"]).unwrap());
        let wanted = |id: &str| id.starts_with("exact/R") || id.starts_with("numeric/");
        let of_all: Vec<&Row> = all.statements.iter().filter(|row| wanted(row.id)).collect();
        assert_eq!(serde_json::to_string(&of_all).unwrap(), serde_json::to_string(&some.statements).unwrap());
        assert!(some.statements.len() < all.statements.len());
        assert!(chosen(&["exact/R", "exact/Q"]).unwrap_err().to_string().contains("`exact/Q`"));
    }

    #[test]
    fn every_statement_holds_and_is_tried() {
        let found = run(None);
        for row in &found.statements {
            assert_eq!(row.failed, 0, "{}: {:?}", row.id, row.counter_example);
            assert!(row.tried > 0, "{} was never tried", row.id);
        }
    }

    /// 64·2⁻⁵³ and the sums' V·2⁻⁵³ must suffice where sums are long.
    #[test]
    fn statements_hold_over_many_labels() {
        let found =
            verify(&Request { cases: 400, vocab: 1000, seed: 1024, fault: None, only: vec![] }).unwrap();
        let failed: Vec<&Row> = found.statements.iter().filter(|row| row.failed > 0).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }

    #[test]
    fn a_fault_is_found_and_its_case_is_told() {
        for fault in [Fault::Direction, Fault::Label, Fault::Size, Fault::Normaliser] {
            let found = run(Some(fault));
            let failed: Vec<&Row> = found.failed(Kind::Exact).collect();
            assert!(failed.len() > 10, "{fault:?}");
            let example = failed[0].counter_example.as_ref().unwrap();
            assert_eq!(example.logits.len(), example.vocab);
            assert!(example.margin.is_nan() || example.margin < 0.0);
        }
    }

    #[test]
    fn a_margin_that_is_no_number_is_not_mistaken_for_a_statement_never_tried() {
        let verdict = |tally: Tally| {
            let row = serde_json::to_value(Row::of(&STATEMENTS[0], tally)).unwrap();
            (row["verdict"].as_str().unwrap().to_owned(), row["worst_margin"].as_f64())
        };
        let mut refuted = Tally { tried: 1, failed: 1, worst: f64::NAN, first: None };
        let held = Tally { tried: 1, failed: 0, worst: 0.5, first: None };
        assert_eq!(verdict(Tally::default()), ("not tried".into(), None));
        assert_eq!(verdict(held.clone()), ("holds".into(), Some(0.5)));
        refuted.add(held);
        assert_eq!(verdict(refuted), ("refuted".into(), None));
    }

    #[test]
    fn the_result_does_not_depend_on_the_threads() {
        let of = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| run(Some(Fault::Size)));
            serde_json::to_string(&found.statements).unwrap()
        };
        assert_eq!(of(1), of(3));
    }
}
