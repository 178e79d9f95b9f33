use super::{Arithmetic, Named, named, refuse_existing};
use crate::config::{self, Study};
use crate::data::{self, Need, ProbeOptions, ReadOptions, Tokenizer};
use crate::dynamics::kernel::{Stability, influence, stability};
use crate::progress::Progress;
use crate::record::{Influence, JsonlWriter};
use crate::statistics::{Estimate, estimate};
use crate::train::{self, Example, Loss};
use crate::{report, seed, study};
use anyhow::{Result, ensure};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The empirical neural tangent kernel of a model, and whether it kept its order between checkpoints:
/// ‖K‖_F by random vectors, influence, and the paper's proxies LBK and SignDelta beside them.
///
/// Example: ldyn kernel --model pythia-410m --model runs/hh/sft --model runs/hh/dpo --data probe_train.jsonl
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Model folder; repeat it for checkpoints of one run in their order.
    #[arg(long, required = true)]
    model: Vec<PathBuf>,
    /// Records: each update learns a record's chosen response and all records' responses are observed.
    #[arg(long)]
    data: PathBuf,
    /// `sft`, or a preference loss (its weights at margin 0).
    #[arg(long, default_value = "sft")]
    objective: String,
    /// Updates: the first this many records, one by one.
    #[arg(long, default_value_t = 4)]
    updates: usize,
    /// Observed prompts: the first this many records.
    #[arg(long, default_value_t = 8)]
    prompts: usize,
    /// Random vectors that estimate ‖K‖_F.
    #[arg(long, default_value_t = 4)]
    probes: usize,
    /// Build the kinds that need no language model.
    #[arg(long)]
    build_kinds: bool,
    /// File that receives a row an update and response of every model; it must not exist.
    #[arg(long, short)]
    out: Option<PathBuf>,
    /// Override any key of a study file; the stage is `stages.0`. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of built kinds and random vectors.
    #[arg(long, default_value_t = 1024)]
    seed: u64,
    #[command(flatten)]
    arithmetic: Arithmetic,
    /// Print JSON instead of the tables: means by kind of every model, and how far the order was kept.
    #[arg(long)]
    json: bool,
}

/// What is printed.
#[derive(Serialize)]
struct Kernel<'a> {
    models: Vec<Measured<'a>>,
    stability: Vec<Compared>,
}

#[derive(Serialize)]
struct Measured<'a> {
    model: String,
    means: Vec<Means<'a>>,
}

/// Of a kind of response, on the prompts of the updates or on others.
#[derive(Serialize)]
struct Means<'a> {
    kind: &'a str,
    own_prompt: bool,
    influence: f64,
    k_norm: f64,
    a_norm: f64,
    g_norm: f64,
    /// √LBK.
    root_lbk: f64,
    sign_delta: f64,
}

#[derive(Serialize)]
struct Compared {
    from: String,
    to: String,
    #[serde(flatten)]
    stability: Stability,
}

impl Args {
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        named(&mut self.model, [&mut self.data])
    }
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    ensure!(args.updates > 0 && args.prompts > 0, "give at least one update and one observed prompt");
    if let Some(path) = &args.out {
        refuse_existing(path)?;
    }
    let mut writer = None;
    let mut checkpoints: Vec<Vec<Influence>> = Vec::new();
    for folder in &args.model {
        progress.say(&format!("{}: {} updates on {} prompts", folder.display(), args.updates, args.prompts));
        let rows = measure(args, folder)?;
        if let Some(path) = &args.out {
            let writer = match &mut writer {
                Some(writer) => writer,
                None => writer.insert(JsonlWriter::create(path)?),
            };
            for row in &rows {
                let mut line = serde_json::to_value(row)?;
                line["model"] = folder.display().to_string().into();
                writer.write(&line)?;
            }
            writer.flush()?;
        }
        if !args.json {
            out!("{}\n{}", folder.display(), table(&means(&rows)));
        }
        checkpoints.push(rows);
    }
    let name = |i: usize| args.model[i].display().to_string();
    // Neighbours, and the first with the last.
    let last = checkpoints.len() - 1;
    let pairs = (0..last).map(|i| (i, i + 1)).chain((last > 1).then_some((0, last)));
    let compare = |(from, to): (usize, usize)| {
        let stability = stability(&checkpoints[from], &checkpoints[to])?;
        Ok(Compared { from: name(from), to: name(to), stability })
    };
    let compared = pairs.map(compare).collect::<Result<Vec<_>>>()?;
    if args.json {
        let models = checkpoints.iter().enumerate();
        let models = models.map(|(i, rows)| Measured { model: name(i), means: means(rows) }).collect();
        out!("{}", serde_json::to_string_pretty(&Kernel { models, stability: compared })?);
    } else if !compared.is_empty() {
        out!(
            "Between checkpoints: Spearman's rank correlation over kinds, mean ± standard error over updates"
        );
        out!("{}", stability_table(&compared));
    }
    Ok(())
}

fn measure(args: &Args, folder: &Path) -> Result<Vec<Influence>> {
    let mut settings = Study::one_stage(&args.objective, Some(&args.data), Path::new("none"))?;
    settings.model.path = Some(folder.to_owned());
    let settings = config::with_overrides(&settings, &args.set)?;
    let stage = &settings.stages[0];
    let loss = Loss::of(stage)?;
    let model = args.arithmetic.load(folder)?;
    let tokenizer = Tokenizer::load(folder, None)?;
    let need = if loss.of_pairs().is_some() { Need::Pair } else { Need::Chosen };
    let wanted = args.updates.max(args.prompts);
    let options = ReadOptions { need, limit: Some(wanted), ..study::read_options(&settings.data, folder)? };
    let read = data::read(&args.data, &options)?;
    let records = if args.build_kinds {
        let options = ProbeOptions { seed: args.seed, ..ProbeOptions::default() };
        data::probe_set::build(&read.records, &[], &options)?.records
    } else {
        read.records
    };
    let (records, _) = study::tokenize(&settings.data, read.format, &records, &tokenizer)?;
    let mut examples: Vec<Example> = study::examples(stage, &records[..args.updates.min(records.len())])?;
    train::add_reference(&model, &loss, &mut examples)?;
    let observed = &records[..args.prompts.min(records.len())];
    let rng = &mut seed::rng(args.seed, "kernel");
    let mut rows = Vec::new();
    for example in &examples {
        rows.extend(influence(&model, &loss, example, observed, args.probes, rng)?);
    }
    Ok(rows)
}

/// Means over updates and prompts, a row a kind; own prompts and others apart.
fn means(rows: &[Influence]) -> Vec<Means<'_>> {
    let mut kinds: Vec<&str> = Vec::new();
    for row in rows {
        if !kinds.contains(&row.kind.as_str()) {
            kinds.push(&row.kind);
        }
    }
    let mut found = Vec::new();
    for (kind, own_prompt) in kinds.into_iter().flat_map(|kind| [(kind, true), (kind, false)]) {
        let mine = rows.iter().filter(|r| r.kind == kind && (r.update == r.example) == own_prompt);
        let mine: Vec<&Influence> = mine.collect();
        let mean = |f: fn(&Influence) -> f64| {
            Some(estimate(&mine.iter().map(|row| f(row)).collect::<Vec<_>>())?.mean)
        };
        let of = || {
            Some(Means {
                kind,
                own_prompt,
                influence: mean(|r| r.influence)?,
                k_norm: mean(|r| r.k_norm)?,
                a_norm: mean(|r| r.a_norm)?,
                g_norm: mean(|r| r.g_norm)?,
                root_lbk: mean(|r| r.lbk.sqrt())?,
                sign_delta: mean(|r| r.sign_delta)?,
            })
        };
        found.extend(of());
    }
    found
}

fn table(means: &[Means]) -> String {
    let header = ["kind", "own prompt", "influence", "‖K‖", "‖A‖", "‖G‖", "√LBK", "SignDelta"];
    let mut lines = vec![header.map(String::from).to_vec()];
    for of in means {
        let numbers = [of.influence, of.k_norm, of.a_norm, of.g_norm, of.root_lbk, of.sign_delta];
        let own = if of.own_prompt { "yes" } else { "no" };
        let words = [of.kind.to_owned(), own.to_owned()];
        lines.push(words.into_iter().chain(numbers.map(|number| format!("{number:.4e}"))).collect());
    }
    report::aligned(&lines, 2)
}

/// How far the order was kept, a line a pair of checkpoints.
fn stability_table(compared: &[Compared]) -> String {
    let header = ["from", "to", "rank of influence", "rank of ‖K‖", "‖K‖ ratio", "drift"];
    let mut lines = vec![header.map(String::from).to_vec()];
    let cell = |e: Option<Estimate>| e.map_or("–".into(), |e| report::with_error(&e, 2));
    for Compared { from, to, stability: s } in compared {
        lines.push(vec![
            from.clone(),
            to.clone(),
            cell(s.rank),
            cell(s.k_rank),
            format!("{:.3}", s.k_ratio),
            format!("{:.3}", s.k_drift),
        ]);
    }
    report::aligned(&lines, 2)
}
