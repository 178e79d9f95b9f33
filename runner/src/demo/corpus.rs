//! The preference corpus: every written question with a chosen, a rejected and
//! further kinds of answers.

use super::pretraining;
use super::written::{self, Ask, Entry, Material, Topic};
use crate::data::Record;
use crate::seed;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

/// Questions kept out of training, at least.
const HELD_OUT: usize = 100;

/// Ways to ask how to reach a goal.
const QUESTIONS: [(&str, &str); 11] = [
    ("How do I ", "?"),
    ("How can I ", "?"),
    ("What is the best way to ", "?"),
    ("Can you tell me how to ", "?"),
    ("Do you have any tips on how to ", "?"),
    ("Is there a simple way to ", "?"),
    ("What do I need to know to ", "?"),
    ("Please explain how to ", "."),
    ("I would like to ", ". Where do I start?"),
    ("I want to ", ". What do you suggest?"),
    ("I find it hard to ", ". Any advice?"),
];

/// Openings of one kind of answer; any two of them mean the same.
struct Openings {
    list: &'static [&'static str],
    /// Share of answers without one.
    bare: f64,
}

const ADVICE: Openings = Openings {
    list: &[
        "I would ",
        "You could ",
        "It helps to ",
        "It is best to ",
        "The best way is to ",
        "My advice is to ",
        "It works well to ",
        "A good idea is to ",
        "I suggest that you ",
    ],
    bare: 0.2,
};

const STATEMENT: Openings = Openings {
    list: &["Good question. ", "Glad you asked. ", "Happy to help. ", "Here is the short answer. "],
    bare: 0.5,
};

const REMARK: Openings = Openings {
    list: &["Honestly? ", "Oh, that. ", "Hm. ", "Oh well. ", "Oh dear. ", "Why ask me? "],
    bare: 0.5,
};

impl Openings {
    /// Draws an opening, or none, but not `other`.
    fn draw(&self, other: Option<&str>, rng: &mut ChaCha8Rng) -> &'static str {
        loop {
            let drawn =
                if rng.random_bool(self.bare) { "" } else { self.list.choose(rng).copied().unwrap_or("") };
            if other != Some(drawn) {
                return drawn;
            }
        }
    }

    /// Draws two that differ.
    fn draw_two(&self, rng: &mut ChaCha8Rng) -> [&'static str; 2] {
        let first = self.draw(None, rng);
        [first, self.draw(Some(first), rng)]
    }
}

/// Share of unhelpful answers with a closing sentence.
const CLOSED: f64 = 0.6;

/// What the demo trains on and probes with.
#[derive(Clone, Debug, PartialEq)]
pub struct Corpus {
    /// Training questions in random order, each with the kinds `chosen`, `chosen_gptsemantic`,
    /// `chosen_gptformat`, `rejected`, `reject_gptsemantic`, `reject_gptformat` and `irr_hum`.
    pub train: Vec<Record>,
    /// Questions about other topics, with the same kinds.
    pub held_out: Vec<Record>,
    /// Documents for the base model.
    pub pretraining: Vec<String>,
}

/// The corpus for a seed: which topics are held out, the form of questions, the openings of answers, and
/// the order are drawn; the sentences are written.
///
/// The kinds of a record are made thus:
///
/// | kind | text |
/// |---|---|
/// | `chosen` | an opening and the helpful answer |
/// | `chosen_gptsemantic` | another opening and the other wording of it |
/// | `chosen_gptformat` | the opening of `chosen` and an answer from another field, in form and length like it |
/// | `rejected`, `reject_gptsemantic`, `reject_gptformat` | likewise an unhelpful remark, often with a closing sentence |
/// | `irr_hum` | sentences from stories, together about as long as `chosen` |
///
/// The `gptformat` kinds take the second wording, so no probed text but `chosen` and `rejected` is ever trained on.
///
/// ```
/// let corpus = ldyn::demo::corpus(1);
/// let first = &corpus.train[0];
/// assert!(first.prompt.starts_with("\n\nHuman: ") && first.prompt.ends_with("\n\nAssistant:"));
/// assert_ne!(first.response("chosen"), first.response("rejected"));
/// ```
///
/// # Panics
/// When the embedded files are damaged, which a test rules out.
pub fn corpus(seed: u64) -> Corpus {
    let material = written::material().expect("the embedded material is in order");
    let pretraining = pretraining::documents(&material, &mut seed::rng(seed, "demo/pretraining"));

    let mut topics: Vec<&Topic> = material.topics.iter().collect();
    topics.shuffle(&mut seed::rng(seed, "demo/split"));
    let mut count = 0;
    let first_train = topics.iter().position(|topic| {
        count += topic.entries.len();
        count - topic.entries.len() >= HELD_OUT
    });
    let (held_out, train) = topics.split_at(first_train.unwrap_or(topics.len()));
    let records = |part: &[&Topic], stream: &str| {
        let mut rng = seed::rng(seed, stream);
        let mut drawn: Vec<(&str, &Entry)> =
            part.iter().flat_map(|topic| topic.entries.iter().map(|entry| (topic.field, entry))).collect();
        drawn.shuffle(&mut rng);
        (0..)
            .zip(drawn)
            .map(|(example, (field, entry))| Record {
                example,
                prompt: prompt(&question(&entry.ask, &mut rng)),
                responses: responses(entry, field, &material, &mut rng),
                extra: serde_json::Map::new(),
            })
            .collect()
    };
    Corpus { train: records(train, "demo/train"), held_out: records(held_out, "demo/held_out"), pretraining }
}

/// Every kind of answer to a question of `field`.
fn responses(entry: &Entry, field: &str, material: &Material, rng: &mut ChaCha8Rng) -> Vec<(String, String)> {
    let elsewhere = || {
        let topics = material.topics.iter().filter(|topic| topic.field != field);
        topics.flat_map(|topic| &topic.entries)
    };
    let advice = entry.is_advice();
    let [opening, another] = if advice { ADVICE } else { STATEMENT }.draw_two(rng);
    let [first, second] = &entry.helpful;
    let candidates = elsewhere().filter(|other| other.is_advice() == advice).map(|other| &*other.helpful[1]);
    let donor = alike(first, candidates, rng);
    let chosen = join(opening, first);
    let story = story(&material.scenes, words(&chosen), rng);
    let mut kinds = vec![
        ("chosen", chosen),
        ("chosen_gptsemantic", join(another, second)),
        ("chosen_gptformat", join(opening, donor)),
    ];

    let [opening, another] = REMARK.draw_two(rng);
    let [first, second] = &entry.unhelpful;
    let donor = alike(first, elsewhere().map(|other| &*other.unhelpful[1]), rng);
    let mut ends = ["", "", ""];
    if rng.random_bool(CLOSED) {
        let drawn: Vec<_> = material.closings.choose_multiple(rng, 2).collect();
        ends = [drawn[0][0], drawn[0][1], drawn[1][1]];
    }
    kinds.extend([
        ("rejected", close(join(opening, first), ends[0])),
        ("reject_gptsemantic", close(join(another, second), ends[1])),
        ("reject_gptformat", close(join(opening, donor), ends[2])),
        ("irr_hum", story),
    ]);
    kinds.into_iter().map(|(kind, text)| (kind.to_owned(), format!(" {text}"))).collect()
}

/// The question in the form of a Human/Assistant conversation, up to where the answer begins.
pub(super) fn prompt(question: &str) -> String {
    format!("\n\nHuman: {question}\n\nAssistant:")
}

/// The question as somebody would ask it.
pub(super) fn question(ask: &Ask, rng: &mut ChaCha8Rng) -> String {
    match ask {
        Ask::Question(text) => text.clone(),
        Ask::How(goal) => {
            let (before, after) = QUESTIONS[rng.random_range(0..QUESTIONS.len())];
            format!("{before}{goal}{after}")
        }
    }
}

/// One of the four written answers (two helpful, then two unhelpful) as it may be given.
pub(super) fn answer(entry: &Entry, which: usize, material: &Material, rng: &mut ChaCha8Rng) -> String {
    let (openings, text) = match which {
        0 | 1 if entry.is_advice() => (ADVICE, &entry.helpful[which]),
        0 | 1 => (STATEMENT, &entry.helpful[which]),
        _ => (REMARK, &entry.unhelpful[which - 2]),
    };
    let answer = join(openings.draw(None, rng), text);
    if which < 2 || !rng.random_bool(CLOSED) {
        return answer;
    }
    close(answer, material.closings.choose(rng).map_or("", |wordings| wordings[which - 2]))
}

/// The answer with a closing sentence, if that is not empty.
fn close(answer: String, closing: &str) -> String {
    if closing.is_empty() { answer } else { format!("{answer} {closing}") }
}

/// Opening and text, with a capital letter in front.
pub(super) fn join(opening: &str, text: &str) -> String {
    let mut joined = format!("{opening}{text}");
    if let Some(first) = joined.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    joined
}

/// A candidate of the same form: as many sentences, commas and question marks where possible, and a length
/// near that of `text`. Drawn among the twelve nearest.
fn alike<'a>(text: &str, candidates: impl Iterator<Item = &'a str>, rng: &mut ChaCha8Rng) -> &'a str {
    let form = |t: &str| [words(t), 3 * t.matches(['.', '?']).count(), 2 * t.matches(',').count()];
    let wanted = form(text);
    let mut near: Vec<(usize, &str)> =
        candidates.map(|c| (wanted.iter().zip(form(c)).map(|(&a, b)| a.abs_diff(b)).sum(), c)).collect();
    near.sort();
    near.truncate(12);
    near.choose(rng).map_or("", |&(_, c)| c)
}

/// Sentences from stories, together about `length` words.
fn story(scenes: &[&str], length: usize, rng: &mut ChaCha8Rng) -> String {
    let mut text = String::new();
    for scene in scenes.choose_multiple(rng, 12) {
        let now = words(&text);
        if now > 0 && (now + words(scene)).abs_diff(length) >= now.abs_diff(length) {
            continue;
        }
        if now > 0 {
            text.push(' ');
        }
        text.push_str(scene);
    }
    text
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}
