//! The cache folder, laid out as Python's `huggingface_hub` lays it out, so that both share what is there.
//!
//! ```text
//! models--OWNER--NAME/
//!   refs/REVISION            the commit that the branch or tag was at when it was fetched last
//!   snapshots/COMMIT/FILE    a link to
//!   blobs/ETAG               the content
//!   .no_exist/COMMIT/FILE    an empty file: the commit has no such file
//! .locks/models--OWNER--NAME/ETAG.lock
//! ```

use super::Role;
use super::address::{Address, is_path};
use crate::{files, model};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// What marks a folder for programs that save copies of disks.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n";

/// The folder of a repository in the cache.
pub(super) struct Cached {
    root: PathBuf,
    folder: PathBuf,
    name: String,
}

impl Cached {
    pub(super) fn new(root: &Path, address: &Address) -> Self {
        let name = address.folder();
        Self { root: root.to_owned(), folder: root.join(&name), name }
    }

    /// A folder that is one of a cache, wherever that lies.
    pub(super) fn at(folder: &Path) -> Self {
        Self { root: PathBuf::new(), folder: folder.to_owned(), name: String::new() }
    }

    /// The snapshot of a revision.
    pub(super) fn snapshot(&self, revision: &str) -> Option<PathBuf> {
        if !is_path(revision) {
            return None;
        }
        let commit = fs::read_to_string(self.folder.join("refs").join(revision)).ok();
        let commit = commit.as_deref().map_or(revision, str::trim);
        let folder = self.of_commit(commit);
        (is_path(commit) && !commit.contains('/') && folder.is_dir()).then_some(folder)
    }

    /// The folder of a commit's files.
    pub(super) fn of_commit(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Where the content with this tag lies.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// The file whose lock says who writes the content with this tag.
    pub(super) fn lock(&self, etag: &str) -> PathBuf {
        self.root.join(".locks").join(&self.name).join(format!("{etag}.lock"))
    }

    /// Makes the folders that a download writes to.
    pub(super) fn create(&self) -> Result<()> {
        let made = |folder: &Path| {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {} in the cache", folder.display()))
        };
        made(&self.folder.join("blobs"))?;
        made(&self.root.join(".locks").join(&self.name))?;
        let tag = self.root.join("CACHEDIR.TAG");
        if tag.exists() { Ok(()) } else { files::write(&tag, TAG.as_bytes()) }
    }

    /// Gives content its name in a commit.
    pub(super) fn link(&self, etag: &str, commit: &str, file: &str) -> Result<PathBuf> {
        let path = self.of_commit(commit).join(file);
        let context = || format!("cannot write to {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(&self.folder)).with_context(context)?;
        // A link to nowhere would be in the way.
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).with_context(context)?;
        }
        #[cfg(unix)]
        {
            // From `snapshots/COMMIT` and the file's folders in it.
            let up = "../".repeat(2 + file.matches('/').count());
            std::os::unix::fs::symlink(format!("{up}blobs/{etag}"), &path).with_context(context)?;
        }
        #[cfg(not(unix))]
        fs::copy(self.blob(etag), &path).with_context(context)?;
        Ok(path)
    }

    /// Remembers which commit a revision is.
    pub(super) fn set_revision(&self, revision: &str, commit: &str) -> Result<()> {
        if revision == commit {
            return Ok(());
        }
        self.write("refs", revision, commit)
    }

    /// Remembers that a commit has no such file.
    pub(super) fn set_absent(&self, commit: &str, file: &str) -> Result<()> {
        self.write(".no_exist", &format!("{commit}/{file}"), "")
    }

    fn write(&self, kind: &str, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(kind).join(name);
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))
            .with_context(|| format!("cannot write to {}", self.folder.display()))?;
        files::write(&path, text.as_bytes())
    }

    /// What a model's snapshot lacks, and the role cannot do without.
    pub(super) fn lacks(&self, role: Role, snapshot: &Path) -> Vec<String> {
        if role != Role::Model {
            let needed = Some(role.needed()).filter(|file| !snapshot.join(file).is_file());
            return needed.into_iter().map(str::to_owned).collect();
        }
        let known_absent = |file: &str| {
            let commit = snapshot.file_name().unwrap_or_default();
            self.folder.join(".no_exist").join(commit).join(file).exists()
        };
        let small = [model::CONFIG, "tokenizer.json"].into_iter();
        let mut lacking: Vec<String> = small
            .filter(|file| !snapshot.join(file).is_file() && !known_absent(file))
            .map(str::to_owned)
            .collect();
        match model::weight_files(snapshot) {
            Ok(files) => {
                let name =
                    |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                lacking.extend(files.iter().filter(|path| !path.is_file()).map(name));
            }
            Err(_) => lacking.push(model::WEIGHTS.to_owned()),
        }
        lacking
    }
}
