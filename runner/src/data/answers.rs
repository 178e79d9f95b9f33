//! Files of answers: rows with `prompt` and `response`, as `ldyn generate` writes them.

use super::formats::Row;
use super::lines::type_name;
use super::read::{place, rows};
use anyhow::{Result, bail};
use serde_json::Value;
use std::path::Path;

/// What a model said to a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Line of the file (for Parquet the row), from 1.
    pub line: usize,
    /// Everything before the response, role markers included.
    pub prompt: String,
    /// The response, which may be empty.
    pub response: String,
}

/// Reads a file of answers, in file order; other fields than `prompt` and `response` are passed over.
///
/// # Errors
/// As [`super::read`]; a row without one of the two texts, by file, line and field.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("answers.jsonl");
/// std::fs::write(&path, r#"{"prompt": "Hi", "response": " Hello"}"#)?;
/// assert_eq!(ldyn::data::answers(&path)?[0].response, " Hello");
/// # anyhow::Ok(())
/// ```
pub fn answers(path: &Path) -> Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for row in rows(path)? {
        let (number, row) = row?;
        let field =
            |name: &str| text(&row, name).map_err(|e| anyhow::anyhow!("{}: {e}", place(path, number)));
        answers.push(Answer { line: number + 1, prompt: field("prompt")?, response: field("response")? });
    }
    if answers.is_empty() {
        bail!("{} holds no answers: expected one JSON object a line, with {EXPECTED}", path.display())
    }
    Ok(answers)
}

const EXPECTED: &str = "`prompt` and `response`, as `ldyn generate` writes them";

fn text(row: &Row, field: &str) -> Result<String, String> {
    match row.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("`{field}` is {}, expected a string", type_name(other))),
        None => Err(format!("no field `{field}`; expected {EXPECTED}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Answer>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, text).unwrap();
        answers(&path).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn empty_responses_stay_and_other_fields_do_not_matter() {
        let found =
            read("{\"prompt\":\"p\",\"response\":\"\",\"x\":1}\n\n{\"prompt\":\"p\",\"response\":\"r\"}");
        let found: Vec<_> = found.unwrap().into_iter().map(|a| (a.line, a.response)).collect();
        assert_eq!(found, [(1, String::new()), (3, "r".to_owned())]);
    }

    #[test]
    fn a_row_that_is_no_answer_is_named_by_line_and_field() {
        let good = "{\"prompt\":\"p\",\"response\":\"r\"}\n";
        let message = read(&format!("{good}{{\"prompt\":\"p\"}}")).unwrap_err();
        assert!(message.contains("a.jsonl, line 2: no field `response`"), "{message}");
        let message = read(&format!("{good}{{\"prompt\":[],\"response\":\"r\"}}")).unwrap_err();
        assert!(message.contains("line 2: `prompt` is a list, expected a string"), "{message}");
        assert!(read("").unwrap_err().contains("holds no answers"));
        assert!(read("{\"prompt\": ").unwrap_err().contains("line 1"));
    }
}
