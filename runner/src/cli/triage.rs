use super::{Arithmetic, Named, named, refuse_existing};
use crate::config::{self, Study};
use crate::data::{self, Need, ReadOptions, Record, Tokenizer};
use crate::dynamics::triage::{SCORES, explain, triage};
use crate::model::Model;
use crate::probe::When;
use crate::progress::Progress;
use crate::record::{JsonlWriter, Metrics, TriageRow};
use crate::statistics::auroc_interval;
use crate::train::{self, Cadence, Example, Intervention, Loss, Update};
use crate::{report, score, seed, study};
use anyhow::{Context, Result, ensure};
use rand::seq::SliceRandom;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Score preference pairs before training on them: what a step would do to log π(y⁺), how deep y⁻ lies,
/// CHES; rank and explain them, write the safer ones.
///
/// Example: ldyn triage --model pythia-410m --data hh.jsonl --out triage.jsonl --keep 0.8 --filtered kept.jsonl
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Model folder in the Hugging Face layout, tokenizer included, or a name on the hub: OWNER/NAME[@REVISION].
    #[arg(long)]
    model: PathBuf,
    /// Preference pairs: .jsonl, .jsonl.gz or .parquet.
    #[arg(long)]
    data: PathBuf,
    /// File that receives a row a pair; it must not exist.
    #[arg(long, short)]
    out: PathBuf,
    /// A preference loss as for `ldyn train`.
    #[arg(long, default_value = "dpo")]
    objective: String,
    /// Only the first records.
    #[arg(long)]
    limit: Option<usize>,
    /// Share of the pairs to keep in --filtered: those whose y⁺ is predicted to fall least.
    #[arg(long, requires = "filtered")]
    keep: Option<f64>,
    /// File that receives the kept pairs as prompt, chosen and rejected; it must not exist.
    #[arg(long, requires = "keep")]
    filtered: Option<PathBuf>,
    /// Check the scores: train a copy this many steps on one half of the pairs and compare with what
    /// happens to y⁺ of the other half, which alone is scored then.
    #[arg(long, conflicts_with = "filtered")]
    check_steps: Option<usize>,
    /// Override any key of a study file; the stage is `stages.0`. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of the halves and of the bootstrap.
    #[arg(long, default_value_t = 1024)]
    seed: u64,
    #[command(flatten)]
    arithmetic: Arithmetic,
    /// Print JSON instead of the ranking's head: records from the lowest prediction, and the check of the scores.
    #[arg(long)]
    json: bool,
}

/// What is printed.
#[derive(Serialize)]
struct Triage {
    pairs: usize,
    /// Pairs whose y⁺ is predicted to fall.
    falling: usize,
    /// Lines of the data file, from 0, from the lowest prediction.
    ranking: Vec<usize>,
    check: Option<Check>,
    /// Pairs in --filtered.
    kept: Option<usize>,
}

/// What a short run did to pairs that it did not learn.
#[derive(Serialize)]
struct Check {
    steps: usize,
    pairs: usize,
    /// Pairs whose y⁺ fell.
    fell: usize,
    scores: Vec<Foretold>,
    /// By data influence, from the lowest prediction.
    fifths: Vec<Fifth>,
}

/// How well a score foretold that y⁺ falls; nothing where all or none fell.
#[derive(Serialize)]
struct Foretold {
    score: &'static str,
    auroc: Option<f64>,
    /// 95 %.
    interval: Option<[f64; 2]>,
}

/// Means over pairs, and the share whose y⁺ fell.
#[derive(Serialize)]
struct Fifth {
    predicted: f64,
    measured: f64,
    fell: f64,
}

/// Pairs that the terminal shows.
const SHOWN: usize = 5;
/// Resamples of the bootstrap.
const RESAMPLES: usize = 2000;

impl Args {
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        named([&mut self.model], [&mut self.data])
    }
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    if let Some(keep) = args.keep {
        ensure!((0.0..=1.0).contains(&keep), "--keep {keep}: expected a share between 0 and 1");
    }
    for path in [Some(&args.out), args.filtered.as_ref()].into_iter().flatten() {
        refuse_existing(path)?;
    }
    let mut study = Study::one_stage(&args.objective, Some(&args.data), Path::new("none"))?;
    study.model.path = Some(args.model.clone());
    let study = config::with_overrides(&study, &args.set)?;
    let stage = &study.stages[0];
    let loss = Loss::of(stage)?;
    ensure!(loss.of_pairs().is_some(), "triage needs a preference loss, `{}` has no pairs", args.objective);
    let model = args.arithmetic.load(&args.model)?;
    let tokenizer = Tokenizer::load(&args.model, None)?;
    let options = ReadOptions {
        need: Need::Pair,
        limit: args.limit.or(study.data.limit),
        ..study::read_options(&study.data, &args.model)?
    };
    let read = data::read(&args.data, &options)?;
    read.notes().iter().for_each(|note| progress.say(note));
    let (records, _) = study::tokenize(&study.data, read.format, &read.records, &tokenizer)?;
    let mut examples = study::examples(stage, &records)?;
    train::add_reference(&model, &loss, &mut examples)?;
    let (trained, scored) = match args.check_steps {
        Some(_) => {
            ensure!(
                examples.len() >= 4,
                "a check needs at least 4 pairs, {} has {}",
                args.data.display(),
                examples.len()
            );
            examples.shuffle(&mut seed::rng(args.seed, "triage halves"));
            let held_out = examples.split_off(examples.len() / 2);
            (examples, held_out)
        }
        None => (examples.clone(), examples),
    };

    progress.say(&format!("one step on {} pairs together", trained.len()));
    let batch: Vec<&Example> = trained.iter().collect();
    let data = Update::fresh(&model, stage, &loss, &batch)?.whole()?;
    let mut writer = JsonlWriter::create(&args.out)?;
    let mut rows: Vec<TriageRow> = Vec::new();
    let own = |example: &Example| Update::fresh(&model, stage, &loss, &[example]);
    triage(&model, &scored, &data, &own, |row| {
        writer.write(&row)?;
        rows.push(row);
        if rows.len().is_multiple_of(50) {
            writer.flush()?;
            progress.say(&format!("{} of {} pairs", rows.len(), scored.len()));
        }
        Ok(())
    })?;
    writer.flush()?;

    let mut checked = None;
    if let Some(steps) = args.check_steps {
        let after = after_training(&model, &study, &loss, &trained, &scored, steps, args.seed)?;
        checked = Some(check(&rows, &after, steps, args.seed));
    }
    rows.sort_by(|a, b| a.data_chosen.total_cmp(&b.data_chosen));
    let falling = rows.iter().filter(|r| r.data_chosen < 0.0).count();
    let kept = args.keep.map(|keep| (rows.len() as f64 * keep).round() as usize);
    if let (Some(kept), Some(path)) = (kept, &args.filtered) {
        let mut lines: Vec<usize> = rows.iter().rev().take(kept).map(|r| r.example).collect();
        lines.sort_unstable();
        write_kept(path, &read.records, &lines)?;
    }
    if args.json {
        let ranking = rows.iter().map(|row| row.example).collect();
        let found = Triage { pairs: rows.len(), falling, ranking, check: checked, kept };
        out!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    if let Some(checked) = &checked {
        out!("{}", check_text(checked));
    }
    out!("{} pairs; y⁺ of {falling} is predicted to fall. The first {SHOWN} of the ranking:", rows.len());
    for row in rows.iter().take(SHOWN) {
        out!("  record {}: {}", row.example, explain(row));
    }
    if let (Some(kept), Some(path)) = (kept, &args.filtered) {
        out!("{kept} pairs written to {}", path.display());
    }
    Ok(())
}

/// Pairs in the prompt/chosen/rejected layout.
fn write_kept(path: &Path, records: &[Record], lines: &[usize]) -> Result<()> {
    let mut writer = JsonlWriter::create(path)?;
    for record in records.iter().filter(|r| lines.binary_search(&r.example).is_ok()) {
        let text = |kind| record.response(kind).context("a pair has both responses");
        writer.write(&serde_json::json!({
            "prompt": record.prompt,
            "chosen": text("chosen")?,
            "rejected": text("rejected")?,
        }))?;
    }
    writer.flush()
}

struct Silent;

impl train::Observer for Silent {
    fn probe(&mut self, _: &Model, _: &When) -> Result<Vec<Intervention>> {
        Ok(Vec::new())
    }
    fn step(&mut self, _: &Model, _: &When, _: &Metrics, _: usize) -> Result<Vec<Intervention>> {
        Ok(Vec::new())
    }
}

/// Δ log π(y⁺) of the held-out pairs after a copy was trained on the others.
fn after_training(
    model: &Model,
    study: &Study,
    loss: &Loss,
    trained: &[Example],
    held_out: &[Example],
    steps: usize,
    seed: u64,
) -> Result<Vec<f64>> {
    let stage = &study.stages[0];
    let order = train::order(trained.len(), steps * stage.examples_per_step(), seed, &stage.name);
    let copy = model.copy()?;
    train::train(&copy, stage, loss, trained, &order, Cadence::Every(0), &mut Silent)?;
    let items: Vec<score::Item> = held_out.iter().map(Example::item).collect();
    let (before, after) = (score::score(model, &items)?, score::score(&copy, &items)?);
    Ok(before.iter().zip(&after).map(|(b, a)| a[0].logp - b[0].logp).collect())
}

/// How well each score foretold which y⁺ fell.
fn check(rows: &[TriageRow], after: &[f64], steps: usize, seed: u64) -> Check {
    let fell: Vec<bool> = after.iter().map(|&d| d < 0.0).collect();
    let foretold = |(name, score): &(&'static str, fn(&TriageRow) -> f64)| {
        let scores: Vec<f64> = rows.iter().map(score).collect();
        let found = auroc_interval(&scores, &fell, RESAMPLES, &mut seed::rng(seed, name));
        Foretold {
            score: name,
            auroc: found.map(|(auroc, _)| auroc),
            interval: found.map(|(_, interval)| interval),
        }
    };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| rows[a].data_chosen.total_cmp(&rows[b].data_chosen));
    let fifth = |part: &[usize]| {
        let mean = |of: &dyn Fn(usize) -> f64| part.iter().map(|&i| of(i)).sum::<f64>() / part.len() as f64;
        Fifth {
            predicted: mean(&|i| rows[i].data_chosen),
            measured: mean(&|i| after[i]),
            fell: mean(&|i| f64::from(u8::from(fell[i]))),
        }
    };
    Check {
        steps,
        pairs: fell.len(),
        fell: fell.iter().filter(|&&f| f).count(),
        scores: SCORES.iter().map(foretold).collect(),
        fifths: order.chunks(rows.len().div_ceil(5).max(1)).map(fifth).collect(),
    }
}

fn check_text(check: &Check) -> String {
    let Check { steps, pairs, fell, .. } = check;
    let mut out = format!(
        "After {steps} steps on the other half, y⁺ of {fell} of {pairs} held-out pairs has fallen. AUROC of \"y⁺ falls\", with the 95 % interval of a bootstrap over pairs:\n"
    );
    let score = |found: &Foretold| {
        let cell = match (found.auroc, found.interval) {
            (Some(a), Some([low, high])) => format!("{a:.3}  [{low:.3}, {high:.3}]"),
            _ => "only one outcome".into(),
        };
        vec![found.score.to_owned(), cell]
    };
    out += &report::aligned(&check.scores.iter().map(score).collect::<Vec<_>>(), 2);
    out += "Pairs in fifths by data influence, from the lowest prediction: mean predicted (one step), mean measured, share that fell\n";
    let fifth = |f: &Fifth| {
        vec![format!("{:+.4}", f.predicted), format!("{:+.3}", f.measured), format!("{:.2}", f.fell)]
    };
    out + &report::aligned(&check.fifths.iter().map(fifth).collect::<Vec<_>>(), 0)
}
