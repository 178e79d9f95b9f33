//! A small server of chat completions, with judges of known taste and a rephraser: for tests and for trying `ldyn judge`
//! and `ldyn probe-set` out.
//!
//! ```sh
//! cargo run --release -p ldyn --example chat_server -- longer
//! ldyn judge a.jsonl b.jsonl --endpoint http://127.0.0.1:PORT/v1 --judge-model any --out judged.jsonl
//! ```
//!
//! It listens on 127.0.0.1 alone, prints its address as the first line, and ends after `--for-seconds` or when its
//! standard input closes. `GET /calls` says how many completions it was asked for.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use ldyn::data::Tokenizer;
use ldyn::generate::{Prompt, Sampling, Stop, generate};
use ldyn::judge::candidates;
use ldyn::model::Model;
use ldyn::rephrase::original;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    policy: Policy,
    /// End after this time.
    #[arg(long, global = true, default_value_t = 600)]
    for_seconds: u64,
    /// Milliseconds before each reply.
    #[arg(long, global = true, default_value_t = 0)]
    delay: u64,
}

#[derive(Subcommand)]
enum Policy {
    /// The candidate shown first is better, whatever it is.
    AlwaysA,
    /// The candidate with more words is better.
    Longer,
    /// The candidate with this word is better.
    Prefers { word: String },
    /// Never says which one is better.
    Mute,
    /// Fails three times (status 429, status 500, no reply at all), then is as `longer`.
    Flaky,
    /// Knows only this key, and repeats wrong ones aloud; else as `longer`.
    Locked { key: String },
    /// Rephrases: the words of the text that `ldyn probe-set` asks about, backwards.
    Reverse,
    /// Replies with what the model in this folder writes, greedily.
    Model { folder: PathBuf },
}

/// Longest reply of a model in tokens.
const NEW_TOKENS: usize = 48;

fn main() -> Result<()> {
    let args = Args::parse();
    let model = match &args.policy {
        Policy::Model { folder } => Some(load(folder)?),
        _ => None,
    };
    let server =
        Server { policy: args.policy, model, delay: Duration::from_millis(args.delay), calls: 0.into() };
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on 127.0.0.1")?;
    println!("http://{}/v1", listener.local_addr()?);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(args.for_seconds));
        std::process::exit(0)
    });
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0)
    });
    std::thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            // A client that went away is no concern of ours.
            scope.spawn(|| server.serve(stream));
        }
    });
    Ok(())
}

fn load(folder: &Path) -> Result<(Model, Tokenizer)> {
    let model = Model::load(folder, candle_core::DType::F32, &candle_core::Device::Cpu)?;
    Ok((model, Tokenizer::load(folder, None)?))
}

/// What comes in.
struct Request {
    path: String,
    authorization: String,
    /// Whether it is the connection's last.
    last: bool,
    body: String,
}

/// What goes out: status, further header lines, body.
struct Response(u16, &'static str, String);

struct Server {
    policy: Policy,
    model: Option<(Model, Tokenizer)>,
    delay: Duration,
    calls: AtomicUsize,
}

impl Server {
    /// Answers the requests of one connection until either side ends it.
    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = read(&mut reader)? {
            let Some(Response(status, headers, body)) = self.answer(&request) else { break };
            let head = format!("HTTP/1.1 {status} -\r\n{headers}Content-Type: application/json\r\n");
            // In one write: small ones wait for each other.
            stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
            if request.last {
                break;
            }
        }
        Ok(())
    }

    /// `None` to hang up.
    fn answer(&self, request: &Request) -> Option<Response> {
        match request.path.as_str() {
            "/calls" => return Some(Response(200, "", self.calls.load(Ordering::SeqCst).to_string())),
            "/v1/chat/completions" => {}
            _ => return Some(failure(404, "", "no such place")),
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(self.delay);
        match (&self.policy, call) {
            (Policy::Flaky, 0) => return Some(failure(429, "Retry-After: 0\r\n", "slow down")),
            (Policy::Flaky, 1) => return Some(failure(500, "", "out of order")),
            (Policy::Flaky, 2) => return None,
            (Policy::Locked { key }, _) if request.authorization != format!("Bearer {key}") => {
                return Some(failure(401, "", &format!("unknown key: {}", request.authorization)));
            }
            _ => {}
        }
        Some(match reply(&request.body, &self.policy, self.model.as_ref()) {
            Ok(text) => {
                let message = json!({"role": "assistant", "content": text});
                let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
                Response(200, "", json!({"object": "chat.completion", "choices": [choice]}).to_string())
            }
            Err(error) => failure(400, "", &format!("{error:#}")),
        })
    }
}

/// The next request; `None` where the client has ended.
fn read(reader: &mut impl BufRead) -> Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).context("no path")?.to_owned();
    let (mut length, mut authorization, mut last) = (0, String::new(), false);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse()?,
            "authorization" => value.trim().clone_into(&mut authorization),
            "connection" => last = value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body)?;
    Ok(Some(Request { path, authorization, last, body }))
}

fn failure(status: u16, headers: &'static str, message: &str) -> Response {
    Response(status, headers, json!({"error": {"message": message}}).to_string())
}

fn reply(body: &str, policy: &Policy, model: Option<&(Model, Tokenizer)>) -> Result<String> {
    let request: Value = serde_json::from_str(body).context("the request is no JSON")?;
    let messages = request["messages"].as_array().context("no field `messages`")?;
    let texts: Vec<&str> = messages.iter().filter_map(|m| m["content"].as_str()).collect();
    let text = texts.join("\n\n");
    if let Some((model, tokenizer)) = model {
        return written(&text, model, tokenizer);
    }
    if matches!(policy, Policy::Reverse) {
        let text = original(&text).context("expected a question of `ldyn probe-set`")?;
        return Ok(text.split(' ').rev().collect::<Vec<_>>().join(" "));
    }
    let [a, b] = candidates(&text).context("expected a question of `ldyn judge`")?;
    let words = |text: &str| text.split_whitespace().count();
    let letter = match policy {
        Policy::AlwaysA => "A",
        Policy::Mute => return Ok("I would rather not say which: both have something.".to_owned()),
        Policy::Prefers { word } => better(a.contains(word), b.contains(word)),
        _ => better(words(a), words(b)),
    };
    Ok(format!("One has {} words, the other {}.\n{letter}", words(a), words(b)))
}

fn better<T: PartialOrd>(a: T, b: T) -> &'static str {
    if a > b {
        "A"
    } else if b > a {
        "B"
    } else {
        "C"
    }
}

/// What the model writes behind the end of `text` that fits its positions.
fn written(text: &str, model: &Model, tokenizer: &Tokenizer) -> Result<String> {
    let ids = tokenizer.encode(text)?;
    let room = model.max_positions().saturating_sub(NEW_TOKENS);
    let ids = &ids[ids.len().saturating_sub(room)..];
    let stop = Stop::at(tokenizer.eos_id());
    let greedy = Sampling { temperature: 0.0, max_new_tokens: NEW_TOKENS, ..Sampling::default() };
    let answers = generate(model, &[Prompt { ids, stream: 0 }], &stop, &greedy)?;
    stop.text(tokenizer, &answers[0])
}
