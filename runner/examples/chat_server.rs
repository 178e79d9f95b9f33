//! A small server of chat completions, with judges of known taste: for tests and for trying `ldyn judge` out.
//!
//! ```sh
//! cargo run --release --example chat_server -- longer
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
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tiny_http::{Header, Request, Response, Server};

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
    /// Fails three times (status 429, status 500, silence), then is as `longer`.
    Flaky,
    /// Knows only this key, and repeats wrong ones aloud; else as `longer`.
    Locked { key: String },
    /// Replies with what the model in this folder writes, greedily.
    Model { folder: PathBuf },
}

/// Threads that reply.
const THREADS: usize = 4;
/// Longest reply of a model in tokens.
const NEW_TOKENS: usize = 48;

fn main() -> Result<()> {
    let args = Args::parse();
    let model = match &args.policy {
        Policy::Model { folder } => Some(load(folder)?),
        _ => None,
    };
    let server = Server::http("127.0.0.1:0").map_err(|e| anyhow::anyhow!("cannot listen: {e}"))?;
    println!("http://{}/v1", server.server_addr());
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(args.for_seconds));
        std::process::exit(0)
    });
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0)
    });
    let calls = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Ok(request) = server.recv() {
                    // A client that went away is no concern of ours.
                    let _ = answer(request, &args.policy, model.as_ref(), &calls, args.delay);
                }
            });
        }
    });
    Ok(())
}

fn load(folder: &Path) -> Result<(Model, Tokenizer)> {
    let model = Model::load(folder, candle_core::DType::F32, &candle_core::Device::Cpu)?;
    Ok((model, Tokenizer::load(folder, None)?))
}

fn answer(
    mut request: Request,
    policy: &Policy,
    model: Option<&(Model, Tokenizer)>,
    calls: &AtomicUsize,
    delay: u64,
) -> Result<()> {
    if request.url() == "/calls" {
        return Ok(request.respond(Response::from_string(calls.load(Ordering::SeqCst).to_string()))?);
    }
    if request.url() != "/v1/chat/completions" {
        return Ok(request.respond(failure(404, "no such place"))?);
    }
    let call = calls.fetch_add(1, Ordering::SeqCst);
    let mut body = String::new();
    request.as_reader().read_to_string(&mut body)?;
    std::thread::sleep(Duration::from_millis(delay));
    match (policy, call) {
        (Policy::Flaky, 0) => {
            let now = Header::from_bytes("Retry-After", "0").expect("a header");
            return Ok(request.respond(failure(429, "slow down").with_header(now))?);
        }
        (Policy::Flaky, 1) => return Ok(request.respond(failure(500, "out of order"))?),
        (Policy::Flaky, 2) => {
            // Dropped, it would be answered.
            std::mem::forget(request);
            return Ok(());
        }
        (Policy::Locked { key }, _) => {
            let given = request.headers().iter().find(|h| h.field.equiv("Authorization"));
            let given = given.map_or(String::new(), |h| h.value.to_string());
            if given != format!("Bearer {key}") {
                return Ok(request.respond(failure(401, &format!("unknown key: {given}")))?);
            }
        }
        _ => {}
    }
    match reply(&body, policy, model) {
        Ok(text) => {
            let message = json!({"role": "assistant", "content": text});
            let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
            let completion = json!({"object": "chat.completion", "choices": [choice]});
            Ok(request.respond(Response::from_string(completion.to_string()))?)
        }
        Err(error) => Ok(request.respond(failure(400, &format!("{error:#}")))?),
    }
}

fn failure(status: u16, message: &str) -> Response<std::io::Cursor<Vec<u8>>> {
    Response::from_string(json!({"error": {"message": message}}).to_string()).with_status_code(status)
}

fn reply(body: &str, policy: &Policy, model: Option<&(Model, Tokenizer)>) -> Result<String> {
    let request: Value = serde_json::from_str(body).context("the request is no JSON")?;
    let messages = request["messages"].as_array().context("no field `messages`")?;
    let texts: Vec<&str> = messages.iter().filter_map(|m| m["content"].as_str()).collect();
    let text = texts.join("\n\n");
    if let Some((model, tokenizer)) = model {
        return written(&text, model, tokenizer);
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
