//! The probe set: prompts with every kind of response that can be had without another language model.

use super::{KINDS, Record, rank};
use anyhow::{Result, bail};
use rand::Rng;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// Which prompts are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// The first, as the reference does.
    #[default]
    First,
    /// Drawn without repetition, kept in file order.
    Random,
}

/// How to build a probe set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeOptions {
    /// How many prompts; all where absent.
    pub prompts: Option<usize>,
    /// Which prompts.
    pub select: Select,
    /// Seed of every choice made here.
    pub seed: u64,
    /// `irr_train` comes from the first so many training records (the reference: 500); from all where absent.
    pub donors: Option<usize>,
    /// Build anew the kinds that the records already have.
    pub rebuild: bool,
}

/// Records to probe, and remarks on kinds that could not be built.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeSet {
    /// Prompts with their responses in the order of [`KINDS`], then further kinds.
    pub records: Vec<Record>,
    /// One sentence for each kind that some records lack.
    pub notes: Vec<String>,
}

/// Builds the probe set from training records, and from held-out ones where there are any. Kinds that a record
/// has already are used as they are. Built are
///
/// - `irr_train`: `chosen` of another training question, uniform among those whose prompt and
///   chosen text both differ from this one's;
/// - `irr_test`: `chosen` of a held-out question whose prompt is not among the training prompts, and which
///   differs from this one's;
/// - `random_permute`: the words of `chosen`, split at single spaces, in another order;
/// - `random_nonhum`: the words of `irr_test` (of `irr_train` where there is none) in another order.
///
/// A leading space stays in front of shuffled words, so that only the order differs (the reference drops it).
/// Each choice depends on the seed, the kind and the record's line only: adding records or kinds
/// changes no other choice among the same donors.
///
/// # Errors
/// No training records, or `prompts` or `donors` of 0.
pub fn build(train: &[Record], held_out: &[Record], options: &ProbeOptions) -> Result<ProbeSet> {
    let selected: Vec<Record> =
        selection(train.len(), options).into_iter().map(|i| train[i].clone()).collect();
    build_for(&selected, train, held_out, options)
}

/// [`build`] for records that were selected from the training set already.
///
/// # Errors
/// As [`build`].
pub fn build_for(
    selected: &[Record],
    train: &[Record],
    held_out: &[Record],
    options: &ProbeOptions,
) -> Result<ProbeSet> {
    if train.is_empty() || options.prompts == Some(0) || options.donors == Some(0) {
        bail!(
            "a probe set needs records, prompts and donors: found {} records, prompts {:?}, donors {:?}",
            train.len(),
            options.prompts,
            options.donors
        );
    }
    let donors = &train[..options.donors.unwrap_or(train.len()).min(train.len())];
    let known: HashSet<&str> = train.iter().map(|r| r.prompt.as_str()).collect();
    let outside: Vec<&Record> = held_out.iter().filter(|r| !known.contains(r.prompt.as_str())).collect();
    let records: Vec<Record> =
        selected.iter().map(|record| with_built_kinds(record, donors, &outside, options)).collect();
    let mut notes = missing(&records);
    if outside.len() < held_out.len() {
        notes.push(format!(
            "{} of {} held-out records were not used: their prompts are also training prompts",
            held_out.len() - outside.len(),
            held_out.len()
        ));
    }
    Ok(ProbeSet { records, notes })
}

fn selection(len: usize, options: &ProbeOptions) -> Vec<usize> {
    let count = options.prompts.unwrap_or(len).min(len);
    match options.select {
        Select::First => (0..count).collect(),
        Select::Random => {
            let mut rng = crate::seed::rng(options.seed, "probe_set");
            let mut drawn = index::sample(&mut rng, len, count).into_vec();
            drawn.sort_unstable();
            drawn
        }
    }
}

fn with_built_kinds(
    record: &Record,
    donors: &[Record],
    outside: &[&Record],
    options: &ProbeOptions,
) -> Record {
    let rng =
        |kind: &str| crate::seed::rng(options.seed, &format!("probe_set/{kind}/line {}", record.example));
    let mut responses = record.responses.clone();
    let mut set = |kind: &str, build: &dyn Fn(&mut ChaCha8Rng) -> Option<String>| -> Option<String> {
        if let Some(there) = record.response(kind)
            && !options.rebuild
        {
            return Some(there.to_owned());
        }
        let built = build(&mut rng(kind));
        responses.retain(|(k, _)| k != kind);
        responses.extend(built.clone().map(|text| (kind.to_owned(), text)));
        built
    };
    let train = set("irr_train", &|rng| {
        let others: Vec<&str> = donors
            .iter()
            .filter(|d| d.prompt != record.prompt && d.response("chosen") != record.response("chosen"))
            .filter_map(|d| d.response("chosen"))
            .collect();
        pick(&others, rng)
    });
    let test = set("irr_test", &|rng| {
        let others: Vec<&str> = outside
            .iter()
            .filter_map(|d| d.response("chosen"))
            .filter(|&text| record.response("chosen") != Some(text))
            .collect();
        pick(&others, rng)
    });
    set("random_permute", &|rng| shuffled_words(record.response("chosen")?, rng));
    set("random_nonhum", &|rng| shuffled_words(test.as_deref().or(train.as_deref())?, rng));
    responses.sort_by_key(|(kind, _)| rank(kind));
    Record { responses, ..record.clone() }
}

fn pick(texts: &[&str], rng: &mut ChaCha8Rng) -> Option<String> {
    (!texts.is_empty()).then(|| texts[rng.random_range(0..texts.len())].to_owned())
}

/// The words of a text in another order; `None` where no other order exists.
fn shuffled_words(text: &str, rng: &mut ChaCha8Rng) -> Option<String> {
    let (space, body) = text.strip_prefix(' ').map_or(("", text), |body| (" ", body));
    let original: Vec<&str> = body.split(' ').collect();
    if original.iter().all(|word| *word == original[0]) {
        return None;
    }
    let mut words = original.clone();
    while words == original {
        words.shuffle(rng);
    }
    Some(format!("{space}{}", words.join(" ")))
}

/// A sentence for each tracked kind that is absent from some records but not from all, or could have been built.
fn missing(records: &[Record]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        for (kind, _) in &record.responses {
            *counts.entry(kind).or_default() += 1;
        }
    }
    let buildable = |kind: &str| match kind {
        "irr_train" => Some("no other training question has another chosen response"),
        "irr_test" => Some("no held-out records with other prompts were given"),
        "random_permute" | "random_nonhum" => Some("it takes two different words"),
        _ => None,
    };
    let note = |(kind, ..): &(&str, &str, &str)| {
        let found = counts.get(kind).copied().unwrap_or(0);
        let why = buildable(kind).map(|why| format!(": {why}")).unwrap_or_default();
        let wanted = found > 0 || !why.is_empty();
        (wanted && found < records.len())
            .then(|| format!("{} of {} probe prompts lack {kind}{why}", records.len() - found, records.len()))
    };
    KINDS.iter().filter_map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(example: usize, prompt: &str, chosen: &str) -> Record {
        let responses =
            vec![("chosen".to_owned(), chosen.to_owned()), ("rejected".to_owned(), " no".to_owned())];
        Record { example, prompt: prompt.into(), responses, extra: serde_json::Map::new() }
    }

    fn corpus(n: usize, name: &str) -> Vec<Record> {
        (0..n)
            .map(|i| record(i, &format!("{name} question {i}"), &format!(" {name} answer number {i}")))
            .collect()
    }

    fn kinds(record: &Record) -> Vec<&str> {
        record.responses.iter().map(|(kind, _)| kind.as_str()).collect()
    }

    #[test]
    fn any_preference_file_gives_the_kinds_that_need_no_model() {
        let set = build(&corpus(20, "train"), &corpus(5, "test"), &ProbeOptions::default()).unwrap();
        assert_eq!(set.records.len(), 20);
        assert_eq!(set.notes, Vec::<String>::new());
        for record in &set.records {
            let expected = ["chosen", "rejected", "irr_train", "irr_test", "random_permute", "random_nonhum"];
            assert_eq!(kinds(record), expected);
            let text = |kind| record.response(kind).unwrap();
            let words = |kind| {
                let mut words: Vec<&str> = text(kind).split(' ').collect();
                words.sort_unstable();
                words
            };
            assert!(text("irr_train").starts_with(" train") && text("irr_test").starts_with(" test"));
            assert_eq!(words("random_permute"), words("chosen"));
            assert_eq!(words("random_nonhum"), words("irr_test"));
            assert_ne!(text("random_permute"), text("chosen"));
            assert!(text("random_permute").starts_with(' '));
        }
    }

    #[test]
    fn another_question_never_is_the_question_itself_nor_its_double() {
        // Lines 0 to 2 share their prompt, 3 and 4 their answer; only 5 and 6 are free of all.
        let mut train = vec![record(0, "q", " a 0"), record(1, "q", " a 1"), record(2, "q", " a 2")];
        train.extend([record(3, "r", " same s"), record(4, "s", " same s")]);
        train.extend([record(5, "t", " a 5"), record(6, "u", " a 6")]);
        let mut seen = HashSet::new();
        for seed in 0..50 {
            let set = build(&train, &[], &ProbeOptions { seed, ..Default::default() }).unwrap();
            for (record, built) in train.iter().zip(&set.records) {
                let text = built.response("irr_train").unwrap();
                seen.insert((record.example, text.to_owned()));
                let donors: Vec<_> = train.iter().filter(|d| d.response("chosen") == Some(text)).collect();
                assert!(donors.iter().any(|d| d.prompt != record.prompt));
                assert_ne!(Some(text), record.response("chosen"));
            }
        }
        // Every allowed donor occurs: 2 for lines with 4 others sharing, and so on.
        assert_eq!(seen.iter().filter(|(line, _)| *line == 0).count(), 3);
        assert_eq!(seen.iter().filter(|(line, _)| *line == 5).count(), 5);
    }

    #[test]
    fn choices_are_uniform_over_the_donors_and_stay_within_their_range() {
        let train = corpus(40, "train");
        let mut counts = BTreeMap::new();
        for seed in 0..200 {
            let options = ProbeOptions { seed, donors: Some(4), ..Default::default() };
            for record in build(&train, &[], &options).unwrap().records.iter().skip(4) {
                *counts.entry(record.response("irr_train").unwrap().to_owned()).or_insert(0) += 1;
            }
        }
        // 7200 draws from 4 donors: 1800 each, standard deviation 37.
        assert_eq!(counts.len(), 4);
        assert!(counts.values().all(|&n| (1600..2000).contains(&n)), "{counts:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_set_and_another_gives_another() {
        let train = corpus(30, "train");
        let run = |seed, select| {
            build(&train, &[], &ProbeOptions { seed, select, prompts: Some(10), ..Default::default() })
                .unwrap()
                .records
        };
        assert_eq!(run(1, Select::Random), run(1, Select::Random));
        assert_ne!(run(1, Select::First), run(2, Select::First));
        let lines = |records: Vec<Record>| records.iter().map(|r| r.example).collect::<Vec<_>>();
        assert_eq!(lines(run(1, Select::First)), (0..10).collect::<Vec<_>>());
        let drawn = lines(run(1, Select::Random));
        assert!(drawn.is_sorted() && drawn.len() == 10 && drawn != lines(run(2, Select::Random)));
        // A record's kinds do not depend on which others are probed.
        let all = build(&train, &[], &ProbeOptions { seed: 1, ..Default::default() }).unwrap().records;
        assert!(run(1, Select::Random).iter().all(|r| all.contains(r)));
    }

    #[test]
    fn kinds_that_are_there_stay_unless_rebuilt() {
        let mut train = corpus(5, "train");
        train[0].responses.push(("random_permute".into(), "as given".into()));
        train[0].responses.push(("my_kind".into(), "mine".into()));
        let built = |rebuild| {
            build(&train, &[], &ProbeOptions { rebuild, ..Default::default() }).unwrap().records.remove(0)
        };
        assert_eq!(built(false).response("random_permute"), Some("as given"));
        assert_ne!(built(true).response("random_permute"), Some("as given"));
        assert_eq!(kinds(&built(false)).last(), Some(&"my_kind"));
        assert_eq!(built(true).responses.len(), built(false).responses.len());
    }

    #[test]
    fn what_cannot_be_built_is_absent_with_a_note() {
        let train = [record(0, "q", " one"), record(1, "r", " two words")];
        let set = build(&train, &[train[0].clone()], &ProbeOptions::default()).unwrap();
        assert_eq!(kinds(&set.records[0]), ["chosen", "rejected", "irr_train", "random_nonhum"]);
        assert_eq!(
            set.notes,
            [
                "2 of 2 probe prompts lack irr_test: no held-out records with other prompts were given",
                "1 of 2 probe prompts lack random_permute: it takes two different words",
                "1 of 2 probe prompts lack random_nonhum: it takes two different words",
                "1 of 1 held-out records were not used: their prompts are also training prompts",
            ]
        );
        assert!(build(&[], &[], &ProbeOptions::default()).is_err());
        assert!(build(&train, &[], &ProbeOptions { prompts: Some(0), ..Default::default() }).is_err());
    }
}
