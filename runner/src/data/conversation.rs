//! Conversational rows: lists of `{role, content}`, rendered by a chat template.

use super::formats::{Fault, Parts, Row, common_prefix, completion_kind};
use super::lines::type_name;
use super::template::ChatTemplate;
use serde_json::{Value, json};

/// A response kind with its messages.
type Answer = (String, Vec<Value>);

/// The prompt and the responses of a conversational row as text.
///
/// `chosen` and `rejected` are either answers to `prompt`, or whole conversations whose common leading
/// messages are the prompt. Each response is what the template writes after the prompt's text (with its
/// generation prompt), without the template's closing end-of-sequence token.
pub(super) fn read(row: &mut Row, template: Option<&ChatTemplate>) -> Result<Parts, Fault> {
    let template = template.ok_or_else(|| {
        Fault::new(
            "conversational data needs a chat template",
            ": none in the model folder (`chat_template.jinja`, or `chat_template` in `tokenizer_config.json`); \
             use a chat model's folder, set data.chat_template (`hh`, or a file), or give data with plain strings",
        )
    })?;
    let (prompt, answers) = split(row)?;
    for (field, messages) in answers.iter().map(|(k, m)| (k.as_str(), m)).chain([("prompt", &prompt)]) {
        if let Some(eos) = template.eos_token()
            && messages.iter().any(|m| content(m).contains(eos))
        {
            let detail = format!(" {eos:?}, which only the template may write; remove it from the data");
            return Err(Fault::new(
                format!("a message of `{field}` contains the end-of-sequence text"),
                detail,
            ));
        }
    }
    render(template, &prompt, &answers)
}

fn render(template: &ChatTemplate, prompt: &[Value], answers: &[Answer]) -> Result<Parts, Fault> {
    let render = |messages: &[Value], open| {
        template
            .render(messages, open)
            .map_err(|e| Fault::new("the chat template fails", format_args!(": {e:#}")))
    };
    let opened = render(prompt, true)?;
    let mut end = opened.len();
    let mut whole = Vec::new();
    for (kind, answer) in answers {
        let blank = answer.iter().all(|m| content(m).trim().is_empty());
        let text = render(&[prompt, answer.as_slice()].concat(), false)?;
        end = end.min(common_prefix(&opened, &text));
        whole.push((kind, text, blank));
    }
    // Some templates open the answer with text that they leave out once it is there (such as a thinking
    // mark): the prompt is then what both share, but never less than the messages themselves.
    if end < opened.len() && end < common_prefix(&opened, &render(prompt, false)?) {
        return Err(Fault::new(
            "the chat template rewrites earlier messages once an answer follows",
            ", so prompt and response cannot be told apart; use data with plain strings",
        ));
    }
    let responses = whole
        .into_iter()
        .map(|(kind, text, blank)| {
            let response = if blank { "" } else { without_end(&text[end..], template.eos_token()) };
            (kind.clone(), response.to_owned())
        })
        .collect();
    Ok((opened[..end].to_owned(), responses))
}

/// A response without the end of sequence that the template closes it with, and the space behind: every response
/// gets one end of its own when it is tokenised.
fn without_end<'a>(response: &'a str, eos: Option<&str>) -> &'a str {
    eos.and_then(|eos| response.trim_end().strip_suffix(eos)).unwrap_or(response)
}

/// Prompt messages, and the messages of each response.
fn split(row: &mut Row) -> Result<(Vec<Value>, Vec<Answer>), Fault> {
    let chosen = messages(row, "chosen")?;
    if let Some(chosen) = chosen {
        let rejected = messages(row, "rejected")?;
        let mut answers = vec![("chosen".to_owned(), chosen)];
        answers.extend(rejected.map(|r| ("rejected".to_owned(), r)));
        // Whole conversations begin with another role than the assistant's.
        if answers.iter().all(|(_, m)| role(&m[0]) != "assistant") {
            return split_implicit(answers);
        }
        return Ok((prompt_messages(row)?, answers));
    }
    if row.contains_key("completion") {
        let completion = messages(row, "completion")?.ok_or_else(|| missing("completion"))?;
        return Ok((prompt_messages(row)?, vec![(completion_kind(row), completion)]));
    }
    if row.contains_key("messages") {
        let talk = messages(row, "messages")?.ok_or_else(|| missing("messages"))?;
        return split_implicit(vec![("chosen".to_owned(), talk)]);
    }
    Ok((prompt_messages(row)?, Vec::new()))
}

/// The common leading messages are the prompt; each rest must begin with the assistant's turn.
fn split_implicit(answers: Vec<Answer>) -> Result<(Vec<Value>, Vec<Answer>), Fault> {
    let first = &answers[0].1;
    let mut shared = answers.iter().map(|(_, m)| m.len() - 1).min().unwrap_or(0);
    while shared > 0 && answers.iter().any(|(_, m)| m[..shared] != first[..shared]) {
        shared -= 1;
    }
    while shared > 0 && answers.iter().any(|(_, m)| role(&m[shared]) != "assistant") {
        shared -= 1;
    }
    if shared == 0 {
        return Err(Fault::new(
            "no common prompt before an assistant's message",
            ": expected conversations that begin alike and go on with the role `assistant`",
        ));
    }
    let prompt = first[..shared].to_vec();
    Ok((prompt, answers.into_iter().map(|(kind, mut m)| (kind, m.split_off(shared))).collect()))
}

fn prompt_messages(row: &mut Row) -> Result<Vec<Value>, Fault> {
    if let Some(Value::String(prompt)) = row.get("prompt") {
        let message = json!({"role": "user", "content": prompt});
        row.shift_remove("prompt");
        return Ok(vec![message]);
    }
    messages(row, "prompt")?.ok_or_else(|| missing("prompt"))
}

fn missing(field: &str) -> Fault {
    Fault::new(format!("no field `{field}`"), ", expected a list of messages")
}

/// Removes a list of messages; `None` where the field is absent or null.
fn messages(row: &mut Row, field: &str) -> Result<Option<Vec<Value>>, Fault> {
    let list = match row.shift_remove(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(other) => {
            let reason = format!("`{field}` is {}", type_name(&other));
            return Err(Fault::new(reason, ", expected a list of {role, content}"));
        }
    };
    if list.is_empty() {
        return Err(Fault::new(format!("`{field}` is an empty list"), ", expected at least one message"));
    }
    for (i, message) in list.iter().enumerate() {
        for key in ["role", "content"] {
            if !message.get(key).is_some_and(Value::is_string) {
                let found = message.get(key).map_or("nothing", type_name);
                let detail = format!(": `{field}[{i}].{key}` is {found}, expected a string");
                return Err(Fault::new(format!("a message of `{field}` is malformed"), detail));
            }
        }
    }
    Ok(Some(list))
}

fn role(message: &Value) -> &str {
    message["role"].as_str().unwrap_or_default()
}

fn content(message: &Value) -> &str {
    message["content"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{% for m in messages %}{{ '<s>' + m.role + '\n' + m.content + '<e>\n' }}{% endfor %}\
                          {% if add_generation_prompt %}{{ '<s>assistant\n' }}{% endif %}";

    fn chatml() -> ChatTemplate {
        ChatTemplate::new(CHATML, None, Some("<e>".into())).unwrap()
    }

    fn parse(value: Value) -> Result<Parts, Fault> {
        read(&mut value.as_object().unwrap().clone(), Some(&chatml()))
    }

    fn user(text: &str) -> Value {
        json!({"role": "user", "content": text})
    }

    fn assistant(text: &str) -> Value {
        json!({"role": "assistant", "content": text})
    }

    #[test]
    fn the_same_pair_is_read_from_every_conversational_layout() {
        let expected = (
            "<s>user\nQ<e>\n<s>assistant\n".to_owned(),
            vec![("chosen".into(), "yes".into()), ("rejected".into(), "no".into())],
        );
        for row in [
            json!({"prompt": [user("Q")], "chosen": [assistant("yes")], "rejected": [assistant("no")]}),
            json!({"prompt": "Q", "chosen": [assistant("yes")], "rejected": [assistant("no")]}),
            json!({"chosen": [user("Q"), assistant("yes")], "rejected": [user("Q"), assistant("no")]}),
            json!({"prompt": "Q", "chosen": [user("Q"), assistant("yes")], "rejected": [user("Q"), assistant("no")]}),
        ] {
            assert_eq!(parse(row.clone()).unwrap(), expected, "{row}");
        }
    }

    #[test]
    fn the_last_assistant_turn_of_messages_is_the_response() {
        let talk = json!({"messages": [user("a"), assistant("b"), user("c"), assistant("d")]});
        let (prompt, responses) = parse(talk).unwrap();
        assert!(prompt.ends_with("c<e>\n<s>assistant\n"), "{prompt}");
        assert_eq!(responses, [("chosen".to_owned(), "d".to_owned())]);
        // Two equal conversations still have their last turn as the response.
        let same = json!({"chosen": [user("a"), assistant("b")], "rejected": [user("a"), assistant("b")]});
        assert_eq!(parse(same).unwrap().1.len(), 2);
    }

    #[test]
    fn a_blank_answer_is_blank_whatever_the_template_adds() {
        let row = json!({"prompt": "Q", "chosen": [assistant(" ")], "rejected": [assistant("no")]});
        assert_eq!(parse(row).unwrap().1[0].1, "");
    }

    #[test]
    fn malformed_conversations_are_named() {
        let reason = |row| parse(row).unwrap_err().detail;
        assert!(reason(json!({"messages": []})).contains("empty list"));
        assert!(reason(json!({"messages": [{"role": "user"}]})).contains("messages[0].content` is nothing"));
        assert!(reason(json!({"messages": [user("a")]})).contains("no common prompt"));
        assert!(
            reason(json!({"chosen": [user("a"), assistant("x")], "rejected": [user("b"), assistant("y")]}))
                .contains("no common prompt")
        );
        assert!(reason(json!({"prompt": "Q", "chosen": [assistant("a<e>b")]})).contains("end-of-sequence"));
        assert!(reason(json!({"prompt": 3, "chosen": [assistant("a")]})).contains("`prompt` is a number"));
        let fault = read(&mut Row::new(), None).unwrap_err();
        assert!(fault.detail.contains("chat_template.jinja"));
    }

    #[test]
    fn a_generation_prompt_that_answers_leave_out_is_shortened_but_history_is_never_rewritten() {
        let thinking = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]<think>{% endif %}";
        let template = ChatTemplate::new(thinking, None, None).unwrap();
        let mut row = json!({"prompt": "Q", "chosen": [assistant("a")]}).as_object().unwrap().clone();
        let (prompt, responses) = read(&mut row.clone(), Some(&template)).unwrap();
        assert_eq!((prompt.as_str(), responses[0].1.as_str()), ("[user]Q[assistant]", "a"));
        let counting = "{{ messages|length }} messages: {% for m in messages %}{{ m.content }}{% endfor %}";
        let template = ChatTemplate::new(counting, None, None).unwrap();
        assert!(read(&mut row, Some(&template)).unwrap_err().reason.contains("rewrites earlier messages"));
    }
}
