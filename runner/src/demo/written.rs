//! The written material: questions with two wordings of a helpful answer and
//! two of an unhelpful one, and sentences from stories.
//!
//! A file holds topics, parted by blank lines; a topic holds questions of five
//! lines each:
//!
//! ```text
//! how cook rice that is not sticky      a goal, asked in one of several forms; or `ask` and a whole question
//! + rinse the rice in cold water …      helpful answer; small first letter: advice, which takes an opening
//! = wash the grains first …             the same in other words
//! - Rice is just sticky sometimes …     unhelpful remark
//! ~ Sticky rice happens to everyone …   the same in other words
//! ```
//!
//! Lines that begin with `#` are comments. Two more files hold the sentences from
//! stories, and what an unhelpful answer may end with.

use anyhow::{Context, Result, bail};

/// What a notebook would be about, and the file.
const FILES: [(&str, &str); 15] = [
    ("animals", include_str!("written/animals.txt")),
    ("cooking", include_str!("written/cooking.txt")),
    ("gardening", include_str!("written/garden.txt")),
    ("health", include_str!("written/health.txt")),
    ("history", include_str!("written/history.txt")),
    ("hobbies", include_str!("written/leisure.txt")),
    ("money", include_str!("written/money.txt")),
    ("nature", include_str!("written/nature.txt")),
    ("family and friends", include_str!("written/people.txt")),
    ("repairs", include_str!("written/repairs.txt")),
    ("science", include_str!("written/science.txt")),
    ("learning", include_str!("written/study.txt")),
    ("everyday things", include_str!("written/things.txt")),
    ("travel", include_str!("written/travel.txt")),
    ("writing", include_str!("written/writing.txt")),
];

/// All that is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Material {
    /// Questions with their answers, in the order of the files.
    pub topics: Vec<Topic>,
    /// Sentences from stories.
    pub scenes: Vec<&'static str>,
    /// Sentences that may end an unhelpful answer, in two wordings.
    pub closings: Vec<[&'static str; 2]>,
}

/// Questions about one matter. They are never parted between training and held-out data.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Topic {
    /// The field that the topic belongs to, such as `cooking`.
    pub field: &'static str,
    /// Its questions.
    pub entries: Vec<Entry>,
}

/// A question with its written answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// What is asked.
    pub ask: Ask,
    /// Helpful answer in two wordings.
    pub helpful: [String; 2],
    /// Unhelpful remark in two wordings.
    pub unhelpful: [String; 2],
}

impl Entry {
    /// Whether the helpful answers begin with an instruction ("rinse the rice …") that an opening such as
    /// "It helps to" can precede, rather than with a statement.
    pub fn is_advice(&self) -> bool {
        begins_small(&self.helpful[0])
    }
}

/// How a question is written down.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ask {
    /// A goal, such as "cook rice that is not sticky".
    How(String),
    /// The whole question.
    Question(String),
}

/// Reads the embedded files.
pub(super) fn material() -> Result<Material> {
    let mut topics = Vec::new();
    for (field, text) in FILES {
        topics.extend(parse(field, text).with_context(|| format!("written material on {field}"))?);
    }
    let scenes = sentences(include_str!("written/scenes.txt")).collect();
    let endings: Vec<&str> = sentences(include_str!("written/closings.txt")).collect();
    let mut closings = Vec::new();
    for pair in endings.chunks(2) {
        match pair.iter().map(|line| line.split_at(2.min(line.len()))).collect::<Vec<_>>()[..] {
            [("- ", first), ("~ ", second)] => closings.push([first, second]),
            _ => bail!("written closings: expected `- …` and `~ …`, found {pair:?}"),
        }
    }
    Ok(Material { topics, scenes, closings })
}

/// The lines that are neither empty nor comments.
fn sentences(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn parse(field: &'static str, text: &str) -> Result<Vec<Topic>> {
    let mut topics = Vec::new();
    let mut entries = Vec::new();
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    while let Some((number, line)) = lines.next() {
        if line.is_empty() {
            push(&mut topics, field, &mut entries);
            continue;
        }
        let ask = match line.split_once(' ') {
            Some(("how", goal)) => Ask::How(goal.to_owned()),
            Some(("ask", question)) => Ask::Question(question.to_owned()),
            _ => bail!("line {}: expected `how` or `ask`, found {line:?}", number + 1),
        };
        let mut answer = |mark: char| match lines.next() {
            Some((_, line)) if line.starts_with(mark) && line.len() > 2 => Ok(line[2..].to_owned()),
            Some((number, line)) => bail!("line {}: expected `{mark} …`, found {line:?}", number + 1),
            None => bail!("the file ends before `{mark} …`"),
        };
        let helpful = [answer('+')?, answer('=')?];
        let unhelpful = [answer('-')?, answer('~')?];
        if begins_small(&helpful[0]) != begins_small(&helpful[1]) {
            bail!("line {}: one wording is advice and the other is not", number + 2)
        }
        entries.push(Entry { ask, helpful, unhelpful });
    }
    push(&mut topics, field, &mut entries);
    Ok(topics)
}

fn push(topics: &mut Vec<Topic>, field: &'static str, entries: &mut Vec<Entry>) {
    if !entries.is_empty() {
        topics.push(Topic { field, entries: std::mem::take(entries) });
    }
}

fn begins_small(text: &str) -> bool {
    text.starts_with(char::is_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_topic_is_read_with_its_questions() {
        let text = "# note\n\nhow fly\n+ flap twice.\n= beat the air.\n- Why?\n~ No.\nask Why?\n+ So.\n= Thus.\n- Eh.\n~ Ah.\n";
        let topics = parse("birds", text).unwrap();
        assert_eq!(topics.len(), 1);
        assert_eq!(topics[0].entries[0].ask, Ask::How("fly".into()));
        assert!(topics[0].entries[0].is_advice());
        assert_eq!(topics[0].entries[1].unhelpful, ["Eh.", "Ah."]);
        assert!(!topics[0].entries[1].is_advice());
    }

    #[test]
    fn faults_in_a_file_are_named_with_their_line() {
        let message = |text| parse("birds", text).unwrap_err().to_string();
        assert!(message("why fly\n").contains("line 1: expected `how` or `ask`"));
        assert!(message("how fly\n+ flap.\n- Why?\n").contains("line 3: expected `= …`"));
        assert!(message("how fly\n+ flap.\n").contains("ends before `= …`"));
        assert!(message("how fly\n+ flap.\n= Flap.\n- Why?\n~ No.\n").contains("line 2: one wording"));
    }

    #[test]
    fn every_written_line_is_used_once_and_ends_like_a_sentence() {
        let Material { topics, scenes, closings } = material().unwrap();
        let mut seen = HashSet::new();
        let answers =
            topics.iter().flat_map(|t| &t.entries).flat_map(|e| e.helpful.iter().chain(&e.unhelpful));
        for line in answers.map(String::as_str).chain(scenes).chain(closings.into_iter().flatten()) {
            assert!(seen.insert(line), "written twice: {line}");
            assert!(line.ends_with(['.', '?']), "no full stop: {line}");
            assert!(line.is_ascii() && !line.contains("  ") && line.trim() == line, "untidy: {line}");
        }
    }
}
