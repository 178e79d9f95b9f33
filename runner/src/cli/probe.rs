use super::{Arithmetic, Named, data_table, named};
use crate::data::{self, ProbeOptions, ReadOptions, Tokenizer};
use crate::progress::Progress;
use crate::record::JsonlWriter;
use crate::{probe, study};
use anyhow::{Result, bail};
use std::path::PathBuf;

/// Score every response of a file under a model folder: one row an example and kind.
///
/// Example: ldyn probe --model pythia-410m --data probe_train.jsonl --out rows.jsonl
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Model folder in the Hugging Face layout, tokenizer included, or a name on the hub: OWNER/NAME[@REVISION].
    #[arg(long)]
    model: PathBuf,
    /// Records with the responses to score: .jsonl, .jsonl.gz or .parquet.
    #[arg(long)]
    data: PathBuf,
    /// File that receives the rows; it must not exist.
    #[arg(long, short)]
    out: PathBuf,
    /// Kinds to score [default: all in the file].
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<String>,
    /// Also build the kinds that need no language model (answers of other questions, shuffled words).
    #[arg(long)]
    build_kinds: bool,
    /// Only the first records.
    #[arg(long)]
    limit: Option<usize>,
    /// Override a key of a study's data table: `data.max_length=1024`. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of built kinds.
    #[arg(long, default_value_t = 1024)]
    seed: u64,
    #[command(flatten)]
    arithmetic: Arithmetic,
}

/// Records scored between two writes.
const BATCH: usize = 64;

impl Args {
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        named([&mut self.model], [&mut self.data])
    }
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    let settings = data_table(&args.model, &args.data, args.limit, &args.set)?;
    let model = args.arithmetic.load(&args.model)?;
    let tokenizer = Tokenizer::load(&args.model, None)?;
    let read = data::read(
        &args.data,
        &ReadOptions { limit: settings.limit, ..study::read_options(&settings, &args.model)? },
    )?;
    let mut notes = read.notes();
    let mut records = read.records;
    if args.build_kinds {
        let set = data::probe_set::build(
            &records,
            &[],
            &ProbeOptions { seed: args.seed, ..ProbeOptions::default() },
        )?;
        records = set.records;
        notes.extend(set.notes);
    }
    if !args.kinds.is_empty() {
        for record in &mut records {
            record.responses.retain(|(kind, _)| args.kinds.contains(kind));
        }
    }
    if records.iter().all(|r| r.responses.is_empty()) {
        bail!("{} has no response of the kinds {}", args.data.display(), args.kinds.join(", "))
    }
    let (tokenized, cut) = study::tokenize(&settings, read.format, &records, &tokenizer)?;
    notes.extend(cut.notes());
    notes.iter().for_each(|note| progress.say(note));
    let mut writer = JsonlWriter::create(&args.out)?;
    let mut rows = 0;
    for batch in tokenized.chunks(BATCH) {
        let swept = probe::sweep(&model, batch, None)?;
        writer.write_all(&swept)?;
        rows += swept.len();
    }
    progress.say(&format!("{rows} rows written to {}", args.out.display()));
    Ok(())
}
