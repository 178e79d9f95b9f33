//! Rows of a Parquet file as JSON objects, so that one reader serves both.

use super::guard;
use super::lines::{Numbered, open};
use anyhow::{Context, Result};
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The rows of a Parquet file with their numbers from 0. Text, numbers, lists
/// and structs are kept; dates, decimals and binary columns read as null.
pub(super) struct ParquetRows {
    path: PathBuf,
    rows: RowIter<'static>,
    number: usize,
    failed: bool,
}

impl ParquetRows {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = open(path)?;
        let len = file.metadata().with_context(|| path.display().to_string())?.len();
        let rows = guarded(|| {
            let reader = SerializedFileReader::new(Bounded { file, len })?;
            reader.metadata(); // the footer is parsed by now
            Ok(RowIter::from_file_into(Box::new(reader)))
        })
        .with_context(|| format!("{} is not a readable Parquet file", path.display()))?;
        Ok(Self { path: path.to_owned(), rows, number: 0, failed: false })
    }
}

impl Iterator for ParquetRows {
    type Item = Numbered;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = guarded(|| self.rows.next().transpose());
        match row {
            Ok(None) => None,
            Ok(Some(row)) => {
                self.number += 1;
                Some(Ok((self.number - 1, object(row))))
            }
            Err(e) => {
                self.failed = true;
                let place = format!("{}, row {}: cannot be read", self.path.display(), self.number + 1);
                Some(Err(e.context(place)))
            }
        }
    }
}

/// Runs a piece of the Parquet reader, which asserts on some damaged files and unsupported column types.
fn guarded<T>(read: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    match guard::guarded(read) {
        Some(result) => result.context(
            "the file is damaged, or uses a feature this build lacks (snappy, gzip, LZ4 and Brotli are read)",
        ),
        None => anyhow::bail!(
            "the file is damaged or has a column of an unsupported type: save it again with text columns only"
        ),
    }
}

/// A file of which no piece is read that does not lie in it: the sizes in a damaged one may be anything.
struct Bounded {
    file: File,
    len: u64,
}

impl Length for Bounded {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Bounded {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        match start.checked_add(length as u64) {
            Some(end) if end <= self.len => self.file.get_bytes(start, length),
            _ => Err(ParquetError::EOF(format!(
                "{length} bytes from byte {start} on in a file of {} bytes",
                self.len
            ))),
        }
    }
}

fn object(row: Row) -> Map<String, Value> {
    row.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect()
}

fn value(field: Field) -> Value {
    match field {
        Field::Bool(x) => x.into(),
        Field::Byte(x) => x.into(),
        Field::Short(x) => x.into(),
        Field::Int(x) => x.into(),
        Field::Long(x) => x.into(),
        Field::UByte(x) => x.into(),
        Field::UShort(x) => x.into(),
        Field::UInt(x) => x.into(),
        Field::ULong(x) => x.into(),
        Field::Float(x) => x.into(),
        Field::Double(x) => x.into(),
        Field::Str(x) => x.into(),
        Field::Group(row) => object(row).into(),
        Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect::<Vec<_>>().into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ChatTemplate, Need, ReadOptions, read};
    use super::*;
    use ::parquet::basic::Compression;
    use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    /// Two rows: a prompt, `chosen` as one message, `rejected` as a message or null, a number.
    fn pairs(compression: Compression) -> Vec<u8> {
        let messages = |name: &str| {
            format!(
                "optional group {name} (LIST) {{ repeated group list {{ optional group element {{
                   optional binary role (UTF8); optional binary content (UTF8); }} }} }}"
            )
        };
        let schema = format!(
            "message schema {{ required binary prompt (UTF8); {} {} optional int64 score; }}",
            messages("chosen"),
            messages("rejected")
        );
        let schema = Arc::new(parse_message_type(&schema).unwrap());
        let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let texts = |texts: &[&str]| texts.iter().map(|&t| ByteArray::from(t)).collect::<Vec<_>>();
        // Values, definition levels (4 = there, 0 = the whole list is null), repetition levels.
        type Column = (Vec<ByteArray>, Option<Vec<i16>>);
        let columns: [Column; 5] = [
            (texts(&["Q1", "Q2"]), None),
            (texts(&["assistant", "assistant"]), Some(vec![4, 4])),
            (texts(&["yes", "naïve 🙂"]), Some(vec![4, 4])),
            (texts(&["assistant"]), Some(vec![4, 0])),
            (texts(&["no"]), Some(vec![4, 0])),
        ];
        for (values, levels) in columns {
            let mut column = group.next_column().unwrap().unwrap();
            let repetition = levels.as_ref().map(|l| vec![0; l.len()]);
            let typed = column.typed::<ByteArrayType>();
            typed.write_batch(&values, levels.as_deref(), repetition.as_deref()).unwrap();
            column.close().unwrap();
        }
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[7], Some(&[1, 0]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.into_inner().unwrap()
    }

    fn rows(bytes: &[u8]) -> Result<Vec<(usize, Map<String, Value>)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        std::fs::write(&path, bytes).unwrap();
        ParquetRows::open(&path)?.collect()
    }

    #[test]
    fn lists_of_messages_become_json_under_every_compression() {
        let compressions = [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(Default::default()),
            Compression::BROTLI(Default::default()),
            Compression::LZ4_RAW,
        ];
        for compression in compressions {
            let rows = rows(&pairs(compression)).unwrap();
            let expected = serde_json::json!({"prompt": "Q2", "score": null, "rejected": null,
                "chosen": [{"role": "assistant", "content": "naïve 🙂"}]});
            assert_eq!((rows[1].0, &Value::from(rows[1].1.clone())), (1, &expected));
            assert_eq!((rows.len(), &rows[0].1["score"]), (2, &Value::from(7)));
        }
    }

    #[test]
    fn parquet_rows_go_through_the_same_reader_as_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        std::fs::write(&path, pairs(Compression::SNAPPY)).unwrap();
        let mut options = ReadOptions { template: Some(ChatTemplate::hh().unwrap()), ..Default::default() };
        let message = format!("{:#}", read(&path, &options).unwrap_err());
        assert!(message.contains("row 2: no field `rejected`"), "{message}");
        options.need = Need::Chosen;
        let data = read(&path, &options).unwrap();
        assert_eq!(data.records[1].prompt, "\n\nHuman: Q2\n\nAssistant:");
        assert_eq!(data.records[1].response("chosen"), Some(" naïve 🙂"));
    }

    #[test]
    fn damaged_files_are_errors_and_never_panics() {
        let whole = pairs(Compression::SNAPPY);
        for length in (0..whole.len()).step_by(17) {
            assert!(rows(&whole[..length]).is_err(), "cut to {length} bytes");
        }
        let mut refused = 0;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            refused += usize::from(rows(&bytes).is_err());
        }
        assert!(refused > whole.len() / 4, "only {refused} of {} changes were noticed", whole.len());
    }
}
