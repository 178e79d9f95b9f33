//! Running text for the base model.
//!
//! Before finetuning, a language model should know the words, and give every
//! fluent kind of answer some probability, but prefer none of them. So each written
//! line (helpful and unhelpful, both wordings, sentences from stories) occurs once
//! in each of [`ROUNDS`] rounds, whatever its kind and whether its topic is
//! trained on or held out, in one of these documents:
//!
//! - a page of a notebook: two to four lines about one topic, good and bad ones mixed, without a question;
//! - an exchange: a question and any one of its four answers, with opening and closing
//!   as they may come, under one of several pairs of names. `Human` and `Assistant` are one pair, so their markers are known;
//! - a page of a story: two to four scenes.

use super::corpus::{answer, join, prompt, question};
use super::written::{Entry, Material, Topic};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// How often each written line occurs.
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

/// Every written answer of a topic, once.
fn pages(topic: &Topic, material: &Material, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut answers: Vec<(&Entry, usize)> =
        topic.entries.iter().flat_map(|entry| (0..4).map(move |which| (entry, which))).collect();
    answers.shuffle(rng);
    let (mut documents, mut notes) = (Vec::new(), Vec::new());
    for (entry, which) in answers {
        if rng.random_bool(EXCHANGES) {
            documents.push(exchange(entry, which, material, rng));
        } else {
            notes.push(match which {
                0 | 1 => join("", &entry.helpful[which]),
                _ => entry.unhelpful[which - 2].clone(),
            });
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
