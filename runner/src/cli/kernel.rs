use super::{Arithmetic, Named, named, refuse_existing};
use crate::config::{self, Study};
use crate::data::{self, Need, ProbeOptions, ReadOptions, Tokenizer};
use crate::dynamics::kernel::{influence, stability};
use crate::progress::Progress;
use crate::record::{Influence, JsonlWriter};
use crate::statistics::estimate;
use crate::train::{self, Example, Loss};
use crate::{report, seed, study};
use anyhow::{Result, ensure};
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
        out!("{}\n{}", folder.display(), table(&rows));
        checkpoints.push(rows);
    }
    if checkpoints.len() > 1 {
        out!(
            "Between checkpoints: Spearman's rank correlation over kinds, mean ± standard error over updates"
        );
        let mut lines = vec![
            ["from", "to", "rank of influence", "rank of ‖K‖", "‖K‖ ratio", "drift"]
                .map(String::from)
                .to_vec(),
        ];
        // Neighbours, and the first with the last.
        let last = checkpoints.len() - 1;
        let pairs = (0..last).map(|i| (i, i + 1)).chain((last > 1).then_some((0, last)));
        for (from, to) in pairs {
            let s = stability(&checkpoints[from], &checkpoints[to])?;
            let cell = |e: Option<crate::statistics::Estimate>| {
                e.map_or("–".into(), |e| report::with_error(&e, 2))
            };
            lines.push(vec![
                args.model[from].display().to_string(),
                args.model[to].display().to_string(),
                cell(s.rank),
                cell(s.k_rank),
                format!("{:.3}", s.k_ratio),
                format!("{:.3}", s.k_drift),
            ]);
        }
        out!("{}", report::aligned(&lines, 2));
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

/// Means over updates and prompts, a line a kind; own prompts and others apart.
fn table(rows: &[Influence]) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for row in rows {
        if !kinds.contains(&row.kind.as_str()) {
            kinds.push(&row.kind);
        }
    }
    let header = ["kind", "own prompt", "influence", "‖K‖", "‖A‖", "‖G‖", "√LBK", "SignDelta"];
    let mut lines = vec![header.map(String::from).to_vec()];
    for kind in kinds {
        for own in [true, false] {
            let of = |f: fn(&Influence) -> f64| -> Option<String> {
                let mine = rows.iter().filter(|r| r.kind == kind && (r.update == r.example) == own);
                estimate(&mine.map(f).collect::<Vec<_>>()).map(|e| format!("{:.4e}", e.mean))
            };
            let columns: [fn(&Influence) -> f64; 6] = [
                |r| r.influence,
                |r| r.k_norm,
                |r| r.a_norm,
                |r| r.g_norm,
                |r| r.lbk.sqrt(),
                |r| r.sign_delta,
            ];
            let Some(cells) = columns.into_iter().map(of).collect::<Option<Vec<_>>>() else { continue };
            let mut line = vec![kind.to_owned(), if own { "yes" } else { "no" }.to_owned()];
            line.extend(cells);
            lines.push(line);
        }
    }
    report::aligned(&lines, 2)
}
