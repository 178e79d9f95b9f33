//! Chat templates: a conversation as the text that a chat model was trained on.

use super::folder;
use super::guard::guarded;
use crate::files;
use anyhow::{Context, Result, bail};
use minijinja::{Environment, ErrorKind, syntax::SyntaxConfig};
use serde_json::Value;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Work that one rendering may do (instructions, and 64 bytes of output each).
const FUEL: u64 = 1_000_000;
const NAME: &str = "chat_template";

/// Longest time for one rendering. Fuel ends all but a few that work where none is counted, such as on a list that was
/// joined to itself again and again; within fuel, none takes a second.
const LONGEST: Duration = Duration::from_secs(5);

/// The Jinja chat template of a model folder, rendered as transformers does:
/// `trim_blocks`, `lstrip_blocks`, Python's string methods, `raise_exception`,
/// `bos_token` and `eos_token`. There is no clock (`strftime_now` is undefined),
/// so the same data always gives the same text.
#[derive(Clone)]
pub struct ChatTemplate {
    renderer: Arc<Mutex<Option<Renderer>>>,
    bos_token: Option<String>,
    eos_token: Option<String>,
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTemplate").field("eos_token", &self.eos_token).finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// A syntax error, with its line in the template.
    pub fn new(source: &str, bos_token: Option<String>, eos_token: Option<String>) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(|state, value, method, arguments| {
            // A width is memory that no fuel is asked for.
            if method == "format" && value.as_str().is_some_and(has_format_specification) {
                let what = "str.format with a specification such as {:>8} is not supported";
                return Err(minijinja::Error::new(ErrorKind::InvalidOperation, what));
            }
            minijinja_contrib::pycompat::unknown_method_callback(state, value, method, arguments)
        });
        environment.add_function("raise_exception", |message: String| -> Result<String, _> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        // The engine asserts on some nonsense, such as an import under a name that is an expression.
        let compiled = guarded(|| environment.add_template_owned(NAME, source.to_owned()));
        let Some(compiled) = compiled else {
            bail!("the chat template is broken: it assigns to what is no name")
        };
        compiled.context("the chat template is broken")?;
        let renderer = Arc::new(Mutex::new(Some(Renderer::new(environment)?)));
        Ok(Self { renderer, bos_token, eos_token })
    }

    /// The template of a model folder: `chat_template.jinja`, else `chat_template`
    /// in `tokenizer_config.json` (the one named `default` where there are several).
    /// `None` where the folder has neither.
    ///
    /// # Errors
    /// A broken file or template.
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let config = folder::json(folder, folder::TOKENIZER_CONFIG)?.unwrap_or_default();
        let file = folder.join("chat_template.jinja");
        let source = match files::read_text(&file) {
            Ok(source) => Some(source),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => configured(&config),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", file.display())),
        };
        let Some(source) = source else { return Ok(None) };
        Self::with_tokens(&source, &config).map(Some).with_context(|| format!("in {}", folder.display()))
    }

    /// The template in a file of its own, with the special tokens of a model folder.
    ///
    /// # Errors
    /// A file that cannot be read, or a broken template.
    pub fn read(file: &Path, folder: &Path) -> Result<Self> {
        let source = files::read_text(file).with_context(|| {
            format!("cannot read the chat template {}: give `hh` or a file", file.display())
        })?;
        let config = folder::json(folder, folder::TOKENIZER_CONFIG)?.unwrap_or_default();
        Self::with_tokens(&source, &config).with_context(|| format!("in {}", file.display()))
    }

    fn with_tokens(source: &str, config: &Value) -> Result<Self> {
        let token = |name| folder::special_token(config, name);
        Self::new(source, token("bos_token"), token("eos_token"))
    }

    /// The layout of Anthropic's HH data, for base models that have no template:
    /// `\n\nHuman: …\n\nAssistant: …`. A system message stands first, as it is.
    ///
    /// # Errors
    /// Never in practice: the template is a constant.
    pub fn hh() -> Result<Self> {
        Self::new(
            "{% for m in messages %}\
             {% if m.role == 'system' %}{{ m.content }}\
             {% elif m.role == 'assistant' %}{{ '\n\nAssistant: ' + m.content }}\
             {% else %}{{ '\n\nHuman: ' + m.content }}{% endif %}\
             {% endfor %}\
             {% if add_generation_prompt %}{{ '\n\nAssistant:' }}{% endif %}",
            None,
            None,
        )
    }

    /// The end-of-sequence token that the template may write.
    pub fn eos_token(&self) -> Option<&str> {
        self.eos_token.as_deref()
    }

    /// The text of `messages` (objects with `role` and `content`).
    ///
    /// # Errors
    /// The template refuses the conversation or runs too long.
    pub fn render(&self, messages: &[Value], add_generation_prompt: bool) -> Result<String> {
        let context = minijinja::context! {
            messages => messages.iter().map(jinja).collect::<Vec<_>>(),
            add_generation_prompt,
            bos_token => self.bos_token.as_deref().unwrap_or_default(),
            eos_token => self.eos_token.as_deref().unwrap_or_default(),
        };
        let mut renderer = self.renderer.lock().unwrap_or_else(PoisonError::into_inner);
        // Once it did not come to an end, it is not asked again.
        match renderer.as_ref().and_then(|renderer| renderer.render(context)) {
            Some(Ok(text)) => Ok(text),
            Some(Err(e)) if e.kind() == ErrorKind::OutOfFuel => bail!(ENDLESS),
            Some(Err(e)) => bail!("the chat template refuses the conversation: {e}"),
            None => {
                *renderer = None;
                bail!(ENDLESS)
            }
        }
    }
}

const ENDLESS: &str = "the chat template does not come to an end";

/// A thread that renders, so that there is an end to waiting. A rendering that is given up goes on until the program ends.
struct Renderer {
    contexts: Sender<minijinja::Value>,
    texts: Receiver<Result<String, minijinja::Error>>,
}

impl Renderer {
    fn new(environment: Environment<'static>) -> Result<Self> {
        let (contexts, asked) = channel();
        let (answers, texts) = channel();
        let work = move || {
            for context in asked {
                let text = guarded(|| environment.get_template(NAME)?.render(context));
                let Some(text) = text else { break };
                if answers.send(text).is_err() {
                    break;
                }
            }
        };
        // As much stack as a main thread has: macros may call themselves.
        thread::Builder::new().name(NAME.into()).stack_size(8 << 20).spawn(work)?;
        Ok(Self { contexts, texts })
    }

    /// `None` where it takes too long, or the engine fails.
    fn render(&self, context: minijinja::Value) -> Option<Result<String, minijinja::Error>> {
        self.contexts.send(context).ok()?;
        self.texts.recv_timeout(LONGEST).ok()
    }
}

/// Whether a text for `str.format` has a colon within braces.
fn has_format_specification(text: &str) -> bool {
    let mut open = 0_usize;
    text.chars().any(|c| {
        match c {
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            _ => {}
        }
        c == ':' && open > 0
    })
}

/// A JSON value as the template sees it.
fn jinja(value: &Value) -> minijinja::Value {
    match value {
        Value::Null => ().into(),
        Value::Bool(b) => (*b).into(),
        Value::Number(n) => match n.as_i64() {
            Some(n) => n.into(),
            None => n.as_f64().into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(jinja).collect::<Vec<_>>().into(),
        Value::Object(map) => minijinja::Value::from_pairs(map.iter().map(|(k, v)| (k.as_str(), jinja(v)))),
    }
}

/// `chat_template` of a tokenizer configuration: a string, or a list of named ones.
fn configured(config: &Value) -> Option<String> {
    let template = config.get("chat_template")?;
    let named = || {
        let list = template.as_array()?;
        let default = list.iter().find(|t| t.get("name").and_then(Value::as_str) == Some("default"))?;
        default.get("template")?.as_str()
    };
    template.as_str().or_else(named).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn talk() -> Vec<Value> {
        vec![json!({"role": "user", "content": "Hi <b>"}), json!({"role": "assistant", "content": "Yes"})]
    }

    #[test]
    fn the_hh_template_writes_the_markers_of_the_data() {
        let template = ChatTemplate::hh().unwrap();
        let text = template.render(&talk(), false).unwrap();
        assert_eq!(text, "\n\nHuman: Hi <b>\n\nAssistant: Yes");
        let prompt = template.render(&talk()[..1], true).unwrap();
        assert_eq!(prompt, "\n\nHuman: Hi <b>\n\nAssistant:");
    }

    #[test]
    fn blocks_leave_no_white_space_and_python_methods_work() {
        let source = "{% for m in messages %}\n    {% if m['role'].startswith('u') %}\n{{ m['content'].strip() + '|' }}\n    {% endif %}\n{% endfor %}\n{{ eos_token }}";
        let template = ChatTemplate::new(source, None, Some("</s>".into())).unwrap();
        assert_eq!(template.render(&talk(), false).unwrap(), "Hi <b>|\n</s>");
    }

    #[test]
    fn a_template_that_refuses_or_never_ends_is_an_error() {
        let error = ChatTemplate::new("{% import 'x' as x %'y' %}", None, None).unwrap_err();
        assert!(error.to_string().contains("no name"), "{error}");
        let template = ChatTemplate::new("{{ raise_exception('no system role') }}", None, None).unwrap();
        let message = format!("{:#}", template.render(&talk(), false).unwrap_err());
        assert!(message.contains("no system role"), "{message}");
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}";
        let template = ChatTemplate::new(endless, None, None).unwrap();
        let message = format!("{:#}", template.render(&talk(), false).unwrap_err());
        assert!(message.contains("does not come to an end"), "{message}");
        assert!(ChatTemplate::new("{% if %}", None, None).is_err());
    }

    #[test]
    fn a_hostile_template_reaches_nothing_and_comes_to_an_end() {
        let render = |source: &str| {
            let template = ChatTemplate::new(source, None, None)?;
            template.render(&talk(), false)
        };
        for source in [
            // Work and memory.
            "{{ range(10 ** 18) | list }}",
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "{% set ns = namespace(x='aaaa') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
            "{% set a = 'a' * 1000000 %}{{ a.replace('a', a) }}",
            "{% set a = 'a' * 1000000 %}{{ a | replace('a', a) }}",
            "{{ 'a' * 10 ** 12 }}",
            "{{ '%1000000000d' | format(1) }}",
            "{{ '{:>1000000000}'.format('a') }}",
            "{{ '{:{}}'.format('a', 1000000000) }}",
            "{{ 'a\nb' | indent(1000000000) }}",
            "{% macro f(x) %}{{ f(x + 1) }}{% endmacro %}{{ f(0) }}",
            "{% for m in [1] recursive %}{{ loop([1]) }}{% endfor %}",
            "{% include 'chat_template' %}",
            // Files, and what Python's objects lead to.
            "{% include '/etc/passwd' %}",
            "{% import '../config.json' as x %}",
            "{{ ''.__class__.__mro__ }}",
            "{{ messages.__init__.__globals__ }}",
            "{{ messages[0].content.format.__self__ }}",
            "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
            "{{ open('/etc/passwd').read() }}",
            "{{ strftime_now('%Y') }}",
        ] {
            let start = std::time::Instant::now();
            let refused = render(source);
            assert!(refused.is_err(), "{source}: {refused:?}");
            assert!(start.elapsed().as_secs() < 20, "{source}");
        }
        // An attribute that is not there is nothing, as in Jinja.
        assert_eq!(render("{{ messages.__class__ }}{{ ''.__class__ }}").unwrap(), "");
        assert_eq!(render("{{ '{}: {}'.format('a', 1) }}").unwrap(), "a: 1");
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(render(&deep).is_err());
        assert!(render(&"{% if 1 %}".repeat(100_000)).is_err());
    }

    #[test]
    fn a_folder_gives_its_template_from_either_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ChatTemplate::load(folder.path()).unwrap().is_none());
        let config = json!({"eos_token": {"content": "<e>"},
            "chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "A{{ eos_token }}"}]});
        std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        let render = || ChatTemplate::load(folder.path()).unwrap().unwrap().render(&talk(), false).unwrap();
        assert_eq!(render(), "A<e>");
        std::fs::write(folder.path().join("chat_template.jinja"), "B{{ eos_token }}").unwrap();
        assert_eq!(render(), "B<e>");
    }
}
