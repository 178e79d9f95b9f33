//! From one JSON object to one [`Record`], for each layout that preference data comes in.

use super::conversation;
use super::lines::type_name;
use super::read::{Need, ReadOptions};
use super::{KINDS, Record};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// End of the prompt in Anthropic-HH conversations.
pub const HH_MARKER: &str = "\n\nAssistant:";

/// Where a human turn begins in HH conversations.
pub const HH_HUMAN: &str = "\n\nHuman:";

/// A JSON object of the file.
pub(super) type Row = Map<String, Value>;

/// How the rows of a data file are laid out. Detected from the first row's
/// fields unless named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `chosen` and `rejected` are whole conversations with `\n\nHuman:` and
    /// `\n\nAssistant:`; the prompt ends with the last `\n\nAssistant:` of each.
    Hh,
    /// `prompt` with `chosen`, `rejected` or both.
    Preference,
    /// `chosen` and `rejected` without a prompt: it is what they have in common, up to whole words.
    Implicit,
    /// Lists of `{role, content}`: `chosen` and `rejected` with or without `prompt`, `prompt` and
    /// `completion`, or `messages` (the last assistant turn is the response). Rendered by a chat template.
    Conversational,
    /// `text`, as the response to an empty prompt; also plain `.txt`, a document a file.
    Text,
    /// `prompt` with any of the tracked [`KINDS`], as the reference's probing files.
    Probe,
    /// `prompt` and `completion`, which becomes `chosen` (`rejected` where `label` is false).
    PromptCompletion,
}

impl Format {
    /// The format that a row's fields suggest.
    ///
    /// # Errors
    /// No known combination of fields; the message lists what was found.
    pub fn detect(row: &Map<String, Value>) -> Result<Self, String> {
        let has = |field: &str| row.get(field).is_some_and(|v| !v.is_null());
        let list = |field: &str| row.get(field).is_some_and(Value::is_array);
        let more_kinds = KINDS.iter().any(|&(kind, ..)| {
            kind != "chosen" && kind != "rejected" && (has(kind) || alias(kind).is_some_and(has))
        });
        let marked =
            |field: &str| row.get(field).and_then(Value::as_str).is_some_and(|t| t.contains(HH_MARKER));
        Ok(if ["prompt", "chosen", "completion"].into_iter().any(list) {
            Self::Conversational
        } else if has("prompt") && more_kinds {
            Self::Probe
        } else if has("prompt") && has("completion") {
            Self::PromptCompletion
        } else if has("prompt") {
            Self::Preference
        } else if has("chosen") && has("rejected") {
            if marked("chosen") || marked("rejected") { Self::Hh } else { Self::Implicit }
        } else if has("messages") {
            Self::Conversational
        } else if has("text") {
            Self::Text
        } else {
            return Err(format!(
                "the fields {} are no known format: expected `prompt` with `chosen` and `rejected`, `chosen` and \
                 `rejected` alone, `prompt` and `completion`, `messages`, or `text`",
                fields(row)
            ));
        })
    }

    /// The name used in configuration files, such as `prompt_completion`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hh => "hh",
            Self::Preference => "preference",
            Self::Implicit => "implicit",
            Self::Conversational => "conversational",
            Self::Text => "text",
            Self::Probe => "probe",
            Self::PromptCompletion => "prompt_completion",
        }
    }
}

/// Why a row gives no record.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    /// The kind of fault in few words, the same for every row that has it.
    pub reason: String,
    /// What was found, what was expected, what to do.
    pub detail: String,
}

impl Fault {
    pub(super) fn new(reason: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        let reason = reason.into();
        let detail = format!("{reason}{detail}");
        Self { reason, detail }
    }
}

/// Reads one row. Kinds that are blank and not needed are left out and their names pushed to `emptied`.
pub(super) fn record(
    format: Format,
    example: usize,
    mut row: Row,
    options: &ReadOptions,
    emptied: &mut Vec<String>,
) -> Result<Record, Fault> {
    let (prompt, responses) = match format {
        Format::Hh => hh(&mut row)?,
        Format::Preference | Format::Probe => tracked(&mut row, &options.extra_kinds)?,
        Format::Implicit => implicit(&text(&mut row, "chosen")?, &text(&mut row, "rejected")?),
        Format::Conversational => conversation::read(&mut row, options.template.as_ref())?,
        Format::Text => (String::new(), vec![("chosen".to_owned(), text(&mut row, "text")?)]),
        Format::PromptCompletion => {
            let prompt = text(&mut row, "prompt")?;
            (prompt, vec![(completion_kind(&row), text(&mut row, "completion")?)])
        }
    };
    let responses = check(responses, options.need, &row, emptied)?;
    Ok(Record { example, prompt, responses, extra: row })
}

/// Refuses records that lack what `need` asks for; drops other blank responses.
fn check(
    mut responses: Vec<(String, String)>,
    need: Need,
    row: &Row,
    emptied: &mut Vec<String>,
) -> Result<Vec<(String, String)>, Fault> {
    for &kind in need.kinds() {
        match responses.iter().find(|(k, _)| k == kind) {
            None => {
                return Err(Fault::new(format!("no field `{kind}`"), format_args!("; {}", need.advice())));
            }
            Some((_, text)) if text.trim().is_empty() => {
                let advice = "; give it a text, remove the line, or drop such records with `skip_bad = true`";
                return Err(Fault::new(format!("`{kind}` is empty"), advice));
            }
            Some(_) => {}
        }
    }
    responses.retain(|(kind, text)| {
        let blank = text.trim().is_empty();
        if blank {
            emptied.push(kind.clone());
        }
        !blank
    });
    if responses.is_empty() && need != Need::Prompt {
        return Err(Fault::new(
            "no response with any text",
            format_args!(" (other fields: {}); {}", fields(row), need.advice()),
        ));
    }
    Ok(responses)
}

/// Removes a text field.
pub(super) fn text(row: &mut Row, field: &str) -> Result<String, Fault> {
    match optional_text(row, field)? {
        Some(text) => Ok(text),
        None => Err(Fault::new(
            format!("no field `{field}`"),
            format_args!(
                " (found {}); every row needs the fields of the first, or name the `format`",
                fields(row)
            ),
        )),
    }
}

/// Removes a text field that may be absent or null.
pub(super) fn optional_text(row: &mut Row, field: &str) -> Result<Option<String>, Fault> {
    match row.shift_remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Fault::new(
            format!("`{field}` is {}", type_name(&other)),
            format_args!(
                ", expected a string{}",
                if other.is_array() { " (lists of messages are `format = \"conversational\"`)" } else { "" }
            ),
        )),
    }
}

/// The names of a row's fields.
fn fields(row: &Row) -> String {
    if row.is_empty() {
        return "none".to_owned();
    }
    row.keys().take(20).map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")
}

/// The second spelling that a kind has in the wild.
fn alias(kind: &str) -> Option<&'static str> {
    match kind {
        "reject_gptsemantic" => Some("rejected_gptsemantic"),
        "reject_gptformat" => Some("rejected_gptformat"),
        _ => None,
    }
}

/// The prompt, and kind and text of each response.
pub(super) type Parts = (String, Vec<(String, String)>);

/// `prompt` and every tracked kind, in the order of [`KINDS`], then `more`.
fn tracked(row: &mut Row, more: &[String]) -> Result<Parts, Fault> {
    let prompt = text(row, "prompt")?;
    let mut responses = Vec::new();
    for (kind, ..) in KINDS {
        let found = match optional_text(row, kind)? {
            Some(text) => Some(text),
            None => alias(kind).map_or(Ok(None), |alias| optional_text(row, alias))?,
        };
        responses.extend(found.map(|text| (kind.to_owned(), text)));
    }
    for kind in more {
        responses.extend(optional_text(row, kind)?.map(|text| (kind.clone(), text)));
    }
    Ok((prompt, responses))
}

/// A KTO-style `label` says whether the completion is desired.
pub(super) fn completion_kind(row: &Row) -> String {
    let undesired = row.get("label").is_some_and(|l| l == &Value::Bool(false) || l == &Value::from(0));
    if undesired { "rejected" } else { "chosen" }.to_owned()
}

/// Splits two whole HH conversations at their last `\n\nAssistant:`.
fn hh(row: &mut Row) -> Result<Parts, Fault> {
    let mut split = |field: &str| {
        let mut prompt = text(row, field)?;
        let Some(at) = prompt.rfind(HH_MARKER) else {
            return Err(Fault::new(
                format!("`{field}` has no \"\\n\\nAssistant:\""),
                ", expected a whole conversation; is this another `format`?",
            ));
        };
        let response = prompt.split_off(at + HH_MARKER.len());
        Ok((prompt, (field.to_owned(), response)))
    };
    let (prompt, chosen) = split("chosen")?;
    let (other, rejected) = split("rejected")?;
    if prompt != other {
        let at = prompt.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
        return Err(Fault::new(
            "the prompts of `chosen` and `rejected` differ",
            format_args!(
                " after {at} of {} and {} characters, expected one prompt up to the last \"\\n\\nAssistant:\"; \
                 drop such pairs with `skip_bad = true`",
                prompt.chars().count(),
                other.chars().count()
            ),
        ));
    }
    Ok((prompt, vec![chosen, rejected]))
}

/// The prompt is the longest common prefix, taken back to the beginning of a
/// word and then over one space, so that responses begin with their space. This is TRL's rule where
/// the texts part between words; within a word TRL would cut the word.
fn implicit(chosen: &str, rejected: &str) -> Parts {
    let mut prompt = &chosen[..common_prefix(chosen, rejected)];
    prompt = prompt.trim_end_matches(|c: char| !c.is_whitespace());
    prompt = prompt.strip_suffix(' ').unwrap_or(prompt);
    let rest = |kind: &str, text: &str| (kind.to_owned(), text[prompt.len()..].to_owned());
    (prompt.to_owned(), vec![rest("chosen", chosen), rest("rejected", rejected)])
}

/// Bytes that two texts have in common at their start, whole characters only.
pub(super) fn common_prefix(a: &str, b: &str) -> usize {
    a.char_indices().zip(b.chars()).find(|((_, x), y)| x != y).map_or(a.len().min(b.len()), |((at, _), _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(value: Value) -> Row {
        value.as_object().unwrap().clone()
    }

    fn parse(value: Value, need: Need) -> Result<Record, Fault> {
        let row = row(value);
        let format = Format::detect(&row).unwrap();
        record(format, 0, row, &ReadOptions { need, ..Default::default() }, &mut Vec::new())
    }

    #[test]
    fn formats_are_told_apart_by_their_fields() {
        let message = json!([{"role": "user", "content": "Q"}]);
        for (value, expected) in [
            (json!({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "x"}), Format::Hh),
            (json!({"chosen": "a", "rejected": "b"}), Format::Implicit),
            (json!({"prompt": "p", "chosen": "a", "rejected": "b"}), Format::Preference),
            (json!({"prompt": "p", "chosen": "a", "extra": 1}), Format::Preference),
            (json!({"prompt": "p", "chosen": "a", "irr_hum": "b"}), Format::Probe),
            (json!({"prompt": "p", "rejected_gptformat": "b"}), Format::Probe),
            (json!({"prompt": "p", "completion": "b"}), Format::PromptCompletion),
            (json!({"messages": message}), Format::Conversational),
            (json!({"prompt": "p", "chosen": message, "messages": message}), Format::Conversational),
            (json!({"text": "t"}), Format::Text),
        ] {
            assert_eq!(Format::detect(&row(value.clone())), Ok(expected), "{value}");
            assert_eq!(serde_json::to_value(expected).unwrap(), expected.name());
        }
        let message = Format::detect(&row(json!({"question": "q"}))).unwrap_err();
        assert!(message.contains("`question`") && message.contains("`prompt`"), "{message}");
    }

    #[test]
    fn raw_hh_pairs_are_split_at_the_last_assistant_marker() {
        let talk = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:";
        let both = json!({"chosen": format!("{talk} yes"), "rejected": format!("{talk} yes, no")});
        let record = parse(both, Need::Pair).unwrap();
        assert_eq!(record.prompt, talk);
        assert_eq!(record.response("chosen"), Some(" yes"));
        assert_eq!(record.response("rejected"), Some(" yes, no"));
        let differ = json!({"chosen": format!("{talk} yes"), "rejected": "\n\nHuman: a\n\nAssistant: no"});
        let fault = parse(differ, Need::Pair).unwrap_err();
        assert_eq!(fault.reason, "the prompts of `chosen` and `rejected` differ");
        assert!(fault.detail.contains("skip_bad"));
    }

    #[test]
    fn an_implicit_prompt_ends_before_a_whole_word() {
        for (chosen, rejected, prompt) in [
            ("The sky is blue", "The sky is red", "The sky is"),
            ("The sky is blue", "The sky is black", "The sky is"),
            ("Why?\nYes", "Why?\nNo", "Why?\n"),
            ("A b", "A b c", "A"),
            ("é à", "é á", "é"),
            ("yes", "yet", ""),
            ("", "", ""),
        ] {
            let (found, responses) = implicit(chosen, rejected);
            assert_eq!(found, prompt);
            assert_eq!(format!("{prompt}{}", responses[0].1), chosen);
            assert_eq!(format!("{prompt}{}", responses[1].1), rejected);
        }
    }

    #[test]
    fn probe_kinds_come_in_display_order_under_one_spelling_and_the_rest_is_kept_aside() {
        let value = json!({"rejected_gptsemantic": "c", "chosen_selfr": "s", "n": 3, "prompt": "p",
            "rejected": "b", "chosen": "a", "irr_test": null});
        let read = |extra_kinds: &[&str]| {
            let options = ReadOptions {
                extra_kinds: extra_kinds.iter().map(|&k| k.to_owned()).collect(),
                ..Default::default()
            };
            record(Format::Probe, 0, row(value.clone()), &options, &mut Vec::new()).unwrap()
        };
        let kinds = |r: &Record| r.responses.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>();
        let plain = read(&[]);
        assert_eq!(kinds(&plain), ["chosen", "rejected", "reject_gptsemantic"]);
        assert_eq!(plain.extra.keys().collect::<Vec<_>>(), ["chosen_selfr", "n"]);
        assert_eq!(kinds(&read(&["chosen_selfr"]))[3], "chosen_selfr");
    }

    #[test]
    fn what_is_needed_must_be_there_and_not_blank_and_what_is_not_needed_is_left_out() {
        let empty = json!({"prompt": "p", "chosen": "a", "rejected": " \n"});
        assert_eq!(parse(empty.clone(), Need::Pair).unwrap_err().reason, "`rejected` is empty");
        let mut emptied = Vec::new();
        let options = ReadOptions { need: Need::Chosen, ..Default::default() };
        let kept = record(Format::Preference, 7, row(empty), &options, &mut emptied).unwrap();
        assert_eq!((kept.example, kept.responses.len(), emptied), (7, 1, vec!["rejected".to_owned()]));
        let fault = parse(json!({"prompt": "p", "chosen": "a"}), Need::Pair).unwrap_err();
        assert!(fault.detail.contains("no field `rejected`") && fault.detail.contains("sft"), "{fault:?}");
        assert!(parse(json!({"prompt": "p"}), Need::Any).is_err());
        assert!(parse(json!({"prompt": "p"}), Need::Prompt).unwrap().responses.is_empty());
    }

    #[test]
    fn wrong_types_are_named() {
        let fault = parse(json!({"prompt": "p", "chosen": 3, "rejected": "b"}), Need::Pair).unwrap_err();
        assert_eq!(fault.detail, "`chosen` is a number, expected a string");
        let options = ReadOptions::default();
        let list = row(json!({"prompt": "p", "chosen": [], "rejected": "b"}));
        let fault = record(Format::Preference, 0, list, &options, &mut Vec::new()).unwrap_err();
        assert!(fault.detail.contains("conversational"), "{fault:?}");
    }

    #[test]
    fn a_completion_is_chosen_unless_its_label_says_otherwise() {
        let kind =
            |value| parse(value, Need::Any).map(|r| r.responses.into_iter().map(|(k, _)| k).next()).unwrap();
        assert_eq!(kind(json!({"prompt": "p", "completion": "c"})).as_deref(), Some("chosen"));
        assert_eq!(kind(json!({"prompt": "p", "completion": "c", "label": true})).as_deref(), Some("chosen"));
        assert_eq!(
            kind(json!({"prompt": "p", "completion": "c", "label": false})).as_deref(),
            Some("rejected")
        );
    }
}
