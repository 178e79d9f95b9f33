//! Models and data of the Hugging Face hub, by name.
//!
//! | named | is |
//! |---|---|
//! | `EleutherAI/pythia-410m`, `EleutherAI/pythia-410m@step3000` | a model: wherever a model folder may be named; its tokenizer or its shape alone where these may be |
//! | `hf://EleutherAI/pythia-410m@step3000` | the same |
//! | `hf://datasets/OWNER/NAME[@REVISION]/PATH` | a file: wherever a data file may be named |
//!
//! What is there on the disk is what was meant: `runs/base` is a path where there is a folder `runs`. The rest is looked
//! for in the cache, which is that of Python's `huggingface_hub`, folder by folder and name by name; and what the cache
//! lacks is downloaded: of a model its configuration, tokenizer, chat template and safetensors files, and never
//! pickled weights, which are programs. A file that is whole in the cache costs no request, so a branch stays at the
//! commit that it was fetched at until `ldyn fetch` asks for a newer one.
//!
//! | environment | |
//! |---|---|
//! | `HF_HUB_CACHE`, or `hub` in `HF_HOME` | the cache; by default `~/.cache/huggingface/hub` |
//! | `HF_ENDPOINT` | the hub, or a mirror of it; by default `https://huggingface.co` |
//! | `HF_TOKEN`, or the file `HF_TOKEN_PATH` or `token` in `HF_HOME` | the token for private and gated repositories |
//! | `HF_HUB_OFFLINE=1` | nothing is downloaded |
//!
//! The token goes to the endpoint alone (by https, or to this machine itself), not along with redirects to other hosts, and
//! into no record, report or message.

// hf-hub 1.0 is a client over tokio, reqwest and hf-xet: 200 crates more, a second TLS library in C among them. Its
// last release over ureq (0.5) neither checks sizes nor checksums, takes a whole file for the rest of one, and knows
// HF_TOKEN, HF_HUB_CACHE and HF_HUB_OFFLINE not at all.

mod address;
mod cache;
mod client;
mod download;

pub use address::{Address, Kind};

use crate::chat::Key;
use crate::memory;
use crate::model::{CONFIG, INDEX, WEIGHTS};
use crate::progress::Progress;
use anyhow::{Context, Result, bail, ensure};
use cache::Cached;
use client::{Client, Listed};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tracing::debug;

/// The hub where no other is named.
const ENDPOINT: &str = "https://huggingface.co";

/// What a name is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A model folder.
    Model,
    /// A `tokenizer.json`, or the folder that holds it; of a model on the hub all but the weights.
    Tokenizer,
    /// The `config.json` of a model to initialise, or the folder that holds it.
    Config,
    /// A data file.
    File,
}

/// Where what is `named` lies on this machine, or what it is on the hub. No request is made.
enum Found {
    Here(PathBuf),
    Hub(Address),
}

/// The folder or file `named`, if it lies on this machine: as it is, or in the cache. What does not is returned as it is.
///
/// - a model is a folder with a `config.json`; a folder of the cache, `models--OWNER--NAME`, which is its snapshot of
///   `main`; or an address on the hub whose files are in the cache;
/// - a tokenizer or the shape of a model is a path, or an address of a model of which those files are in the cache;
/// - a file is a path, or an address on the hub that is in the cache.
///
/// # Errors
/// A broken `hf://` address.
pub fn cached(role: Role, named: &Path) -> Result<PathBuf> {
    Ok(match find(role, named)? {
        Found::Here(path) => path,
        Found::Hub(_) => named.to_owned(),
    })
}

/// As [`cached`], but downloads what is on the hub only.
///
/// # Errors
/// What is not there, or must not be read, or cannot be reached: each says what to do.
pub fn local(role: Role, named: &Path, progress: &Progress) -> Result<PathBuf> {
    match find(role, named)? {
        Found::Here(path) => Ok(path),
        Found::Hub(address) => Ok(role.place(Hub::from_env()?.fetch(role, &address, progress)?)),
    }
}

/// Whether an address on the hub is meant, in the cache or not.
///
/// # Errors
/// A broken `hf://` address.
pub fn is_named(role: Role, named: &Path) -> Result<bool> {
    Ok(role.address(named)?.is_some())
}

/// Whether what is `named` is on the hub only.
///
/// # Errors
/// A broken `hf://` address.
pub fn is_remote(role: Role, named: &Path) -> Result<bool> {
    Ok(matches!(find(role, named)?, Found::Hub(_)))
}

/// What [`local`] would download.
///
/// # Errors
/// As [`local`].
pub fn missing(role: Role, named: &Path) -> Result<Option<Missing>> {
    match find(role, named)? {
        Found::Here(_) => Ok(None),
        Found::Hub(address) => Hub::from_env()?.missing(role, &address).map(Some),
    }
}

impl Role {
    /// The address on the hub that is meant where this is asked for.
    fn address(self, named: &Path) -> Result<Option<Address>> {
        let is_json = named.extension().is_some_and(|ending| ending == "json");
        match self {
            Self::File => Address::of_file(named),
            // A file that is missing here is no repository that is called so.
            Self::Tokenizer | Self::Config if is_json && !Address::has_scheme(named) => Ok(None),
            Self::Model | Self::Tokenizer | Self::Config if named.exists() => Ok(None),
            Self::Model | Self::Tokenizer | Self::Config => Address::of_model(named),
        }
    }

    /// What is meant of a folder.
    fn place(self, path: PathBuf) -> PathBuf {
        match self {
            Self::Config if path.is_dir() => path.join(CONFIG),
            _ => path,
        }
    }

    /// The file of a model that is read in any case.
    fn needed(self) -> &'static str {
        match self {
            Self::Tokenizer => TOKENIZER,
            Self::Model | Self::Config | Self::File => CONFIG,
        }
    }
}

fn find(role: Role, named: &Path) -> Result<Found> {
    Ok(match role.address(named)? {
        Some(address) => match Hub::from_env()?.cached(role, &address) {
            Some(path) => {
                debug!(%address, path = %path.display(), "found in the cache");
                Found::Here(role.place(path))
            }
            None => Found::Hub(address),
        },
        None if role != Role::File && !named.join(role.needed()).is_file() => {
            let path = Cached::at(named).snapshot("main").unwrap_or_else(|| named.to_owned());
            Found::Here(role.place(path))
        }
        None => Found::Here(role.place(named.to_owned())),
    })
}

/// What is to be downloaded for an address.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Missing {
    /// The address.
    pub address: String,
    /// The commit that it is at now; absent where nobody was asked.
    pub commit: Option<String>,
    /// The files, with their sizes in bytes where the hub says them.
    pub files: Vec<(String, Option<u64>)>,
    /// Where they would go.
    pub cache: PathBuf,
}

impl Missing {
    /// Bytes of all files of known size.
    pub fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|(_, bytes)| *bytes).sum()
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files = self.files.iter().map(|(name, bytes)| match bytes {
            Some(bytes) => format!("{name} ({})", memory::text(*bytes)),
            None => name.clone(),
        });
        let files = files.collect::<Vec<_>>().join(", ");
        let bytes = Some(self.bytes()).filter(|bytes| *bytes > 0).map(memory::text);
        let size = bytes.map_or("of unknown size".into(), |bytes| format!("{bytes} in all"));
        write!(f, "{}: {files}; {size}, to {}", self.address, self.cache.display())
    }
}

/// The hub and its cache, as the environment has them.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Folder of the cache.
    pub cache: PathBuf,
    /// Base URL, without a slash at its end.
    pub endpoint: String,
    /// Whether nothing may be downloaded.
    pub offline: bool,
    token: Option<Key>,
}

impl Hub {
    /// Reads the environment, and the token's file.
    ///
    /// # Errors
    /// No home folder and none named; an endpoint that is no URL; a token that no header can hold.
    pub fn from_env() -> Result<Self> {
        Self::from(&|name| env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self> {
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        let is_set = |name: &str| {
            let value = text(name).unwrap_or_default().to_ascii_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
        };
        let home = variable("HF_HOME").map(PathBuf::from).or_else(|| {
            let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.or_else(|| Some(env::home_dir()?.join(".cache")))?;
            Some(cache.join("huggingface"))
        });
        let cache = variable("HF_HUB_CACHE").or_else(|| variable("HUGGINGFACE_HUB_CACHE")).map(PathBuf::from);
        let cache = cache.or_else(|| Some(home.as_ref()?.join("hub")));
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        // What stands before an `@` may be a password, and is not repeated.
        ensure!(!endpoint.contains('@'), "HF_ENDPOINT holds a user's name: give a token in HF_TOKEN instead");
        ensure!(
            host.is_some_and(
                |host| !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "?#".contains(c))
            ),
            "HF_ENDPOINT={endpoint:?} is no base URL: expected one such as {ENDPOINT}"
        );
        let file = variable("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(home?.join("token")));
        let named = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
        let token = named.or_else(|| std::fs::read_to_string(file?).ok());
        let token = token.map(|token| Key::new(&token)).transpose();
        Ok(Self {
            cache: cache.context("there is no home folder for the cache: set HF_HUB_CACHE")?,
            endpoint,
            offline: is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE"),
            token: token
                .context("HF_TOKEN, or the file of the token, holds none")?
                .filter(|key| !key.is_empty()),
        })
    }

    /// Whether there is a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Where an address lies in the cache, if all that the role needs is there.
    pub fn cached(&self, role: Role, address: &Address) -> Option<PathBuf> {
        let cached = Cached::new(&self.cache, address);
        let snapshot = cached.snapshot(&address.revision)?;
        match &address.file {
            Some(file) => Some(snapshot.join(file)).filter(|path| path.is_file()),
            None => cached.lacks(role, &snapshot).is_empty().then_some(snapshot),
        }
    }

    /// What the cache lacks of an address, at its newest commit; offline, at the one that is known.
    ///
    /// # Errors
    /// As [`Hub::fetch`], but for being offline.
    pub fn missing(&self, role: Role, address: &Address) -> Result<Missing> {
        let cached = Cached::new(&self.cache, address);
        if self.offline {
            return Ok(Missing {
                address: address.to_string(),
                commit: None,
                files: self.lacks(role, address).into_iter().map(|file| (file, None)).collect(),
                cache: self.cache.clone(),
            });
        }
        let client = Client::new(self)?;
        let (commit, mut files) = match &address.file {
            Some(file) => {
                let remote = client.remote(address, &address.revision, file)?;
                (remote.commit, vec![(file.clone(), remote.size)])
            }
            None => {
                let Listed { commit, files } = client.listing(address)?;
                (commit, wanted(role, address, &files)?)
            }
        };
        files.retain(|(file, _)| !cached.of_commit(&commit).join(file).exists());
        Ok(Missing { address: address.to_string(), commit: Some(commit), files, cache: self.cache.clone() })
    }

    /// What is known to be missing without a request.
    fn lacks(&self, role: Role, address: &Address) -> Vec<String> {
        let cached = Cached::new(&self.cache, address);
        match (&address.file, cached.snapshot(&address.revision)) {
            (Some(file), _) => vec![file.clone()],
            (None, Some(snapshot)) => cached.lacks(role, &snapshot),
            (None, None) if role == Role::Model => vec!["all files".to_owned()],
            (None, None) => vec![role.needed().to_owned()],
        }
    }

    /// Downloads what the cache lacks of an address, as far as the role needs it, at its newest commit. Returns where it
    /// lies.
    ///
    /// # Errors
    /// Offline; a repository, revision or file that is not there or that the token may not read; a server that cannot be
    /// reached, or sends what is not what it announced; a model without safetensors, or without what the role needs; a
    /// full disk. What was downloaded until then is kept, and gone on with.
    pub fn fetch(&self, role: Role, address: &Address, progress: &Progress) -> Result<PathBuf> {
        if self.offline {
            bail!(
                "{address} is not whole in the cache {} (missing: {}), and HF_HUB_OFFLINE forbids to download it: unset it, or run \
                 `ldyn fetch {address}` where there is a network and bring the cache here",
                self.cache.display(),
                self.lacks(role, address).join(", ")
            )
        }
        let (client, cached) = (Client::new(self)?, Cached::new(&self.cache, address));
        if let Some(file) = &address.file {
            let remote = client.remote(address, &address.revision, file)?;
            let known = cached.of_commit(&remote.commit).join(file);
            if !known.is_file() {
                cached.create()?;
                download::file(&client, &cached, address, file, &remote, progress)?;
            }
            cached.set_revision(&address.revision, &remote.commit)?;
            return Ok(known);
        }
        let Listed { commit, files } = client.listing(address)?;
        let wanted = wanted(role, address, &files)?;
        let snapshot = cached.of_commit(&commit);
        cached.create()?;
        for (file, _) in wanted.iter().filter(|(file, _)| !snapshot.join(file).is_file()) {
            let remote = client.remote(address, &commit, file)?;
            ensure!(
                remote.commit == commit,
                "{address}: {file} is of commit {}, expected {commit}",
                remote.commit
            );
            download::file(&client, &cached, address, file, &remote, progress)?;
        }
        for file in SMALL.iter().filter(|small| !files.iter().any(|(file, _)| file == *small)) {
            cached.set_absent(&commit, file)?;
        }
        let lacking = cached.lacks(role, &snapshot);
        ensure!(lacking.is_empty(), "{address} has no {}, which its index names", lacking.join(", "));
        cached.set_revision(&address.revision, &commit)?;
        Ok(snapshot)
    }
}

/// The tokenizer's file.
const TOKENIZER: &str = "tokenizer.json";

/// Files that a model may have beside its weights, and that are read or go along with what is trained from it.
const SMALL: [&str; 7] = [
    CONFIG,
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
];

/// The files of a model that a role needs, in the order to fetch them.
fn wanted(
    role: Role,
    address: &Address,
    files: &[(String, Option<u64>)],
) -> Result<Vec<(String, Option<u64>)>> {
    let has = |name: &str| files.iter().any(|(file, _)| file == name);
    ensure!(
        role.needed() != CONFIG || has(CONFIG),
        "{address} has no {CONFIG}: it is no model in the layout of transformers"
    );
    ensure!(
        role != Role::Tokenizer || has(TOKENIZER),
        "{address} has no {TOKENIZER}: take another revision or repository, or save one in Python \
         (AutoTokenizer.from_pretrained(\"{address}\").save_pretrained(\"DIR\")) and give the folder"
    );
    let small = || SMALL.iter().filter_map(|small| files.iter().find(|(file, _)| file == small)).cloned();
    match role {
        Role::Config => return Ok(small().filter(|(file, _)| file == CONFIG).collect()),
        Role::Tokenizer => return Ok(small().collect()),
        Role::Model | Role::File => {}
    }
    let is_weight = |file: &str| match (has(WEIGHTS), has(INDEX)) {
        (true, _) => file == WEIGHTS,
        (false, true) => file == INDEX || is_shard(file),
        (false, false) => false,
    };
    let pickled = has("pytorch_model.bin") || has("pytorch_model.bin.index.json");
    ensure!(
        has(WEIGHTS) || has(INDEX),
        "{address} has no safetensors{}: take another revision (the hub often has one with converted weights, such as \
         `@refs/pr/1`), or convert them in Python and give the folder",
        if pickled {
            ", only pickled weights (pytorch_model.bin), which are programs and not read"
        } else {
            ""
        }
    );
    Ok(small().chain(files.iter().filter(|(file, _)| is_weight(file)).cloned()).collect())
}

/// Whether a file is one of many that hold a model's weights, such as `model-00001-of-00002.safetensors`.
fn is_shard(file: &str) -> bool {
    let numbers = file.strip_prefix("model-").and_then(|rest| rest.strip_suffix(".safetensors"));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    numbers.and_then(|numbers| numbers.split_once("-of-")).is_some_and(|(i, n)| number(i) && number(n))
}

#[cfg(test)]
mod tests;
