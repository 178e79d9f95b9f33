//! Where a model that was named lies: a folder, a folder of the Hugging Face cache, or a hub id in that cache.

use std::env;
use std::path::{Path, PathBuf};

/// The folder of the model `named`, which is
///
/// - a folder with a `config.json`, as it is;
/// - a folder of the cache, `models--ORG--NAME`: its snapshot of the revision `main`;
/// - a hub id, `ORG/NAME` or `ORG/NAME@REVISION`, that `hf download` has put into the cache (`HF_HUB_CACHE`, or `hub`
///   in `HF_HOME`, or `~/.cache/huggingface/hub`).
///
/// What is none of these is returned as it is, for the reader of the folder to refuse.
pub fn model_folder(named: &Path) -> PathBuf {
    let cached = || snapshot(named, "main").or_else(|| in_cache(named, &cache()?));
    if named.join("config.json").is_file() {
        return named.to_owned();
    }
    cached().unwrap_or_else(|| named.to_owned())
}

/// The snapshot of a revision in a folder of the cache.
fn snapshot(repository: &Path, revision: &str) -> Option<PathBuf> {
    let commit = std::fs::read_to_string(repository.join("refs").join(revision)).ok();
    let name = commit.as_deref().map_or(revision, str::trim);
    let plain = !name.is_empty() && Path::new(name).file_name().is_some_and(|n| n == name);
    let folder = repository.join("snapshots").join(name);
    (plain && folder.is_dir()).then_some(folder)
}

/// The snapshot of a hub id.
fn in_cache(named: &Path, cache: &Path) -> Option<PathBuf> {
    let (id, revision) = named.to_str()?.split_once('@').unwrap_or((named.to_str()?, "main"));
    let (organisation, name) = id.split_once('/')?;
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\']);
    if !(plain(organisation) && plain(name) && plain(revision)) {
        return None;
    }
    snapshot(&cache.join(format!("models--{organisation}--{name}")), revision)
}

fn cache() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("HF_HUB_CACHE")
        .or_else(|| folder("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| env::home_dir().map(|home| home.join(".cache/huggingface/hub")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_model_in_the_cache_is_found_by_its_folder_and_by_its_id() {
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--EleutherAI--pythia-14m");
        for (revision, commit) in [("main", "abc1"), ("step3000", "def2")] {
            fs::create_dir_all(repository.join("snapshots").join(commit)).unwrap();
            fs::create_dir_all(repository.join("refs")).unwrap();
            fs::write(repository.join("refs").join(revision), commit).unwrap();
            fs::write(repository.join("snapshots").join(commit).join("config.json"), "{}").unwrap();
        }
        let snapshots = repository.join("snapshots");
        assert_eq!(model_folder(&repository), snapshots.join("abc1"));
        let find = |id: &str| in_cache(Path::new(id), cache.path());
        assert_eq!(find("EleutherAI/pythia-14m"), Some(snapshots.join("abc1")));
        assert_eq!(find("EleutherAI/pythia-14m@step3000"), Some(snapshots.join("def2")));
        assert_eq!(find("EleutherAI/pythia-14m@def2"), Some(snapshots.join("def2")));
        for other in ["EleutherAI/pythia-70m", "pythia-14m", "../pythia-14m", "EleutherAI/pythia-14m@../../x"]
        {
            assert_eq!(find(other), None, "{other}");
        }
        // A folder is itself, and so is what does not exist.
        assert_eq!(model_folder(&snapshots.join("abc1")), snapshots.join("abc1"));
        assert_eq!(model_folder(Path::new("nowhere")), Path::new("nowhere"));
    }
}
