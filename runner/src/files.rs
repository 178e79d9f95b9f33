//! Files and folders that are written whole or not at all, the lock on a folder, and small files read in bounded
//! memory.
//!
//! A kill, a full disk or a power cut leaves what was there before, or the new content, and never half of
//! it: content goes to a temporary name beside the target, reaches the disk, and is renamed.

use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// File that carries a folder's lock. It stays when the lock is given back: only a process that lives
/// holds a lock, a file does not.
pub const LOCK: &str = ".lock";

/// How the temporary names end; they start with a dot.
const PARTIAL: &str = ".partial";

/// Longest accepted file of those that are read whole, in bytes: configurations, templates, tokenizers, manifests. Weights
/// and data are none of them.
pub const MAX_SMALL: u64 = 128 << 20;

/// A file of at most [`MAX_SMALL`] bytes.
///
/// # Errors
/// A file that cannot be read, or a longer one, of which no more is held.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, MAX_SMALL)
}

fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let what = format!("it is longer than {most} bytes: is it the file that was meant?");
        return Err(io::Error::new(ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// [`read`], as text.
///
/// # Errors
/// As [`read`]; bytes that are no UTF-8, with their line and column.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("notes.txt");
/// std::fs::write(&path, b"one\ntw\xff")?;
/// let message = ldyn::files::read_text(&path).unwrap_err().to_string();
/// assert_eq!(message, "line 2, column 3: invalid UTF-8: save the file as UTF-8");
/// # anyhow::Ok(())
/// ```
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| {
        let (line, column) = place(error.as_bytes(), error.utf8_error().valid_up_to());
        let what = format!("line {line}, column {column}: invalid UTF-8: save the file as UTF-8");
        io::Error::new(ErrorKind::InvalidData, what)
    })
}

/// Line and column, from 1 and in characters, of the byte at `at`; what is before it is UTF-8.
pub fn place(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = &bytes[..at];
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    (line, 1 + String::from_utf8_lossy(&before[start..]).chars().count())
}

/// Whether `name` is that of a file or folder in the folder that it is joined to, and leads nowhere else.
///
/// ```
/// use ldyn::files::is_plain_name;
/// assert!(is_plain_name("model-1.safetensors"));
/// for name in ["", "..", "../a", "/a", "a/b", "a\\b", "a\0"] {
///     assert!(!is_plain_name(name), "{name:?}");
/// }
/// ```
pub fn is_plain_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|plain| plain == name) && !name.contains(['\\', '\0'])
}

/// Writes `bytes` to `path`, in place of what was there.
///
/// # Errors
/// A failed write, such as a full disk or a folder without write permission; `path` is then as it was.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("notes.txt");
/// ldyn::files::write(&path, b"one")?;
/// ldyn::files::write(&path, b"two")?;
/// assert_eq!(std::fs::read(&path)?, b"two");
/// # anyhow::Ok(())
/// ```
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    // Processes that share a folder, such as a cache, must not share the temporary name.
    let partial = partial(path, &format!(".{}", std::process::id()))?;
    let written = write_synced(&partial, bytes).and_then(|()| {
        fs::rename(&partial, path)?;
        sync(parent(path))
    });
    if written.is_err() {
        // The first error is the one to show.
        let _ = fs::remove_file(&partial);
    }
    written.with_context(|| format!("writing {}", path.display()))
}

/// [`write()`] of JSON, a row a line.
///
/// # Errors
/// As [`write()`]; a row that JSON cannot hold.
pub fn write_jsonl<T: Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<()> {
    let mut text = String::new();
    for row in rows {
        text += &serde_json::to_string(&row)?;
        text.push('\n');
    }
    write(path, text.as_bytes())
}

/// Makes the folder `folder` with what `fill` writes to the folder that it is given, in place of an
/// empty folder or none.
///
/// # Errors
/// What `fill` returns, `folder` is there and not empty, or a failed write; nothing is left behind.
pub fn write_folder(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let partial = partial(folder, "")?;
    // What a killed run left here is incomplete by construction.
    remove_folder(&partial)?;
    let written =
        fs::create_dir_all(&partial).map_err(Into::into).and_then(|()| fill(&partial)).and_then(|()| {
            for entry in fs::read_dir(&partial)? {
                sync(&entry?.path())?;
            }
            sync(&partial)?;
            if folder.exists() {
                fs::remove_dir(folder)?;
            }
            fs::rename(&partial, folder)?;
            Ok(sync(parent(folder))?)
        });
    if written.is_err() {
        let _ = remove_folder(&partial);
    }
    written
}

/// Bytes of the files of a folder, not of folders in it; what cannot be read counts nothing.
pub fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

/// Removes a folder with all that it holds; one that is not there is fine.
///
/// # Errors
/// A folder that cannot be removed.
pub fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Removes what killed runs left in `folder` under temporary names.
///
/// # Errors
/// A folder that cannot be read, or a file in it that cannot be removed.
pub fn remove_partial(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !(name.starts_with('.') && name.ends_with(PARTIAL)) {
            continue;
        }
        if path.is_dir() {
            remove_folder(&path)?;
        } else {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// The temporary name for `path`, beside it.
fn partial(path: &Path, mark: &str) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        bail!("{} is no name for output: choose another", path.display())
    };
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(format!("{mark}{PARTIAL}"));
    Ok(path.with_file_name(partial))
}

/// The folder that a file lies in; that of a bare name is `.`, which `Path::parent` gives as an empty path.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts a file, or the names in a folder, on the disk; elsewhere than on Unix that needs more than to open it.
fn sync(path: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Takes the lock of the open file at `path` for as long as `file` lives. Whether it is one: some network file systems
/// have none.
///
/// # Errors
/// What `busy` says where another process has it.
pub fn lock(file: &File, path: &Path, busy: impl FnOnce() -> String) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => bail!(busy()),
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(false),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// A folder that one process writes to: held as long as this value lives, and given back by the system
/// when the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    /// Whether it is a lock: some network file systems have none.
    pub held: bool,
}

impl Lock {
    /// Takes the lock of `folder`.
    ///
    /// # Errors
    /// Another process has it, or the folder cannot be written to.
    ///
    /// ```
    /// let folder = tempfile::tempdir()?;
    /// let lock = ldyn::files::Lock::take(folder.path())?;
    /// assert!(ldyn::files::Lock::take(folder.path()).is_err());
    /// drop(lock);
    /// assert!(ldyn::files::Lock::take(folder.path())?.held);
    /// # anyhow::Ok(())
    /// ```
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("cannot write to {}", folder.display()))?;
        let busy = || {
            format!(
                "another run is writing to {}: wait until it ends, or choose another output folder",
                folder.display()
            )
        };
        let held = lock(&file, &path, busy)?;
        Ok(Self { _file: file, held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
        assert!(read_at_most(&path, 4).unwrap_err().to_string().contains("longer than 4 bytes"));
        #[cfg(unix)]
        assert!(read(Path::new("/dev/zero")).is_err());
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_litter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_folder(&path, |partial| Ok(fs::write(partial.join("x"), "old")?)).unwrap();
        // A file cannot take the name of a folder that is not empty.
        assert!(write(&path, b"new").is_err());
        let failed = write_folder(&folder.path().join("b"), |partial| {
            fs::write(partial.join("x"), "half")?;
            bail!("disk full")
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        // Nor is a folder that holds something written over.
        assert!(write_folder(&path, |_| Ok(())).is_err());
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(fs::read(path.join("x")).unwrap(), b"old");
    }

    #[test]
    fn what_kills_leave_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".a.json.17.partial", "b.partial", ".hidden"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join(".c.partial")).unwrap();
        remove_partial(folder.path()).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".hidden", "b.partial"]);
    }
}
