//! The paper's findings checked against a run's records, each with a verdict.

use super::answers::{Answers, BORROW_MORE, REPEAT_MORE};
use super::claims::{Check, Stages};
use super::observations::Observations;
use super::rules::{BEYOND, Over, RULES, Rule, Scope};
use crate::statistics::MIN_PROMPTS;
use serde::Serialize;

/// What a finding came to in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every check that could be made holds.
    Seen,
    /// A check that could be made does not hold.
    NotSeen,
    /// No check could be made.
    NotMeasured,
}

impl Verdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::NotSeen => "not seen",
            Self::NotMeasured => "not measured",
        }
    }
}

/// A finding of the paper, checked in one stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Stable identifier, such as `sft-1`.
    pub id: &'static str,
    /// Where it is stated: Ren & Sutherland, ICLR 2025.
    pub source: &'static str,
    /// The statement.
    pub statement: &'static str,
    /// Kind of truth: always `measured`, that is, of this run.
    pub truth: &'static str,
    /// The stage it was checked in; absent when the run has none that fits.
    pub stage: Option<String>,
    /// Whether that stage was still going or had been cut off: the verdict is of its records so far.
    pub so_far: bool,
    /// What had to hold, in words.
    pub rule: String,
    /// What came of it.
    pub verdict: Verdict,
    /// The numbers in short, or why there are none.
    pub evidence: String,
    /// Every check that was made.
    pub checks: Vec<Check>,
    /// What could not be checked, one reason each.
    pub unmeasured: Vec<String>,
}

/// Checks every finding in every stage that it speaks of.
pub fn findings(observations: &Observations, answers: &[Answers]) -> Vec<Finding> {
    let stages = &observations.stages;
    let mut out = Vec::new();
    for rule in RULES {
        let fits: Vec<usize> = (0..stages.len()).filter(|&i| rule.scope.holds(stages, i)).collect();
        if fits.is_empty() {
            out.push(rule.absent());
        }
        for i in fits {
            let sft = stages[..i].iter().rev().find(|s| s.info.trains_chosen());
            out.push(rule.check(observations, Stages { stage: &stages[i], sft }));
        }
    }
    out.extend(OF_ANSWERS.iter().flat_map(|rule| rule.findings(observations, answers)));
    out.extend(BEYOND.iter().map(|&(id, source, statement, needs)| {
        let reason = format!("needs {needs}");
        Finding::new(id, source, statement, String::new()).unmeasured(reason)
    }));
    out
}

/// A finding that greedy answers can show.
struct OfAnswers {
    id: &'static str,
    source: &'static str,
    scope: Scope,
    statement: &'static str,
    claim: &'static str,
    check: fn(&Answers) -> Option<Check>,
}

const OF_ANSWERS: [OfAnswers; 2] = [
    OfAnswers {
        id: "repeat-1",
        source: "§4.2, Fig. 23",
        scope: Scope::Preference,
        statement: "Generated answers repeat themselves more after long preference training.",
        claim: REPEAT_MORE,
        check: Answers::repeat_more,
    },
    OfAnswers {
        id: "borrow-1",
        source: "§4.1 (a hypothesis there)",
        scope: Scope::Sft,
        statement: "After SFT, generated answers borrow more phrases from the answers of other training questions.",
        claim: BORROW_MORE,
        check: Answers::borrow_more,
    },
];

impl OfAnswers {
    fn finding(&self) -> Finding {
        Finding::new(self.id, self.source, self.statement, format!("{}.", self.claim))
    }

    /// In every stage that it speaks of.
    fn findings(&self, observations: &Observations, answers: &[Answers]) -> Vec<Finding> {
        let stages = &observations.stages;
        let fits = (0..stages.len()).filter(|&i| self.scope.holds(stages, i));
        let found: Vec<Finding> = fits
            .map(|i| {
                let info = stages[i].info;
                let own = answers.iter().find(|a| a.stage == info.name);
                let mut finding = self.finding();
                finding.stage = Some(info.name.clone());
                finding.so_far = !info.finished;
                match own.and_then(self.check) {
                    Some(check) => {
                        finding.checks.push(check);
                        finding.decide()
                    }
                    None => finding.unmeasured(format!(
                        "needs greedy answers to {MIN_PROMPTS} prompts or more at two probes ([monitor] answers)"
                    )),
                }
            })
            .collect();
        if found.is_empty() {
            return vec![self.finding().unmeasured(self.scope.absent().into())];
        }
        found
    }
}

impl Rule {
    fn finding(&self) -> Finding {
        Finding::new(self.id, self.source, self.statement, self.words())
    }

    fn absent(&self) -> Finding {
        self.finding().unmeasured(self.scope.absent().into())
    }

    fn check(&self, observations: &Observations, at: Stages) -> Finding {
        let instances: Vec<(&str, &str)> = match self.over {
            Over::Kinds(kinds) => kinds.iter().map(|&y| (y, "")).collect(),
            Over::Pairs(pairs) => pairs.to_vec(),
            Over::AllBut(kinds) => {
                let others = observations.kinds.iter().filter(|k| !kinds.contains(k) && at.stage.has(k));
                others.map(|&y| (y, "")).collect()
            }
        };
        let mut finding = self.finding();
        finding.stage = Some(at.stage.info.name.clone());
        finding.so_far = !at.stage.info.finished;
        for (y, z) in instances {
            // A kind whose claims cannot all be checked decides nothing.
            let checks: Result<Vec<Check>, String> =
                (self.claims)(y, z).iter().map(|claim| claim.check(at)).collect();
            match checks {
                Ok(checks) => finding.checks.extend(checks),
                Err(reason) if !finding.unmeasured.contains(&reason) => finding.unmeasured.push(reason),
                Err(_) => {}
            }
        }
        finding.decide()
    }
}

impl Finding {
    fn new(id: &'static str, source: &'static str, statement: &'static str, rule: String) -> Self {
        Self {
            id,
            source,
            statement,
            truth: "measured",
            stage: None,
            so_far: false,
            rule,
            verdict: Verdict::NotMeasured,
            evidence: String::new(),
            checks: Vec::new(),
            unmeasured: Vec::new(),
        }
    }

    fn unmeasured(mut self, reason: String) -> Self {
        self.unmeasured.push(reason);
        self.decide()
    }

    fn decide(mut self) -> Self {
        let failed: Vec<&Check> = self.checks.iter().filter(|c| !c.holds).collect();
        self.verdict = match (self.checks.is_empty(), failed.is_empty()) {
            (true, _) => Verdict::NotMeasured,
            (false, true) => Verdict::Seen,
            (false, false) => Verdict::NotSeen,
        };
        let say = |checks: &[&Check]| {
            checks.iter().map(|c| format!("{}: {}", c.claim, c.measured)).collect::<Vec<_>>().join("; ")
        };
        self.evidence = match self.checks.len() {
            0 if self.unmeasured.is_empty() => "no kind that it speaks of was probed".into(),
            0 => self.unmeasured.join("; "),
            1..=3 => say(&self.checks.iter().collect::<Vec<_>>()),
            n if failed.is_empty() => {
                match self.checks.iter().min_by(|a, b| a.clearance().total_cmp(&b.clearance())) {
                    Some(closest) if closest.clearance().is_finite() => {
                        format!("all {n} checks hold; the least clear: {}", say(&[closest]))
                    }
                    _ => format!("all {n} checks hold"),
                }
            }
            n => format!("{} of {n} checks hold. Not: {}", n - failed.len(), say(&failed)),
        };
        if !self.checks.is_empty() && !self.unmeasured.is_empty() {
            self.evidence += &format!(". Not measured: {}", self.unmeasured.join("; "));
        }
        self
    }
}
