//! Reading a data file into [`Record`]s.

use super::formats::{self, Fault, Format, Row};
use super::lines::{JsonLines, Numbered, document};
use super::parquet::ParquetRows;
use super::{ChatTemplate, CutReport, EosInText, Lengths, Record, TokenizedRecord, Tokenizer, tokenize};
use crate::{log, memory};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tracing::info;

/// What the user of the records needs of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// `chosen` and `rejected`, as preference objectives do.
    #[default]
    Pair,
    /// `chosen`, as supervised finetuning does.
    Chosen,
    /// Any response with text, as probing and pretraining do.
    Any,
    /// The prompt only, as generation does.
    Prompt,
}

impl Need {
    /// The kinds that every record must have with some text.
    pub fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Pair => &["chosen", "rejected"],
            Self::Chosen => &["chosen"],
            Self::Any | Self::Prompt => &[],
        }
    }

    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Pair => {
                "DPO and its relatives need `prompt`, `chosen` and `rejected` (single responses: train with `sft`)"
            }
            Self::Chosen => "SFT needs `prompt` and `chosen` (or `completion`, `messages`, `text`)",
            Self::Any | Self::Prompt => "expected a response such as `chosen`",
        }
    }
}

/// How to read a data file.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The layout; detected from the first row where absent.
    pub format: Option<Format>,
    /// What each record must have.
    pub need: Need,
    /// Drop and count records that lack it, instead of failing. Damage to the file itself (broken JSON,
    /// invalid UTF-8, a torn archive) always fails.
    pub skip_bad: bool,
    /// Keep the first so many good records, in file order.
    pub limit: Option<usize>,
    /// Further fields to be read as response kinds, such as `chosen_selfr`.
    pub extra_kinds: Vec<String>,
    /// The template for conversational data.
    pub template: Option<ChatTemplate>,
}

/// The records of a file and what was left out of them.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The file.
    pub path: PathBuf,
    /// Its layout, as named or detected.
    pub format: Format,
    /// The records in file order.
    pub records: Vec<Record>,
    /// Reason, count and first line (from 1) of dropped records.
    pub skipped: BTreeMap<String, (usize, usize)>,
    /// How many records lack a kind because its text was blank.
    pub emptied: BTreeMap<String, usize>,
}

impl Dataset {
    /// [`tokenize`]s the records; errors name the file. A chat template's own special tokens are always allowed.
    ///
    /// # Errors
    /// As [`tokenize`].
    pub fn tokenize(
        &self,
        tokenizer: &Tokenizer,
        lengths: &Lengths,
        eos_in_text: EosInText,
    ) -> Result<(Vec<TokenizedRecord>, CutReport)> {
        tokenize(&self.records, tokenizer, lengths, eos_in_text.for_format(self.format))
            .with_context(|| self.path.display().to_string())
    }

    /// What a reader of a run's numbers needs to know, one sentence an entry.
    pub fn notes(&self) -> Vec<String> {
        let skipped = self.skipped.iter().map(|(reason, (count, line))| {
            format!("{}: dropped {count} records: {reason} (first at line {line})", self.path.display())
        });
        let emptied = self.emptied.iter().map(|(kind, count)| {
            format!("{}: left out {count} blank responses of kind {kind}", self.path.display())
        });
        skipped.chain(emptied).collect()
    }
}

/// Reads the records of a `.jsonl`, `.json` (one object a line), `.jsonl.gz`, `.parquet` or `.txt` file.
///
/// # Errors
/// Each names the file, the line (from 1; for Parquet the row), what was found and what to do: an unreadable
/// or empty file, an unknown ending or format, broken JSON, a field that is missing, of the wrong type or blank.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("pairs.jsonl");
/// std::fs::write(&path, r#"{"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: No"}"#)?;
/// let data = ldyn::data::read(&path, &Default::default())?;
/// assert_eq!(data.records[0].prompt, "\n\nHuman: Hi\n\nAssistant:");
/// assert_eq!(data.records[0].response("rejected"), Some(" No"));
/// # anyhow::Ok(())
/// ```
pub fn read(path: &Path, options: &ReadOptions) -> Result<Dataset> {
    let started = Instant::now();
    let data = read_within(path, options, memory::available().unwrap_or(u64::MAX))?;
    info!(
        file = %path.display(),
        format = ?data.format,
        records = data.records.len(),
        dropped = data.skipped.values().map(|(count, _)| count).sum::<usize>(),
        seconds = log::seconds(started),
        "data read"
    );
    Ok(data)
}

/// [`read`] records that take at most `free` bytes of memory: a small archive may hold any number of them.
fn read_within(path: &Path, options: &ReadOptions, free: u64) -> Result<Dataset> {
    if options.limit == Some(0) {
        bail!("a limit of 0 records keeps nothing of {}: leave it out to keep all", path.display());
    }
    let mut rows = rows(path)?.peekable();
    let format = match (options.format, rows.peek()) {
        (Some(format), _) => format,
        (None, Some(Ok((example, row)))) => Format::detect(row)
            .map_err(|e| anyhow::anyhow!("{}: {e}; or name the `format`", place(path, *example)))?,
        // The error itself, or emptiness, is reported below.
        (None, _) => Format::Text,
    };
    let mut data = Dataset {
        path: path.to_owned(),
        format,
        records: Vec::new(),
        skipped: BTreeMap::new(),
        emptied: BTreeMap::new(),
    };
    let limit = options.limit.unwrap_or(usize::MAX);
    let mut held = 0;
    while data.records.len() < limit
        && let Some(row) = rows.next()
    {
        let (example, row) = row?;
        let mut emptied = Vec::new();
        match formats::record(format, example, row, options, &mut emptied) {
            Ok(record) => {
                held += bytes_held(&record);
                if held > free {
                    bail!(
                        "{}: the records up to here take {} of memory, and {} were free: read fewer with `limit`",
                        place(path, example),
                        memory::text(held),
                        memory::text(free)
                    )
                }
                data.records.push(record);
                for kind in emptied {
                    *data.emptied.entry(kind).or_default() += 1;
                }
            }
            Err(Fault { reason, .. }) if options.skip_bad => {
                data.skipped.entry(reason).or_insert((0, example + 1)).0 += 1;
            }
            Err(fault) => bail!("{}: {}", place(path, example), fault.detail),
        }
    }
    if data.records.is_empty() {
        let why = data.notes().join("; ");
        bail!(
            "{} holds no records{}",
            path.display(),
            if why.is_empty() { ": expected one JSON object a line".to_owned() } else { format!(": {why}") }
        );
    }
    Ok(data)
}

/// About how many bytes of memory a record takes.
fn bytes_held(record: &Record) -> u64 {
    /// What a text or a field takes beside its characters.
    const EACH: usize = 48;
    fn of(value: &Value) -> usize {
        EACH + match value {
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(of).sum(),
            Value::Object(map) => map.iter().map(|(key, value)| EACH + key.len() + of(value)).sum(),
            _ => 0,
        }
    }
    let responses = record.responses.iter().map(|(kind, text)| 2 * EACH + kind.len() + text.len());
    let extra = record.extra.iter().map(|(key, value)| EACH + key.len() + of(value));
    (2 * EACH + record.prompt.len() + responses.sum::<usize>() + extra.sum::<usize>()) as u64
}

/// A row's place in words, for errors.
pub(super) fn place(path: &Path, example: usize) -> String {
    let unit = if ending(path) == "parquet" { "row" } else { "line" };
    format!("{}, {unit} {}", path.display(), example + 1)
}

/// The ending that says how a file is read, in lower case and without `.gz`.
fn ending(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    Path::new(name).extension().unwrap_or_default().to_string_lossy().into_owned()
}

/// The rows of a file of any kind, as JSON objects with their numbers from 0.
pub(super) fn rows(path: &Path) -> Result<Box<dyn Iterator<Item = Numbered>>> {
    Ok(match ending(path).as_str() {
        "jsonl" | "json" | "ndjson" => Box::new(JsonLines::open(path)?),
        "parquet" => Box::new(ParquetRows::open(path)?),
        "txt" => {
            let row = Row::from_iter([("text".to_owned(), document(path)?.into())]);
            Box::new(std::iter::once(Ok((0, row))))
        }
        _ => {
            // A missing file is the likelier mistake, and is named as such.
            super::lines::open(path)?;
            bail!(
                "{}: unknown ending; expected .jsonl, .json, .txt (each also with .gz) or .parquet",
                path.display()
            )
        }
    })
}

/// SHA-256 (hexadecimal) of records as read: prompts, kinds, texts and kept-aside fields, in order. It does
/// not depend on the file's name, compression or line numbers.
pub fn hash(records: &[Record]) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    for record in records {
        add(&record.prompt);
        add(&record.responses.len().to_string());
        for (kind, text) in &record.responses {
            add(kind);
            add(text);
        }
        add(&serde_json::Value::Object(record.extra.clone()).to_string());
    }
    hex(&hash.finalize())
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"prompt":"p","chosen":"a","rejected":"b"}"#;
    const BLANK: &str = r#"{"prompt":"p","chosen":"a","rejected":""}"#;

    fn read_text(name: &str, text: &str, options: &ReadOptions) -> Result<Dataset, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path, options).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn an_archive_of_endless_records_is_refused_before_memory_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl.gz");
        let file = std::fs::File::create(&path).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        let line = format!("{GOOD}\n");
        (0..100_000).for_each(|_| std::io::Write::write_all(&mut encoder, line.as_bytes()).unwrap());
        encoder.finish().unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() < 100_000);
        let options = ReadOptions::default();
        let message = read_within(&path, &options, 1 << 20).unwrap_err().to_string();
        assert!(message.contains("1.0 MiB were free") && message.contains("`limit`"), "{message}");
        let first = ReadOptions { limit: Some(1000), ..options };
        assert_eq!(read_within(&path, &first, 1 << 20).unwrap().records.len(), 1000);
    }

    #[test]
    fn a_bad_record_is_an_error_with_its_line_or_dropped_and_counted() {
        let text = [GOOD, BLANK, "", BLANK, GOOD, GOOD].join("\n");
        let message = read_text("a.jsonl", &text, &ReadOptions::default()).unwrap_err();
        assert!(message.contains("a.jsonl, line 2: `rejected` is empty"), "{message}");
        let lenient = ReadOptions { skip_bad: true, limit: Some(2), ..Default::default() };
        let data = read_text("a.jsonl", &text, &lenient).unwrap();
        let lines: Vec<usize> = data.records.iter().map(|r| r.example).collect();
        assert_eq!(lines, [0, 4]);
        assert!(data.notes()[0].contains("dropped 2 records: `rejected` is empty (first at line 2)"));
        // Probing goes on without the blank kind.
        let any = ReadOptions { need: Need::Any, ..Default::default() };
        let data = read_text("a.jsonl", &text, &any).unwrap();
        assert_eq!((data.records.len(), data.emptied["rejected"]), (5, 2));
    }

    #[test]
    fn damage_to_the_file_fails_even_when_bad_records_are_skipped() {
        let lenient = ReadOptions { skip_bad: true, ..Default::default() };
        let torn = format!("{GOOD}\n{}", &GOOD[..20]);
        let message = read_text("a.jsonl", &torn, &lenient).unwrap_err();
        assert!(message.contains("line 2, column 20: broken JSON"), "{message}");
    }

    #[test]
    fn empty_unknown_and_useless_files_are_refused() {
        let plain = ReadOptions::default();
        assert!(read_text("a.jsonl", "", &plain).unwrap_err().contains("holds no records"));
        assert!(read_text("a.jsonl", "not json", &plain).unwrap_err().contains("line 1, column 2"));
        assert!(read_text("a.csv", GOOD, &plain).unwrap_err().contains("unknown ending"));
        assert!(read_text("a.jsonl", "{\"q\":1}", &plain).unwrap_err().contains("line 1: the fields `q`"));
        let lenient = ReadOptions { skip_bad: true, ..Default::default() };
        assert!(read_text("a.jsonl", BLANK, &lenient).unwrap_err().contains("dropped 1 records"));
        let none = ReadOptions { limit: Some(0), ..Default::default() };
        assert!(read_text("a.jsonl", GOOD, &none).unwrap_err().contains("limit of 0"));
    }

    #[test]
    fn a_named_format_wins_over_the_fields() {
        let text = "{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\",\"text\":\"t\"}";
        let options = ReadOptions { format: Some(Format::Text), need: Need::Any, ..Default::default() };
        let data = read_text("a.jsonl", text, &options).unwrap();
        assert_eq!(data.records[0].response("chosen"), Some("t"));
        assert_eq!(data.records[0].extra.len(), 3);
    }

    #[test]
    fn plain_text_is_one_document() {
        let options = ReadOptions { need: Need::Any, ..Default::default() };
        let data = read_text("a.txt", "one\n\ntwo\n", &options).unwrap();
        assert_eq!(data.records[0].responses, [("chosen".to_owned(), "one\n\ntwo\n".to_owned())]);
        assert!(read_text("a.txt", " \n", &options).unwrap_err().contains("no response with any text"));
    }

    #[test]
    fn the_hash_sees_every_text_and_no_line_number() {
        let data = |text: &str| read_text("a.jsonl", text, &ReadOptions::default()).unwrap().records;
        let base = hash(&data(GOOD));
        assert_eq!(base.len(), 64);
        assert_eq!(base, hash(&data(&format!("\n{GOOD}"))));
        for other in [
            r#"{"prompt":"q","chosen":"a","rejected":"b"}"#,
            r#"{"prompt":"pa","chosen":"","rejected":"b"}"#,
            r#"{"prompt":"p","chosen":"c","rejected":"b"}"#,
            r#"{"prompt":"p","chosen":"a","rejected":"c"}"#,
            r#"{"prompt":"p","chosen":"a","irr_hum":"b"}"#,
            r#"{"prompt":"p","chosen":"a","rejected":"b","x":1}"#,
        ] {
            let lenient = ReadOptions { need: Need::Any, ..Default::default() };
            assert_ne!(base, hash(&read_text("a.jsonl", other, &lenient).unwrap().records), "{other}");
        }
    }
}
