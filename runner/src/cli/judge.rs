use super::{Named, named, refuse_existing};
use crate::chat::{Client, Endpoint, Key};
use crate::data::{self, Answer, Tokenizer};
use crate::judge::{
    ChatJudge, Judged, Normalise, Pair, PairRow, RESAMPLES, Rate, Statistics, Transcripts, by_chat,
    by_likelihood, cut_at_human_turn, pairs, words,
};
use crate::model::Model;
use crate::progress::Progress;
use crate::{device, files, report};
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Compare the answers of two models: win rates, each pair judged in both orders, with intervals and at equal length.
///
/// The judge is a chat model at an OpenAI-compatible endpoint, or the likelihood under a local model folder.
///
/// Examples:
///   ldyn judge sft.jsonl dpo.jsonl --endpoint http://localhost:8000/v1 --judge-model qwen --out j.jsonl
///   ldyn judge sft.jsonl dpo.jsonl --likelihood pythia-1b --normalise mean
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Answers of the first model: rows with `prompt` and `response`, as `ldyn generate --out` writes them.
    a: PathBuf,
    /// Answers of the second model to the same prompts.
    b: PathBuf,
    /// Base URL of the judge, such as http://localhost:8000/v1.
    #[arg(
        long,
        value_name = "URL",
        required_unless_present = "likelihood",
        conflicts_with = "likelihood",
        requires = "judge_model"
    )]
    endpoint: Option<String>,
    /// The judge's name at the endpoint.
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    judge_model: Option<String>,
    /// Environment variable that holds the endpoint's key [default: OPENAI_API_KEY, if it is set].
    #[arg(long, value_name = "VARIABLE", requires = "endpoint")]
    api_key_env: Option<String>,
    /// Temperature of the judge's replies.
    #[arg(long, default_value_t = 0.0, requires = "endpoint")]
    temperature: f64,
    /// Calls at a time.
    #[arg(long, default_value_t = 4, requires = "endpoint")]
    concurrency: usize,
    /// Seconds to wait for a reply.
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0, requires = "endpoint")]
    timeout: f64,
    /// Attempts after the first, when the endpoint is busy, fails or is out of reach.
    #[arg(long, default_value_t = 6, requires = "endpoint")]
    max_retries: usize,
    /// A model folder instead: the answer to which it gives the larger likelihood wins. Nothing leaves the machine.
    #[arg(long, value_name = "MODEL")]
    likelihood: Option<PathBuf>,
    /// Compare log π per token, or its sum, which nearly always favours the shorter answer.
    #[arg(long, value_enum, default_value_t = Normalise::Mean, requires = "likelihood")]
    normalise: Normalise,
    /// End an answer where it goes on to write the next human turn ("\n\nHuman:").
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    stop_human_turn: bool,
    /// Compare only the first pairs.
    #[arg(long)]
    limit: Option<usize>,
    /// File that receives a row a pair. The judge's replies are kept beside it, in `.calls.jsonl`: the same command
    /// line asks only for what is missing there.
    #[arg(long, short, required_unless_present = "likelihood")]
    out: Option<PathBuf>,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// Seed of the bootstrap, of waiting times, and of replies at a temperature above 0.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// `cpu`, `cuda` or `cuda:N`, for --likelihood.
    #[arg(long, default_value = "cpu", requires = "likelihood")]
    device: String,
}

/// Where the key is looked for unless the command line says otherwise.
const KEY: &str = "OPENAI_API_KEY";
/// Replies between two lines of progress.
const EVERY: usize = 50;
/// Where fewer than this share of the pairs have the longer answer on one side, length and model are hardly told apart.
const FEW: f64 = 0.05;

/// What is printed.
#[derive(Serialize)]
struct Comparison {
    a: PathBuf,
    b: PathBuf,
    judge: Judge,
    /// Answers of A and of B without a partner.
    unmatched: [usize; 2],
    /// Answers of A and of B that were cut at a human turn; absent where they stay as they are.
    cut_at_human_turn: Option<[usize; 2]>,
    seed: u64,
    resamples: usize,
    #[serde(flatten)]
    statistics: Statistics,
    remarks: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
enum Judge {
    Chat { model: String, endpoint: String, temperature: f64 },
    Likelihood { model: PathBuf, normalise: Normalise },
}

impl Args {
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        named(&mut self.likelihood, [])
    }
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    ensure!((0.0..=2.0).contains(&args.temperature), "--temperature {}: expected 0 to 2", args.temperature);
    ensure!(args.concurrency > 0, "--concurrency 0: expected at least one call at a time");
    ensure!(args.limit != Some(0), "--limit 0 compares nothing: leave it out to compare all");
    let timeout = Duration::try_from_secs_f64(args.timeout).ok().filter(|t| !t.is_zero());
    let timeout = timeout.with_context(|| format!("--timeout {}: expected seconds above 0", args.timeout))?;
    let answers = [data::answers(&args.a)?, data::answers(&args.b)?];
    let (mut pairs, unmatched) = pairs(&answers[0], &answers[1]);
    if pairs.is_empty() {
        bail!("{}", no_pairs(args, &answers))
    }
    pairs.truncate(args.limit.unwrap_or(usize::MAX));
    let cut = args.stop_human_turn.then(|| cut_at_human_turn(&mut pairs));
    let calls = args.out.as_deref().map(beside);
    if let Some(out) = &args.out {
        let folder = crate::files::parent(out);
        ensure!(folder.is_dir(), "--out {}: there is no folder {}", out.display(), folder.display());
        ensure!(*out != args.a && *out != args.b, "--out {} would replace what is judged", out.display());
        // Rows can be made again from the replies beside them; without these they are somebody's work.
        let again = args.endpoint.is_some() && calls.as_deref().is_some_and(Path::exists);
        if !again {
            refuse_existing(out)?;
        }
    }

    let (judged, judge, notes) = match &args.likelihood {
        Some(folder) => with_likelihood(args, folder, &pairs)?,
        None => with_chat(args, timeout, &pairs, calls.as_deref().context("--out is missing")?, progress)?,
    };
    let lengths: Vec<[usize; 2]> = pairs.iter().map(words).collect();
    let statistics = Statistics::of(&judged, &lengths, args.seed);
    let mut comparison = Comparison {
        a: args.a.clone(),
        b: args.b.clone(),
        judge,
        unmatched,
        cut_at_human_turn: cut,
        seed: args.seed,
        resamples: RESAMPLES,
        statistics,
        remarks: notes,
    };
    comparison.remarks.extend(remarks(&comparison));
    if let Some(out) = &args.out {
        write_rows(out, &pairs, &judged)?;
    }
    if args.json {
        out!("{}", serde_json::to_string_pretty(&comparison)?);
    } else {
        out!("{}", table(&comparison).trim_end());
    }
    ensure!(
        comparison.statistics.judged() > 0,
        "none of the {} pairs has a verdict in both orders: see what the judge says in {}, and choose one that ends in a \
         line with A, B or C",
        pairs.len(),
        calls.unwrap_or_default().display()
    );
    Ok(())
}

/// The file of the judge's replies: `judged.calls.jsonl` beside `judged.jsonl`.
fn beside(out: &Path) -> PathBuf {
    let mut name = out.with_extension("").into_os_string();
    if out.extension().is_some_and(|ending| ending != "jsonl") {
        name = out.as_os_str().to_owned();
    }
    name.push(".calls.jsonl");
    name.into()
}

fn no_pairs(args: &Args, [a, b]: &[Vec<Answer>; 2]) -> String {
    let first = |answers: &[Answer]| {
        let prompt = &answers[0].prompt;
        let shown: String = prompt.chars().take(60).collect();
        format!("{shown:?}{}", if shown.len() < prompt.len() { "…" } else { "" })
    };
    format!(
        "{} and {} have no prompt in common: the first begins with {}, the second with {}; generate both from the same \
         file",
        args.a.display(),
        args.b.display(),
        first(a),
        first(b)
    )
}

type Found = (Vec<Judged>, Judge, Vec<String>);

fn with_likelihood(args: &Args, folder: &Path, pairs: &[Pair]) -> Result<Found> {
    let model = Model::load(folder, device::dtype("f32")?, &device::open(&args.device)?)?;
    let tokenizer = Tokenizer::load(folder, None)?;
    let (judged, notes) = by_likelihood(pairs, &model, &tokenizer, args.normalise)?;
    Ok((judged, Judge::Likelihood { model: folder.to_owned(), normalise: args.normalise }, notes))
}

fn with_chat(
    args: &Args,
    timeout: Duration,
    pairs: &[Pair],
    calls: &Path,
    progress: &Progress,
) -> Result<Found> {
    let key = Key::from_env(args.api_key_env.as_deref().unwrap_or(KEY))?;
    if let (None, Some(variable)) = (&key, &args.api_key_env) {
        bail!("--api-key-env {variable}: the environment has no such variable, or it is empty")
    }
    let client = Client::new(Endpoint {
        url: args.endpoint.clone().context("--endpoint is missing")?,
        key,
        timeout,
        max_retries: args.max_retries,
        seed: args.seed,
    })?;
    let chat = ChatJudge {
        model: args.judge_model.clone().context("--judge-model is missing")?,
        temperature: args.temperature,
        seed: args.seed,
        concurrency: args.concurrency,
    };
    let mut transcripts = Transcripts::open(calls)?;
    let (judged, done) = by_chat(pairs, &chat, &client, &mut transcripts, |done, needed| {
        if done.is_multiple_of(EVERY) || done == needed {
            progress.say(&format!("{done} of {needed} calls in {}", calls.display()));
        }
    })?;
    progress.say(&format!("{} calls made, {} verdicts reused", done.made, done.reused));
    let endpoint = client.place().to_owned();
    Ok((judged, Judge::Chat { model: chat.model, endpoint, temperature: args.temperature }, Vec::new()))
}

fn write_rows(out: &Path, pairs: &[Pair], judged: &[Judged]) -> Result<()> {
    let numbered = pairs.iter().zip(judged).enumerate();
    files::write_jsonl(out, numbered.map(|(number, (pair, judged))| PairRow::of(number, pair, judged)))
}

/// What a reader of the numbers needs to know.
fn remarks(comparison: &Comparison) -> Vec<String> {
    let mut remarks = Vec::new();
    let s = &comparison.statistics;
    let [a, b] = comparison.unmatched;
    if a + b > 0 {
        remarks
            .push(format!("left out for want of a partner with the same prompt: {a} answers of A, {b} of B"));
    }
    remarks.push(match comparison.cut_at_human_turn {
        Some([a, b]) => format!("cut where they go on to write a human turn: {a} answers of A, {b} of B"),
        None => "answers are judged whole, with the human turns that they may go on to write".to_owned(),
    });
    let judged = s.judged();
    let [longer_a, longer_b] = s.longer;
    let (side, longer, other) =
        if longer_a >= longer_b { ("A", longer_a, longer_b) } else { ("B", longer_b, longer_a) };
    if s.win_rate.is_some() && s.length_controlled_win_rate.is_none() {
        remarks.push(
            "all pairs differ by the same number of words: nothing is known of equal lengths".to_owned(),
        );
    } else if longer > 0 && (other as f64) < FEW * judged as f64 {
        remarks.push(format!(
            "{side}'s answer is the longer one in {longer} of {judged} pairs, the shorter one in {other}: length and model \
             are hardly told apart, and the rate at equal length is an extrapolation"
        ));
    }
    if judged > 0 && (s.wins == judged || s.losses == judged) {
        remarks.push(format!(
            "all pairs have one winner, so a bootstrap sees no chance at all: {judged} pairs rule out a rate of the \
             loser above {:.1} % (95 %)",
            100.0 * (1.0 - 0.05_f64.powf(1.0 / judged as f64))
        ));
    }
    remarks
}

fn table(comparison: &Comparison) -> String {
    let s = &comparison.statistics;
    let judge = match &comparison.judge {
        Judge::Chat { model, endpoint, temperature } => {
            format!("{model} at {endpoint}, temperature {temperature}, in both orders")
        }
        Judge::Likelihood { model, normalise: Normalise::Mean } => {
            format!("log π per token under {}", model.display())
        }
        Judge::Likelihood { model, normalise: Normalise::Sum } => format!("log π under {}", model.display()),
    };
    let percent = |x: f64| format!("{:.1} %", 100.0 * x);
    let share = |x: Option<f64>| x.map_or("–".to_owned(), percent);
    let rate = |rate: Option<Rate>| match rate {
        Some(Rate { value, interval: Some([low, high]) }) => {
            format!("{}  [{}, {}]", percent(value), percent(low), percent(high))
        }
        Some(Rate { value, interval: None }) => percent(value),
        None => "–".to_owned(),
    };
    let mut lines = vec![
        ("pairs", s.pairs.to_string()),
        ("A wins", s.wins.to_string()),
        ("B wins", s.losses.to_string()),
        ("ties", s.ties.to_string()),
    ];
    if matches!(comparison.judge, Judge::Chat { .. }) {
        lines.extend([
            ("decided by the order", s.splits.to_string()),
            ("without a verdict", s.refused.to_string()),
        ]);
    }
    lines.extend([
        ("win rate of A", rate(s.win_rate)),
        ("win rate of A at equal length", rate(s.length_controlled_win_rate)),
        ("mean words of A, of B", format!("{:.1}, {:.1}", s.mean_words[0], s.mean_words[1])),
    ]);
    if matches!(comparison.judge, Judge::Chat { .. }) {
        lines.extend([
            ("position consistency", share(s.position_consistency)),
            ("share of the first position", share(s.first_position_share)),
        ]);
    }
    let lines: Vec<Vec<String>> = lines.into_iter().map(|(name, cell)| vec![name.to_owned(), cell]).collect();
    let mut out = format!("A: {}\nB: {}\njudge: {judge}\n\n", comparison.a.display(), comparison.b.display());
    out += &report::aligned(&lines, 2);
    out += &format!(
        "\nTies and pairs decided by the order count one half. Intervals: 95 %, {RESAMPLES} resamples of pairs.\n"
    );
    for remark in &comparison.remarks {
        out += &format!("  ! {remark}\n");
    }
    out
}
