use crate::config::Study;
use crate::environment::Environment;
use crate::hub::Hub;
use crate::memory;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Print what the program was built from and runs on, and what it reads from the environment: for reports of
/// problems, and to compare machines. Secrets are shown as set or not set.
///
/// Example: ldyn env --json
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Variables whose values say nothing that must not be known.
const PLAIN: [&str; 14] = [
    "CANDLE_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HF_TOKEN_PATH",
    "NO_COLOR",
    "RAYON_NUM_THREADS",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "TMPDIR",
    "TRANSFORMERS_OFFLINE",
    "XDG_CACHE_HOME",
];

/// Those that hold keys, or may: proxies have passwords in them.
const SECRET: [&str; 8] = [
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "OPENAI_API_KEY",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
];

#[derive(Serialize)]
struct Printed {
    version: &'static str,
    #[serde(flatten)]
    environment: Environment,
    /// Threads to compute with.
    threads: usize,
    /// Bytes that are free.
    memory_available: Option<u64>,
    /// Seed of a study that names none.
    default_seed: u64,
    hub: Folders,
    variables: BTreeMap<&'static str, String>,
}

/// What the hub's part of the environment comes to.
#[derive(Serialize)]
struct Folders {
    cache: Option<PathBuf>,
    endpoint: Option<String>,
    offline: bool,
    token: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let printed = Printed {
        version: env!("CARGO_PKG_VERSION"),
        environment: Environment::here(),
        threads: rayon::current_num_threads(),
        memory_available: memory::available(),
        default_seed: Study::one_stage("sft", None, Path::new("none"))?.seed,
        hub: folders(),
        variables: variables(&|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        }),
    };
    if args.json {
        out!("{}", serde_json::to_string_pretty(&printed)?);
    } else {
        out!("{}", text(&printed));
    }
    Ok(())
}

fn folders() -> Folders {
    match Hub::from_env() {
        Ok(hub) => Folders {
            token: is_set(hub.has_token()),
            cache: Some(hub.cache),
            endpoint: Some(hub.endpoint),
            offline: hub.offline,
            error: None,
        },
        Err(error) => Folders {
            cache: None,
            endpoint: None,
            offline: false,
            token: is_set(false),
            error: Some(format!("{error:#}")),
        },
    }
}

fn variables(variable: &dyn Fn(&str) -> Option<String>) -> BTreeMap<&'static str, String> {
    let plain = PLAIN.into_iter().map(|name| match variable(name) {
        // A password in a URL.
        Some(value) if value.contains('@') => (name, is_set(true).to_owned()),
        Some(value) => (name, value),
        None => (name, is_set(false).to_owned()),
    });
    plain.chain(SECRET.into_iter().map(|name| (name, is_set(variable(name).is_some()).to_owned()))).collect()
}

fn is_set(set: bool) -> &'static str {
    if set { "set" } else { "not set" }
}

fn text(printed: &Printed) -> String {
    let Environment { features, rustc, target, debug, os, cpu, cores, cpu_features, simd, memory } =
        &printed.environment;
    let free = printed.memory_available.map_or("?".into(), memory::text);
    let or_none = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
    let Folders { cache, endpoint, offline, token, error } = &printed.hub;
    let cache = cache.as_deref().unwrap_or(Path::new("?")).display();
    let mut lines = vec![
        ("ldyn", printed.version.to_owned()),
        ("features", or_none(features)),
        ("compiler", format!("{rustc}, for {target}{}", if *debug { ", debug" } else { "" })),
        ("system", os.clone()),
        ("processor", format!("{cpu}, {cores} logical cores")),
        ("instructions", format!("{}; own loops use {simd}", or_none(cpu_features))),
        ("threads", printed.threads.to_string()),
        ("memory", format!("{}, {free} free", memory::text(*memory))),
        ("seed", format!("{} where a study names none", printed.default_seed)),
        ("hub", format!("{}{}", endpoint.as_deref().unwrap_or("?"), if *offline { ", offline" } else { "" })),
        ("hub cache", cache.to_string()),
        ("hub token", (*token).to_owned()),
    ];
    lines.extend(error.iter().map(|error| ("hub error", error.clone())));
    let lines = lines.into_iter().chain(printed.variables.iter().map(|(name, value)| (*name, value.clone())));
    lines.map(|(name, value)| format!("{name:22} {value}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_secret_is_shown() {
        let found = variables(&|name| Some(format!("value-of-{name}")));
        for name in SECRET {
            assert_eq!(found[name], "set");
        }
        assert_eq!(found["HF_HOME"], "value-of-HF_HOME");
        let found = variables(&|name| (name == "HF_ENDPOINT").then(|| "https://me:password@hub.co".into()));
        assert_eq!((&found["HF_ENDPOINT"][..], &found["HF_TOKEN"][..]), ("set", "not set"));
        assert!(found.len() == PLAIN.len() + SECRET.len());
    }
}
