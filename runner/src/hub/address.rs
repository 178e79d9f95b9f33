//! How a repository of the hub, or a file in one, is named.

use anyhow::{Result, bail, ensure};
use std::fmt;
use std::path::Path;

/// What every address of a file begins with; a model's may.
const SCHEME: &str = "hf://";
/// The revision where none is named.
const MAIN: &str = "main";
/// Longest part of a name, as the hub has it.
const LONGEST: usize = 96;

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A model.
    Model,
    /// Data.
    Dataset,
}

/// A model of the hub, or a file of a repository, at a revision.
///
/// ```
/// use ldyn::hub::{Address, Kind};
/// let data = Address::parse("hf://datasets/Anthropic/hh-rlhf@refs/convert/parquet/default/train/0000.parquet")?;
/// assert_eq!((data.kind, data.id.as_str()), (Kind::Dataset, "Anthropic/hh-rlhf"));
/// assert_eq!(data.revision, "refs/convert/parquet");
/// assert_eq!(data.file.as_deref(), Some("default/train/0000.parquet"));
/// assert!(Address::parse("hf://datasets/Anthropic/hh-rlhf/../../secret").is_err());
/// # anyhow::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What the repository holds.
    pub kind: Kind,
    /// `OWNER/NAME`.
    pub id: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// The file in it; `None` for a model as a whole.
    pub file: Option<String>,
}

impl Address {
    /// Reads `OWNER/NAME[@REVISION]`, `hf://OWNER/NAME[@REVISION][/FILE]` or `hf://datasets/OWNER/NAME[@REVISION]/FILE`.
    /// A slash within a revision is written `%2F`, but for `refs/convert/…` and `refs/pr/…`, which are known.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let (short, rest) = match text.strip_prefix(SCHEME) {
            Some(rest) => (false, rest),
            None => (true, text),
        };
        let (kind, rest) = match rest.strip_prefix("datasets/") {
            Some(rest) if !short => (Kind::Dataset, rest),
            _ => (Kind::Model, rest.strip_prefix("models/").filter(|_| !short).unwrap_or(rest)),
        };
        let Some((owner, rest)) = rest.split_once('/') else { bail!("{}", expected(text)) };
        let end = rest.find(['@', '/']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let (revision, file) = match rest.strip_prefix('@') {
            // In the short form all of it: there is no file.
            Some(rest) if short => (rest, ""),
            Some(rest) => rest.split_at(end_of_revision(rest)),
            None => (MAIN, rest),
        };
        let file = file.strip_prefix('/').map(str::to_owned);
        let revision = revision.replace("%2F", "/").replace("%2f", "/");
        ensure!(
            is_name(owner) && is_name(name) && is_path(&revision) && !(short && file.is_some()),
            "{}",
            expected(text)
        );
        match (&file, kind) {
            (Some(file), _) => ensure!(is_path(file), "{text}: {file:?} is no path in a repository"),
            (None, Kind::Dataset) => {
                bail!(
                    "{text} names no file: expected hf://datasets/OWNER/NAME[@REVISION]/PATH, such as …/train.jsonl.gz"
                )
            }
            (None, Kind::Model) => {}
        }
        Ok(Self { kind, id: format!("{owner}/{name}"), revision, file })
    }

    /// Whether it begins with `hf://`.
    pub(super) fn has_scheme(named: &Path) -> bool {
        named.to_str().is_some_and(|text| text.starts_with(SCHEME))
    }

    /// The address that is meant where a model is asked for. `OWNER/NAME` is a path where there is a folder
    /// `OWNER` here.
    ///
    /// # Errors
    /// A broken `hf://` address.
    pub fn of_model(named: &Path) -> Result<Option<Self>> {
        let Some(text) = named.to_str() else { return Ok(None) };
        if text.starts_with(SCHEME) {
            let address = Self::parse(text)?;
            ensure!(
                address.kind == Kind::Model && address.file.is_none(),
                "{text} is no model: expected OWNER/NAME[@REVISION]"
            );
            return Ok(Some(address));
        }
        Ok(Self::parse(text)
            .ok()
            .filter(|_| text.split_once('/').is_some_and(|(owner, _)| !Path::new(owner).exists())))
    }

    /// The address that is meant where a file is asked for: `hf://` and what follows.
    ///
    /// # Errors
    /// A broken `hf://` address, or one of a model as a whole.
    pub fn of_file(named: &Path) -> Result<Option<Self>> {
        let Some(text) = named.to_str().filter(|text| text.starts_with(SCHEME)) else { return Ok(None) };
        let address = Self::parse(text)?;
        ensure!(
            address.file.is_some(),
            "{text} names no file: expected hf://datasets/OWNER/NAME[@REVISION]/PATH"
        );
        Ok(Some(address))
    }

    /// The repository's path in URLs.
    pub(super) fn place(&self) -> String {
        match self.kind {
            Kind::Model => self.id.clone(),
            Kind::Dataset => format!("datasets/{}", self.id),
        }
    }

    /// The repository's folder in the cache.
    pub(super) fn folder(&self) -> String {
        let kind = match self.kind {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        };
        format!("{kind}--{}", self.id.replace('/', "--"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.is_some() {
            f.write_str(SCHEME)?;
        }
        f.write_str(&if self.file.is_some() { self.place() } else { self.id.clone() })?;
        if self.revision != MAIN {
            write!(f, "@{}", self.revision)?;
        }
        self.file.iter().try_for_each(|file| write!(f, "/{file}"))
    }
}

fn expected(text: &str) -> String {
    format!(
        "{text} is no address on the hub: expected OWNER/NAME[@REVISION] or hf://datasets/OWNER/NAME[@REVISION]/PATH"
    )
}

/// Where a revision ends that a path may follow.
fn end_of_revision(text: &str) -> usize {
    let parts = if text.starts_with("refs/convert/") || text.starts_with("refs/pr/") { 3 } else { 1 };
    text.match_indices('/').nth(parts - 1).map_or(text.len(), |(at, _)| at)
}

/// Whether it may be an owner's or a repository's name.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=LONGEST).contains(&text.len())
        && text.chars().all(plain)
        && !text.starts_with(['.', '-'])
        && !text.ends_with(['.', '-'])
        && !text.contains("..")
        && !text.contains("--")
}

/// Whether it is a path downwards, with `/` between its parts: what a server may name, and a revision.
pub(super) fn is_path(text: &str) -> bool {
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..") && !part.contains(['\\', ':']) && !part.contains(char::is_control)
    };
    text.split('/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_again() {
        for (text, id, revision, file) in [
            ("EleutherAI/pythia-14m", "EleutherAI/pythia-14m", "main", None),
            ("EleutherAI/pythia-14m@step3000", "EleutherAI/pythia-14m", "step3000", None),
            ("Qwen/Qwen1.5-0.5B@refs/pr/3", "Qwen/Qwen1.5-0.5B", "refs/pr/3", None),
            ("hf://datasets/a/b/c/d.jsonl.gz", "a/b", "main", Some("c/d.jsonl.gz")),
            ("hf://datasets/a/b@v1/d.jsonl", "a/b", "v1", Some("d.jsonl")),
            (
                "hf://datasets/a/b@refs/convert/parquet/x/0.parquet",
                "a/b",
                "refs/convert/parquet",
                Some("x/0.parquet"),
            ),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(
                (address.id.as_str(), address.revision.as_str(), address.file.as_deref()),
                (id, revision, file)
            );
            assert_eq!(address.to_string(), text);
        }
        assert_eq!(Address::parse("hf://datasets/a/b@x%2Fy/d").unwrap().revision, "x/y");
        assert_eq!(Address::parse("hf://a/b").unwrap(), Address::parse("a/b").unwrap());
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_address() {
        for text in [
            "pythia",
            "a/b/c",
            "../b",
            "a/..",
            "a/b@",
            "a/b@../../x",
            "a/b@/x",
            "/a/b",
            "./b",
            "~/b",
            "a b/c",
            "a/b@x y\n",
            "a\\b/c",
            "a--b/c",
            "",
            "/",
            "@",
            "hf://",
            "hf://datasets/a/b",
            "hf://datasets/a/b/",
            "hf://datasets/a/b//c",
            "hf://datasets/a/b/../c",
            "hf://datasets/a/b/c\\d",
            "hf://datasets/a/b/C:d",
            "hf://datasets/../b/c",
            "http://a/b",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_path_is_a_path_where_its_folder_is_here() {
        // The tests of a package run in its folder.
        assert_eq!(Address::of_model(Path::new("src/nowhere")).unwrap(), None);
        assert!(Address::of_model(Path::new("nobody/nowhere")).unwrap().is_some());
        assert_eq!(Address::of_file(Path::new("nobody/nowhere")).unwrap(), None);
        assert!(Address::of_file(Path::new("hf://nobody/nowhere")).is_err());
        assert!(Address::of_model(Path::new("hf://datasets/a/b/c")).is_err());
    }
}
