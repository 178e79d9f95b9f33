use crate::config;
use crate::hub::{Address, Hub, Role};
use crate::progress::Progress;
use anyhow::Result;
use std::path::Path;

/// Download models and data from the Hugging Face hub into its cache: for machines without a network, or to have a
/// branch at its newest commit. Every verb downloads by itself what the cache lacks of what it was given by name.
///
/// A model is OWNER/NAME[@REVISION], a file is hf://datasets/OWNER/NAME[@REVISION]/PATH. Read are HF_HUB_CACHE, HF_HOME,
/// HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE.
///
/// Example: ldyn fetch EleutherAI/pythia-410m
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Models and files on the hub, or study files (.toml) whose own are wanted.
    #[arg(required = true)]
    names: Vec<String>,
    /// Override a key of the study files: `a.b=value`. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub(super) fn run(args: &Args, progress: &Progress) -> Result<()> {
    for name in &args.names {
        let path = Path::new(name);
        if path.extension().is_some_and(|ending| ending == "toml") && path.exists() {
            let mut study = config::load(path, &args.set)?;
            super::fetch_all(study.named_mut(), progress)?;
            for (_, place) in study.named_mut() {
                out!("{}", place.display());
            }
        } else {
            out!("{}", Hub::from_env()?.fetch(Role::Model, &Address::parse(name)?, progress)?.display());
        }
    }
    Ok(())
}
