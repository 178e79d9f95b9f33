//! A client of OpenAI-compatible chat endpoints: one request, patient with servers that are busy; or many at once.
//!
//! The key goes into the header of requests and nowhere else: it has no `Display`, its `Debug` is blank, and
//! where a server's text repeats it, it is taken out.

mod many;
pub(crate) mod retry;

pub use many::complete_all;

use crate::{log, seed};
use anyhow::{Context, Result, bail, ensure};
use retry::{Failure, backoff, of_status, of_transport, retry_after, sleep};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// Longest accepted reply of a server in bytes.
const MAX_BODY: u64 = 8 << 20;
/// Characters of a server's message that an error shows.
const SHOWN: usize = 300;
/// A shorter key is no secret but what a local server wants to see, and may be an ordinary word.
const SHORTEST_SECRET: usize = 8;

/// Where completions come from, and how long to wait for them.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Base URL, such as `http://localhost:8000/v1`, or the whole one that ends in `/chat/completions`.
    pub url: String,
    /// The key that the server asks for, if it does.
    pub key: Option<Key>,
    /// Longest time for one attempt, from the connection to the last byte.
    pub timeout: Duration,
    /// Attempts after the first one.
    pub max_retries: usize,
    /// Seed of the jitter in waiting times.
    pub seed: u64,
}

/// A secret for the `Authorization` header.
#[derive(Clone)]
pub struct Key(String);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// The key in an environment variable; `None` where it is not set or blank.
    ///
    /// # Errors
    /// A value that no header can hold, such as one with a line break inside.
    pub fn from_env(variable: &str) -> Result<Option<Self>> {
        let Some(value) = std::env::var_os(variable) else { return Ok(None) };
        let value = value.into_string().unwrap_or_else(|_| "\0".to_owned());
        Self::new(&value)
            .with_context(|| format!("the environment variable {variable} holds no key"))
            .map(|key| Some(key).filter(|key| !key.is_empty()))
    }

    pub(crate) fn new(value: &str) -> Result<Self> {
        let value = value.trim();
        ensure!(
            value.bytes().all(|b| b.is_ascii_graphic()),
            "found a blank, a control character or one outside ASCII, expected a single word"
        );
        Ok(Self(value.to_owned()))
    }

    /// Whether it is blank: none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// A text that may repeat the key, without it.
    pub(crate) fn removed_from(&self, text: &str) -> String {
        if self.is_empty() { text.to_owned() } else { text.replace(&self.0, "[key]") }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: &'static str,
    /// Its text.
    pub content: String,
}

/// What is asked, as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// The model's name at the endpoint.
    pub model: String,
    /// The conversation to continue.
    pub messages: Vec<Message>,
    /// 0 for the most likely reply.
    pub temperature: f64,
    /// Seed of the server's draws, for servers that know it; left out of the request where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Request {
    /// One question in one turn. The seed is sent along where there is something to draw.
    pub fn new(model: &str, question: String, temperature: f64, seed: u64) -> Self {
        Self {
            model: model.to_owned(),
            messages: vec![Message { role: "user", content: question }],
            temperature,
            seed: (temperature > 0.0).then_some(seed),
        }
    }

    /// SHA-256 (hexadecimal) of everything that decides the reply; the endpoint's address is no part of it.
    ///
    /// ```
    /// use ldyn::chat::{Message, Request};
    /// let message = Message { role: "user", content: "Hi".into() };
    /// let request = Request { model: "m".into(), messages: vec![message], temperature: 0.0, seed: None };
    /// assert_eq!(request.hash(), request.clone().hash());
    /// assert_ne!(request.hash(), Request { temperature: 0.7, ..request.clone() }.hash());
    /// ```
    pub fn hash(&self) -> String {
        format!("{:x}", Sha256::digest(self.body()))
    }

    fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and finite numbers")
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The text of the first choice; empty where the server gave none.
    pub text: String,
    /// Attempts that it took, 1 when the first one succeeded.
    pub attempts: usize,
}

/// A connection to an [`Endpoint`]; threads may share it.
pub struct Client {
    agent: ureq::Agent,
    endpoint: Endpoint,
    url: String,
    /// The address without its query, for messages.
    place: String,
}

impl Client {
    /// Checks the endpoint's address; sends nothing.
    ///
    /// # Errors
    /// An address that is none, or that holds a user's name and password.
    pub fn new(endpoint: Endpoint) -> Result<Self> {
        let (url, place) = addresses(&endpoint.url)?;
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(endpoint.timeout))
            .http_status_as_error(false)
            // Neither a request nor its key follows to another place.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("ldyn/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), endpoint, url, place })
    }

    /// Where requests go, without the query of the address.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Asks, and asks again as often as the endpoint's `max_retries` after 408, 425, 429, 5xx, timeouts and
    /// failed connections. Between two attempts it waits as long as the server's `Retry-After` says (in seconds,
    /// at most ten minutes), or half a second, doubled each time up to 30 seconds, less a seeded jitter of up to
    /// one half. `None` when `stop` became true first.
    ///
    /// # Errors
    /// Any other status, with the server's message; a reply that is no chat completion; no success in all attempts.
    pub fn complete(&self, request: &Request, stop: &AtomicBool) -> Result<Option<Reply>> {
        let rng = &mut seed::rng(self.endpoint.seed, &format!("backoff {}", request.hash()));
        let mut attempts = 0;
        while !stop.load(Ordering::Relaxed) {
            attempts += 1;
            let failure = match self.attempt(request) {
                Ok(text) => return Ok(Some(Reply { text, attempts })),
                Err(failure) => failure,
            };
            let place = &self.place;
            match failure {
                Failure::Final(what) => bail!("{place}: {what}"),
                Failure::Passing { what, .. } if attempts > self.endpoint.max_retries => {
                    bail!("{place}: {what} (attempts: {attempts})")
                }
                Failure::Passing { wait, what } => {
                    let wait = wait.unwrap_or_else(|| backoff(attempts, rng));
                    warn!(place, attempt = attempts, wait = wait.as_secs_f64(), "it is asked again: {what}");
                    sleep(wait, stop);
                }
            }
        }
        Ok(None)
    }

    fn attempt(&self, request: &Request) -> Result<String, Failure> {
        let mut post = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(key) = &self.endpoint.key {
            post = post.header("authorization", key.authorization());
        }
        let started = Instant::now();
        let mut response = post.send(&request.body()[..]).map_err(|e| of_transport(&e))?;
        let status = response.status();
        debug!(
            place = self.place,
            model = request.model,
            status = status.as_u16(),
            seconds = log::seconds(started),
            "request"
        );
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let wait = retry_after(header("retry-after"));
        let location = header("location").map(str::to_owned);
        let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec();
        let body = body.map_err(|e| of_transport(&e))?;
        if !status.is_success() {
            let mut said = self.shown(&message(&body));
            if let Some(location) = location.filter(|_| status.is_redirection()) {
                said = format!("it sends on to {}: give that address", self.shown(&location));
            }
            return Err(of_status(status.as_u16(), status.canonical_reason(), &said, wait));
        }
        match completion(&body) {
            Some(text) => Ok(self.without_key(&text)),
            None => Err(Failure::Final(format!(
                "the reply is no chat completion: expected `choices[0].message.content`, found {}",
                self.shown(&String::from_utf8_lossy(&body))
            ))),
        }
    }

    /// Text of the server for an error: one line of bounded length, without the key.
    fn shown(&self, text: &str) -> String {
        // First the key, then the length: no part of the key may stay at the end.
        match one_line(&self.without_key(text)) {
            line if line.is_empty() => "nothing".to_owned(),
            line => line,
        }
    }

    fn without_key(&self, text: &str) -> String {
        match &self.endpoint.key {
            Some(key) if key.0.len() >= SHORTEST_SECRET => key.removed_from(text),
            _ => text.to_owned(),
        }
    }
}

/// Text of a server as one line of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.retain(|c| !c.is_control());
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The whole address of chat completions, and the same without its query.
fn addresses(url: &str) -> Result<(String, String)> {
    const PATH: &str = "/chat/completions";
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let host = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://")).unwrap_or_default();
    let host = host.split('/').next().unwrap_or_default();
    // What follows is not repeated: it may be a secret.
    ensure!(
        !host.contains('@'),
        "the endpoint's address holds a user's name: give the key in the environment"
    );
    ensure!(
        !host.is_empty() && !base.contains(|c: char| c.is_whitespace() || c == '#'),
        "{base:?} is no endpoint: expected a base URL such as http://localhost:8000/v1"
    );
    let base = base.trim_end_matches('/');
    let place = if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") };
    Ok((query.map_or(place.clone(), |query| format!("{place}?{query}")), place))
}

/// The text of the first choice. A message without content, as of a model that declines, is an empty text.
fn completion(body: &[u8]) -> Option<String> {
    let reply: serde_json::Value = serde_json::from_slice(body).ok()?;
    let message = reply.get("choices")?.get(0)?.get("message")?.as_object()?;
    match message.get("content") {
        None | Some(serde_json::Value::Null) => Some(String::new()),
        Some(content) => content.as_str().map(str::to_owned),
    }
}

/// What a server says about a failure: the field `error.message`, `error` or `message`, or the text itself.
fn message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let found = [json.pointer("/error/message"), json.get("error"), json.get("message")];
    let said = found.into_iter().flatten().find_map(|v| v.as_str());
    said.map_or_else(|| text.into_owned(), str::to_owned)
}

#[cfg(test)]
mod tests;
