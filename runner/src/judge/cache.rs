//! Transcripts: every reply of a judge, kept as it comes, so that nothing is asked twice.

use super::Verdict;
use crate::files;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Which answer a judge is shown first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// That of A.
    Ab,
    /// That of B.
    Ba,
}

/// A row of the transcripts: one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Number of the pair that asked for it, from 0.
    pub pair: usize,
    /// The order in which the answers were shown.
    pub order: Order,
    /// [`crate::chat::Request::hash`] of what was asked.
    pub request: String,
    /// The judge's name.
    pub model: String,
    /// Temperature of its reply.
    pub temperature: f64,
    /// The reply as it came.
    pub reply: String,
    /// What was read from it; read anew from the reply wherever it is used.
    pub verdict: Verdict,
    /// Attempts that the call took.
    pub attempts: usize,
}

/// How every row begins.
const BEGINNING: &[u8] = b"{\"pair\":";

/// A file of [`Call`]s that one process appends to. A row is in the hands of the operating system before the
/// next one is written.
#[derive(Debug)]
pub struct Transcripts {
    path: PathBuf,
    file: File,
    replies: HashMap<String, String>,
}

impl Transcripts {
    /// Opens the file, or makes it. The torn last line that a killed process leaves is cut off.
    ///
    /// # Errors
    /// A file with anything else in it, one that another process has open here, one that cannot be written to.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = file.with_context(|| format!("cannot open {shown}"))?;
        files::lock(&file, path, || {
            format!("another process is writing to {shown}: wait until it ends, or choose another output")
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(|| format!("reading {shown}"))?;
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let torn = &bytes[whole..];
        // Only what is ours is cut.
        if !(torn.starts_with(BEGINNING) || BEGINNING.starts_with(torn)) {
            bail!("{shown}: its last line is no transcript of a judge: choose another output")
        }
        let mut replies = HashMap::new();
        for (number, line) in bytes[..whole].split_inclusive(|&b| b == b'\n').enumerate() {
            let call: Call = serde_json::from_slice(line).with_context(|| {
                format!("{shown}, line {}: no transcript of a judge: choose another output", number + 1)
            })?;
            replies.insert(call.request, call.reply);
        }
        if !torn.is_empty() {
            file.set_len(whole as u64).with_context(|| format!("cannot write to {shown}"))?;
        }
        file.seek(SeekFrom::End(0)).with_context(|| format!("cannot write to {shown}"))?;
        Ok(Self { path: path.to_owned(), file, replies })
    }

    /// The reply to the request with this hash, if it was asked.
    pub fn reply(&self, request: &str) -> Option<&str> {
        self.replies.get(request).map(String::as_str)
    }

    /// Appends a call.
    ///
    /// # Errors
    /// A failed write, such as a full disk.
    pub fn add(&mut self, call: Call) -> Result<()> {
        let line = serde_json::to_string(&call)? + "\n";
        self.file.write_all(line.as_bytes()).with_context(|| format!("writing {}", self.path.display()))?;
        self.replies.insert(call.request, call.reply);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(request: &str) -> Call {
        Call {
            pair: 3,
            order: Order::Ba,
            request: request.to_owned(),
            model: "m".to_owned(),
            temperature: 0.0,
            reply: "x\nA".to_owned(),
            verdict: Verdict::First,
            attempts: 2,
        }
    }

    #[test]
    fn a_torn_row_is_cut_off_and_the_file_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls.jsonl");
        let mut transcripts = Transcripts::open(&path).unwrap();
        transcripts.add(call("one")).unwrap();
        assert!(Transcripts::open(&path).unwrap_err().to_string().contains("another process"));
        drop(transcripts);
        let first = std::fs::read_to_string(&path).unwrap();
        let expected = r#"{"pair":3,"order":"ba","request":"one","model":"m","temperature":0.0,"reply":"x\nA","verdict":"first","attempts":2}"#;
        assert_eq!(first, format!("{expected}\n"));
        // Torn in the middle, before its line end, and at its first byte.
        for torn in [&expected[..40], expected, "{"] {
            std::fs::write(&path, format!("{first}{torn}")).unwrap();
            let mut transcripts = Transcripts::open(&path).unwrap();
            assert_eq!((transcripts.reply("one"), transcripts.reply("two")), (Some("x\nA"), None));
            transcripts.add(call("two")).unwrap();
            assert_eq!(
                std::fs::read_to_string(&path).unwrap(),
                format!("{first}{}", first.replace("one", "two"))
            );
        }
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls.jsonl");
        for content in ["precious", "precious\n", "{\"a\":1}\n", "{\"pair\":1}\n"] {
            std::fs::write(&path, content).unwrap();
            let message = format!("{:#}", Transcripts::open(&path).unwrap_err());
            assert!(
                message.contains("calls.jsonl") && message.contains("choose another output"),
                "{message}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
    }
}
