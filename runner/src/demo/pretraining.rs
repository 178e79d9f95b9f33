//! Running text for the base model.
//!
//! Before finetuning, a language model should know the words and the facts, and what an exchange looks
//! like. So each helpful line (both wordings) and each sentence from stories occurs once in each of
//! [`ROUNDS`] rounds, whether its topic is trained on or held out, in one of the documents below.
//! Unhelpful lines never occur: as in the paper's protocol, the policy would not have written y⁻ itself.
//!
//! - a page of a notebook: two to four lines about one topic, without a question;
//! - an exchange: a question and either wording of its helpful answer, with an opening, under one of
//!   several pairs of names. `Human` and `Assistant` are one pair, so their markers are known;
//! - a page of a story: two to four scenes.

use super::corpus::{answer, join, prompt, question};
use super::written::{Entry, Material, Topic};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// How often each helpful line occurs.
pub(super) const ROUNDS: usize = 4;

/// Share of the lines that stand in an exchange rather than in a notebook.
const EXCHANGES: f64 = 0.4;

/// Names of those who ask and answer, besides `Human` and `Assistant`.
const PAIRS: [(&str, &str); 5] =
    [("Q", "A"), ("Reader", "Editor"), ("Guest", "Host"), ("Pupil", "Teacher"), ("Anna", "Ben")];

/// The documents, in random order.
pub(super) fn documents(material: &Material, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        for topic in &material.topics {
            all.extend(pages(topic, material, rng));
        }
        let mut scenes = material.scenes.clone();
        scenes.shuffle(rng);
        all.extend(in_groups(&scenes, rng).map(|page| page.join(" ")));
    }
    all.shuffle(rng);
    all
}

/// Every helpful answer of a topic, once.
fn pages(topic: &Topic, material: &Material, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut answers: Vec<(&Entry, usize)> =
        topic.entries.iter().flat_map(|entry| [(entry, 0), (entry, 1)]).collect();
    answers.shuffle(rng);
    let (mut documents, mut notes) = (Vec::new(), Vec::new());
    for (entry, which) in answers {
        if rng.random_bool(EXCHANGES) {
            documents.push(exchange(entry, which, material, rng));
        } else {
            notes.push(join("", &entry.helpful[which]));
        }
    }
    documents.extend(in_groups(&notes, rng).map(|page| {
        let page = page.join(" ");
        format!("From a notebook on {}. {page}", topic.field)
    }));
    documents
}

fn exchange(entry: &Entry, which: usize, material: &Material, rng: &mut ChaCha8Rng) -> String {
    let question = question(&entry.ask, rng);
    let answer = answer(entry, which, material, rng);
    match PAIRS.get(rng.random_range(0..=PAIRS.len())) {
        Some((asks, answers)) => format!("{asks}: {question}\n{answers}: {answer}"),
        None => format!("{} {answer}", prompt(&question)),
    }
}

/// Cuts a list into groups of two to four; the last may be shorter.
fn in_groups<'a, T>(items: &'a [T], rng: &mut ChaCha8Rng) -> impl Iterator<Item = &'a [T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let (group, after) = rest.split_at(rng.random_range(2..=4).min(rest.len()));
        rest = after;
        (!group.is_empty()).then_some(group)
    })
}
