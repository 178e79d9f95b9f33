//! The paper's findings as a table of rules.

use super::claims::{Claim, Side};
use super::difference::At::{self, End, Peak, Start};
use super::observations::StageRows;
use super::quantity::{Measure, Quantity};
use super::text::symbol;

/// The stages that a rule speaks of.
#[derive(Clone, Copy, PartialEq)]
pub enum Scope {
    /// The first probed stage, whatever it trains.
    First,
    /// Stages with objective `sft` that train on y⁺ and nothing else: on another kind the roles change.
    Sft,
    /// Stages that train on preferences.
    Preference,
}

/// The kinds that a rule's claims are made for.
#[derive(Clone, Copy)]
pub enum Over {
    /// One kind after the other, as y.
    Kinds(&'static [&'static str]),
    /// Every probed kind but these, as y.
    AllBut(&'static [&'static str]),
    /// Pairs, as y and y′.
    Pairs(&'static [(&'static str, &'static str)]),
}

/// A finding that the records of one run can show.
pub struct Rule {
    /// Stable identifier.
    pub id: &'static str,
    /// Where the paper states it.
    pub source: &'static str,
    /// The stages that it speaks of.
    pub scope: Scope,
    /// The statement.
    pub statement: &'static str,
    /// The kinds that its claims are made for.
    pub over: Over,
    /// What has to hold for y and y′.
    pub claims: for<'a> fn(&'a str, &'a str) -> Vec<Claim<'a>>,
}

const CHOSEN: &[&str] = &["chosen"];
const SHUFFLED: &[&str] = &["random_permute", "random_nonhum"];
const REJECTED_REPHRASED: &[&str] = &["reject_gptsemantic", "reject_gptformat"];
const REPHRASINGS: &[(&str, &str)] =
    &[("chosen_gptsemantic", "reject_gptsemantic"), ("chosen_gptformat", "reject_gptformat")];
const MARGIN: Quantity = Quantity::Margin(Measure::Logp);

fn logp(kind: &str) -> Quantity<'_> {
    Quantity::Of(Measure::Logp, kind)
}

fn greedy(kind: &str) -> Quantity<'_> {
    Quantity::Of(Measure::Greedy, kind)
}

fn a_norm(kind: &str) -> Quantity<'_> {
    Quantity::Of(Measure::ANorm, kind)
}

fn rises(q: Quantity<'_>, from: At, to: At) -> Claim<'_> {
    Claim::Moves(q, from, to, Side::Above)
}

fn falls(q: Quantity<'_>, from: At, to: At) -> Claim<'_> {
    Claim::Moves(q, from, to, Side::Below)
}

fn confident(y: &str) -> Vec<Claim<'_>> {
    vec![rises(greedy(y), Start, End), Claim::Moves(logp("chosen"), Start, End, Side::NotAbove)]
}

/// Findings that the records of one run can show, in reading order.
pub const RULES: &[Rule] = &[
    Rule {
        id: "sft-1",
        source: "§4.1, Fig. 3",
        scope: Scope::Sft,
        statement: "SFT raises y⁺ throughout.",
        over: Over::Kinds(CHOSEN),
        claims: |y, _| vec![rises(logp(y), Start, End), Claim::NoDip(logp(y))],
    },
    Rule {
        id: "sft-2",
        source: "§4.1, Fig. 3",
        scope: Scope::Sft,
        statement: "SFT first raises, then lowers y⁻, the rephrasings, answers of unseen questions and unrelated sentences.",
        over: Over::Kinds(&[
            "rejected",
            "chosen_gptsemantic",
            "chosen_gptformat",
            "reject_gptsemantic",
            "reject_gptformat",
            "irr_test",
            "irr_hum",
        ]),
        claims: |y, _| vec![rises(logp(y), Start, Peak), falls(logp(y), Peak, End)],
    },
    Rule {
        id: "sft-3",
        source: "§4.1, Fig. 3",
        scope: Scope::Sft,
        statement: "SFT only lowers shuffled words.",
        over: Over::Kinds(SHUFFLED),
        claims: |y, _| vec![falls(logp(y), Start, End), Claim::NoBump(logp(y))],
    },
    Rule {
        id: "sft-4",
        source: "§4.1, Fig. 3",
        scope: Scope::Sft,
        statement: "SFT raises the answers of other training questions, more slowly than y⁺ (cross-question bleeding).",
        over: Over::Kinds(&["irr_train"]),
        claims: |y, _| vec![rises(logp(y), Start, End), Claim::Exceeds(logp("chosen"), logp(y))],
    },
    Rule {
        id: "sft-5a",
        source: "§4.1, Fig. 14",
        scope: Scope::Sft,
        statement: "SFT brings the untuned model's own answer below its start.",
        over: Over::Kinds(&["chosen_initial"]),
        claims: |y, _| vec![falls(logp(y), Start, End)],
    },
    Rule {
        id: "sft-5b",
        source: "§4.1, Fig. 15",
        scope: Scope::Sft,
        statement: "After SFT, rephrasings of y⁺ stand better against their start than those of y⁻.",
        over: Over::Pairs(REPHRASINGS),
        claims: |y, z| vec![Claim::Exceeds(logp(y), logp(z))],
    },
    Rule {
        id: "sft-6",
        source: "§4.1, Fig. 15",
        scope: Scope::Sft,
        statement: "Rephrasings that keep the form are more likely than those that keep the meaning (a statement on levels, confounded by length).",
        over: Over::Pairs(&[
            ("chosen_gptformat", "chosen_gptsemantic"),
            ("reject_gptformat", "reject_gptsemantic"),
        ]),
        claims: |y, z| vec![Claim::Higher(logp(y), logp(z), Start), Claim::Higher(logp(y), logp(z), End)],
    },
    Rule {
        id: "dpo-1a",
        source: "§4.2, App. D.3, Fig. 4",
        scope: Scope::Preference,
        statement: "Preference training raises y⁺ at first.",
        over: Over::Kinds(CHOSEN),
        claims: |y, _| vec![rises(logp(y), Start, Peak)],
    },
    Rule {
        id: "dpo-1b",
        source: "§4.2, App. D.3, Fig. 4",
        scope: Scope::Preference,
        statement: "y⁺ ends below its peak.",
        over: Over::Kinds(CHOSEN),
        claims: |y, _| vec![falls(logp(y), Peak, End)],
    },
    Rule {
        id: "dpo-1c",
        source: "§4.2, App. D.3, Fig. 4",
        scope: Scope::Preference,
        statement: "y⁺ ends below its start.",
        over: Over::Kinds(CHOSEN),
        claims: |y, _| vec![falls(logp(y), Start, End)],
    },
    Rule {
        id: "dpo-2",
        source: "§4.2, Fig. 4",
        scope: Scope::Preference,
        statement: "Every kind but y⁺ falls.",
        over: Over::AllBut(CHOSEN),
        claims: |y, _| vec![falls(logp(y), Start, End), Claim::NoBump(logp(y))],
    },
    Rule {
        id: "dpo-3a",
        source: "§4.2, Fig. 4",
        scope: Scope::Preference,
        statement: "y⁻ falls faster than its rephrasings.",
        over: Over::Kinds(REJECTED_REPHRASED),
        claims: |y, _| vec![Claim::Exceeds(logp(y), logp("rejected"))],
    },
    Rule {
        id: "dpo-3b",
        source: "§4.2, Fig. 4",
        scope: Scope::Preference,
        statement: "y⁺ falls slowest of all kinds.",
        over: Over::AllBut(CHOSEN),
        claims: |y, _| vec![Claim::Exceeds(logp("chosen"), logp(y))],
    },
    Rule {
        id: "dpo-3c",
        source: "§4.2, Fig. 4",
        scope: Scope::Preference,
        statement: "Rephrasings of y⁺ fall slower than those of y⁻.",
        over: Over::Pairs(REPHRASINGS),
        claims: |y, z| vec![Claim::Exceeds(logp(y), logp(z))],
    },
    Rule {
        id: "dpo-3d",
        source: "§4.2, Fig. 18",
        scope: Scope::Preference,
        statement: "Shuffled words of y⁺ fall most of all kinds, in nats (in the paper's runs for the smaller models).",
        over: Over::AllBut(SHUFFLED),
        claims: |y, _| vec![Claim::Exceeds(logp(y), logp("random_permute"))],
    },
    Rule {
        id: "dpo-4",
        source: "§4.2, Fig. 4",
        scope: Scope::Preference,
        statement: "The margin grows almost linearly.",
        over: Over::Kinds(CHOSEN),
        claims: |_, _| vec![rises(MARGIN, Start, End), Claim::Linear(MARGIN)],
    },
    Rule {
        id: "greedy-0",
        source: "§4.2, code",
        scope: Scope::First,
        statement: "Greedy confidence belongs to a context: it is higher along y⁺ than along shuffled words, so the two must not be mixed.",
        over: Over::Kinds(SHUFFLED),
        claims: |y, _| {
            let confidence = |kind| Quantity::Of(Measure::GreedyMean, kind);
            vec![Claim::Higher(confidence("chosen"), confidence(y), Start)]
        },
    },
    Rule {
        id: "greedy-1",
        source: "§4.2, App. D",
        scope: Scope::Preference,
        statement: "Greedy confidence rises while log π(y⁺) does not, in the contexts of y⁺.",
        over: Over::Kinds(CHOSEN),
        claims: |y, _| confident(y),
    },
    Rule {
        id: "greedy-2",
        source: "§4.2, App. D",
        scope: Scope::Preference,
        statement: "Greedy confidence rises while log π(y⁺) does not, in the contexts of y⁻.",
        over: Over::Kinds(&["rejected"]),
        claims: |y, _| confident(y),
    },
    Rule {
        id: "greedy-3",
        source: "§4.2, App. D",
        scope: Scope::Preference,
        statement: "Greedy confidence rises while log π(y⁺) does not, in the contexts of shuffled words.",
        over: Over::Kinds(SHUFFLED),
        claims: |y, _| confident(y),
    },
    Rule {
        id: "greedy-4",
        source: "App. D, Fig. 9",
        scope: Scope::Preference,
        statement: "Distributions become peakier: ‖A‖_F rises in the contexts of y⁺.",
        over: Over::Kinds(CHOSEN),
        claims: |y, _| vec![rises(a_norm(y), Start, End)],
    },
    Rule {
        id: "greedy-5",
        source: "§4.2, App. D",
        scope: Scope::Sft,
        statement: "SFT raises greedy confidence, log π(y⁺) and ‖A‖_F together.",
        over: Over::Kinds(CHOSEN),
        claims: |y, _| {
            vec![rises(greedy(y), Start, End), rises(logp(y), Start, End), rises(a_norm(y), Start, End)]
        },
    },
    Rule {
        id: "greedy-6",
        source: "§4.2",
        scope: Scope::Preference,
        statement: "Per update, preference training raises greedy confidence faster than SFT did.",
        over: Over::Kinds(CHOSEN),
        claims: |y, _| vec![Claim::FasterThanSft(greedy(y))],
    },
];

/// Findings that the records of one run cannot hold: id, source, statement, what they need.
pub const BEYOND: &[(&str, &str, &str, &str)] = &[
    (
        "sft-7",
        "§4.1, Fig. 16",
        "On trained prompts y⁺ gains most over unseen prompts, then answers of other training questions, then rephrasings.",
        "a second probe set of prompts that were not trained on",
    ),
    (
        "sft-8",
        "§4.1, Fig. 3",
        "Training on one kind raises its own family most (heat map of trained against observed kind).",
        "one run for each trained kind",
    ),
    (
        "dpo-5",
        "§4.2, Fig. 17",
        "Longer SFT before DPO makes the declines steeper.",
        "runs of one model that differ in the length of SFT",
    ),
    (
        "dpo-7",
        "§3.3, §4.2",
        "With on-policy y⁻, other responses lose less per step than with off-policy y⁻.",
        "an on-policy run beside an off-policy one",
    ),
];

/// Identifiers of the findings that one run can show.
#[cfg(test)]
pub fn rule_ids() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.id)
}

/// Whether an objective trains on pairs of a chosen and a rejected response.
pub fn is_preference(objective: &str) -> bool {
    !matches!(objective, "sft" | "pretrain")
}

impl Scope {
    /// Whether stage `i` is one of them.
    pub fn holds(self, stages: &[StageRows], i: usize) -> bool {
        match self {
            Self::First => stages.iter().position(|s| !s.points.is_empty()) == Some(i),
            Self::Sft => stages[i].info.trains_chosen(),
            Self::Preference => is_preference(&stages[i].info.objective),
        }
    }

    /// What a run lacks that has no such stage.
    pub fn absent(self) -> &'static str {
        match self {
            Self::First => "the run has no probe",
            Self::Sft => "the run has no SFT stage on y⁺ alone",
            Self::Preference => "the run has no stage that trains on preferences",
        }
    }
}

impl Rule {
    /// The claims for placeholders, or for the one kind there is.
    pub fn words(&self) -> String {
        let (who, y, z) = match self.over {
            Over::Kinds([kind]) => (String::new(), *kind, ""),
            Over::Kinds(kinds) => (format!("For y in {}: ", symbols(kinds)), "y", ""),
            Over::AllBut(kinds) => (format!("For every kind y but {}: ", symbols(kinds)), "y", ""),
            Over::Pairs(pairs) => {
                let pairs: Vec<String> =
                    pairs.iter().map(|(y, z)| format!("({}, {})", symbol(y), symbol(z))).collect();
                (format!("For (y, y′) in {}: ", pairs.join(", ")), "y", "y′")
            }
        };
        let claims: Vec<String> = (self.claims)(y, z).iter().map(Claim::words).collect();
        format!("{who}{}.", claims.join("; "))
    }
}

fn symbols(kinds: &[&str]) -> String {
    kinds.iter().map(|kind| symbol(kind)).collect::<Vec<_>>().join(", ")
}
