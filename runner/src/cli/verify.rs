use crate::report;
use crate::verify::{Request, Verdict, Verification, verify};
use anyhow::Result;
use ldyn_core::statements::{Fault, Kind};
use std::fmt;

/// Check every statement about softmax dynamics on random, peaky, flat, tied, one-hot, huge and tiny logits.
///
/// Exit status 3 if an exact statement fails.
///
/// Example: ldyn verify --cases 1000000 --vocab 50
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Cases for each number of labels.
    #[arg(long, default_value_t = 100_000)]
    cases: u64,
    /// Labels V of a case; repeat it for several runs; 0 draws V from 2 to 64.
    #[arg(long, default_value = "50")]
    vocab: Vec<usize>,
    /// Seed of the cases.
    #[arg(long, default_value_t = 1024)]
    seed: u64,
    /// Check only statements whose id begins with this, such as exact/N or exact/R3; repeat it for several.
    #[arg(long, value_name = "BEGINNING")]
    only: Vec<String>,
    /// Print JSON: one object for each V, with a row a statement.
    #[arg(long)]
    json: bool,
    /// Put a fault into every step, to see that the statements notice.
    #[arg(long, value_enum)]
    inject_fault: Option<Injected>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Injected {
    /// Every step goes the other way.
    Direction,
    /// Steps on y are taken on the second label.
    Label,
    /// Steps are too large by a thousandth.
    Size,
    /// Nothing is normalised.
    Normaliser,
}

/// Exact statements failed.
#[derive(Debug)]
pub struct Refuted(usize);

impl fmt::Display for Refuted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} exact statement{} failed", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

impl std::error::Error for Refuted {}

pub(super) fn run(args: &Args) -> Result<()> {
    let fault = args.inject_fault.map(|fault| match fault {
        Injected::Direction => Fault::Direction,
        Injected::Label => Fault::Label,
        Injected::Size => Fault::Size,
        Injected::Normaliser => Fault::Normaliser,
    });
    let mut refuted = 0;
    for &vocab in &args.vocab {
        let only = args.only.clone();
        let found = verify(&Request { cases: args.cases, vocab, seed: args.seed, fault, only })?;
        if args.json {
            out!("{}", serde_json::to_string(&found)?);
        } else {
            print!("{}", text(&found));
        }
        refuted += found.failed(Kind::Exact).count();
    }
    if refuted > 0 { Err(Refuted(refuted).into()) } else { Ok(()) }
}

fn text(v: &Verification) -> String {
    let vocab = if v.vocab == 0 { "2 to 64".to_owned() } else { v.vocab.to_string() };
    let mut lines =
        vec![["statement", "kind", "tried", "worst margin", "verdict"].map(String::from).to_vec()];
    for row in &v.statements {
        let verdict = match row.verdict {
            Verdict::NotTried => "not tried".to_owned(),
            Verdict::Holds => "holds".to_owned(),
            Verdict::Refuted => format!("FAILS on {}", row.failed),
        };
        let margin = row.worst_margin.map_or("–".into(), |m| format!("{m:+.1e}"));
        lines.push(vec![row.id.to_owned(), row.kind.clone(), row.tried.to_string(), margin, verdict]);
    }
    let mut out = report::aligned(&lines, 2);
    for row in &v.statements {
        if let Some(c) = &row.counter_example {
            out += &format!(
                "{}: {}\n  fails on case {} ({} logits, y = {}, second label {}, s = {}) at label {} by {:e}\n",
                row.id, row.words, c.case, c.family, c.labels.0, c.labels.1, c.step, c.at_label, c.margin
            );
            if c.vocab <= 8 {
                out += &format!("  logits {:?}\n", c.logits);
            }
        }
    }
    let failed = v.statements.iter().filter(|r| r.failed > 0).count();
    out + &format!(
        "V = {vocab}: {} statements on {} cases, {failed} failed; {:.1} s on {} threads, {:.0} cases/s. A margin is in units of rounding's scale; rounding may make it slightly negative.\n",
        v.statements.len(),
        v.cases,
        v.seconds,
        v.threads,
        v.cases as f64 / v.seconds
    )
}
