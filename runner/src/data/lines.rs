//! Lines of a text file, plain or gzip-compressed, in bounded memory.

use crate::files;
use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A row as a JSON object with its number from 0, or why it cannot be read.
pub(super) type Numbered = Result<(usize, Map<String, Value>)>;

/// Longest accepted line, and longest plain-text document, in bytes.
pub const MAX_LINE: usize = 64 << 20;

/// Opens a file for reading.
///
/// # Errors
/// A missing file or a folder.
pub(super) fn open(path: &Path) -> Result<File> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        bail!("{} is a folder, expected a data file: name a file inside it", path.display());
    }
    Ok(file)
}

/// A file that is decompressed while it is read when its name ends in `.gz`.
pub(super) fn reader(path: &Path) -> Result<Box<dyn BufRead>> {
    let file = open(path)?;
    Ok(if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz")) {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    })
}

/// The JSON objects of a file, one a line, with their line numbers from 0. Blank lines are passed over.
pub(super) struct JsonLines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    /// Lines read so far.
    number: usize,
    max_line: usize,
}

impl JsonLines {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::with_max_line(path, MAX_LINE)
    }

    fn with_max_line(path: &Path, max_line: usize) -> Result<Self> {
        Ok(Self { path: path.to_owned(), reader: reader(path)?, number: 0, max_line })
    }

    /// Reads one line without its end; false at the end of the file.
    fn line(&mut self, buffer: &mut Vec<u8>) -> Result<bool> {
        buffer.clear();
        let read = (&mut self.reader)
            .take(self.max_line as u64 + 1)
            .read_until(b'\n', buffer)
            .with_context(|| format!("after line {}: reading failed (is the file whole?)", self.number))?;
        self.number += usize::from(read > 0);
        if read > self.max_line {
            bail!(
                "line {} is longer than {} bytes: is this one JSON object a line?",
                self.number,
                self.max_line
            );
        }
        Ok(read > 0)
    }

    fn object(&self, buffer: &[u8]) -> Result<Option<Map<String, Value>>> {
        let number = self.number;
        let text = std::str::from_utf8(buffer).map_err(|e| {
            anyhow::anyhow!(
                "line {number}: invalid UTF-8 at byte {} of the line: save the file as UTF-8{}",
                e.valid_up_to() + 1,
                if buffer.starts_with(&[0x1f, 0x8b]) {
                    " (it looks gzip-compressed: name it .gz)"
                } else {
                    ""
                }
            )
        })?;
        let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { text };
        if text.trim().is_empty() {
            return Ok(None);
        }
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(row)) => Ok(Some(row)),
            Ok(other) => bail!(
                "line {number}: found {}, expected one JSON object a line{}",
                type_name(&other),
                if other.is_array() { " (turn an array into lines with `jq -c '.[]'`)" } else { "" }
            ),
            Err(e) => {
                let what = e.to_string();
                let what = what.split(" at line ").next().unwrap_or(&what);
                let hint = if number == 1 && text.trim_end() == "[" {
                    "; a JSON array becomes lines with `jq -c '.[]'`"
                } else {
                    ""
                };
                bail!("line {number}, column {}: broken JSON ({what}){hint}", e.column())
            }
        }
    }
}

impl Iterator for JsonLines {
    type Item = Numbered;

    fn next(&mut self) -> Option<Self::Item> {
        let mut buffer = Vec::new();
        let row = loop {
            match self.line(&mut buffer) {
                Ok(true) => match self.object(&buffer) {
                    Ok(Some(row)) => break Ok((self.number - 1, row)),
                    Ok(None) => {}
                    Err(e) => break Err(e),
                },
                Ok(false) => return None,
                Err(e) => break Err(e),
            }
        };
        Some(row.with_context(|| self.path.display().to_string()))
    }
}

/// A whole plain-text document.
pub(super) fn document(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let read = reader(path)?.take(MAX_LINE as u64 + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("{}: reading failed (is the file whole?)", path.display()))?;
    if bytes.len() > MAX_LINE {
        bail!(
            "{} is longer than {MAX_LINE} bytes: split it into {{\"text\": …}} lines of a .jsonl file",
            path.display()
        );
    }
    String::from_utf8(bytes).map_err(|e| {
        let (line, column) = files::place(e.as_bytes(), e.utf8_error().valid_up_to());
        anyhow::anyhow!(
            "{}, line {line}, column {column}: invalid UTF-8: save the file as UTF-8",
            path.display()
        )
    })
}

/// What a JSON value is, in words.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn error(name: &str, bytes: &[u8]) -> String {
        let (_folder, path) = file(name, bytes);
        let rows: Result<Vec<_>> = JsonLines::open(&path).unwrap().collect();
        format!("{:#}", rows.unwrap_err())
    }

    #[test]
    fn rows_keep_their_line_numbers_past_blank_lines_and_a_byte_order_mark() {
        let (_folder, path) = file("a.jsonl", b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n{\"a\":2}");
        let rows: Result<Vec<_>> = JsonLines::open(&path).unwrap().collect();
        let lines: Vec<usize> = rows.unwrap().iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [0, 3]);
    }

    #[test]
    fn gzip_files_of_several_members_are_read_whole() {
        let mut bytes = Vec::new();
        for part in ["{\"a\":1}\n", "{\"a\":2}\n"] {
            let mut encoder = flate2::write::GzEncoder::new(&mut bytes, flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
        }
        let (_folder, path) = file("a.jsonl.gz", &bytes);
        assert_eq!(JsonLines::open(&path).unwrap().map(Result::unwrap).count(), 2);
        // The same file cut short is an error, not a shorter data set.
        assert!(error("b.jsonl.gz", &bytes[..bytes.len() - 9]).contains("after line"));
    }

    #[test]
    fn broken_lines_name_line_and_column() {
        let message = error("a.jsonl", b"{\"a\":1}\n{\"a\":}\n");
        assert!(message.contains("line 2, column 6: broken JSON"), "{message}");
        assert!(!message.contains("at line 1"), "{message}");
        assert!(error("a.jsonl", b"[{\"a\":1}]\n").contains("found a list"));
        assert!(error("a.json", b"[\n{\"a\":1}]\n").contains("jq -c"));
        assert!(error("a.jsonl", b"{\"a\":\"\xff\"}\n").contains("line 1: invalid UTF-8 at byte 7"));
        assert!(error("a.jsonl", &[0x1f, 0x8b, 8, 0]).contains("name it .gz"));
    }

    #[test]
    fn a_line_beyond_the_bound_is_refused_before_it_is_held() {
        let (_folder, path) = file("a.jsonl", &[b"{\"a\":1}\n".as_slice(), &[b' '; 100]].concat());
        let mut rows = JsonLines::with_max_line(&path, 20).unwrap();
        assert!(rows.next().unwrap().is_ok());
        let message = format!("{:#}", rows.next().unwrap().unwrap_err());
        assert!(message.contains("line 2 is longer than 20 bytes"), "{message}");
    }

    #[test]
    fn a_missing_file_and_a_folder_are_named() {
        let (folder, path) = file("a.txt", b"one\ntwo\xff");
        assert!(format!("{:#}", open(&folder.path().join("no.jsonl")).unwrap_err()).contains("no.jsonl"));
        assert!(format!("{:#}", open(folder.path()).unwrap_err()).contains("is a folder"));
        assert!(format!("{:#}", document(&path).unwrap_err()).contains("line 2, column 4: invalid UTF-8"));
    }
}
