//! One file into the cache: whole, or gone on with later.

use super::address::Address;
use super::cache::Cached;
use super::client::{Client, Remote, Waits, transport};
use crate::chat::retry::Failure;
use crate::log;
use crate::progress::{DownloadBar, Progress};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tracing::{debug, info};
use ureq::http::StatusCode;

/// Bytes that are written at once.
const BLOCK: usize = 1 << 17;

/// Downloads a file unless the cache has its content, and gives it its name. What an earlier attempt left is gone on with.
/// Of two programs that want the same file, the second waits for the first.
pub(super) fn file(
    client: &Client,
    cached: &Cached,
    address: &Address,
    name: &str,
    remote: &Remote,
    progress: &Progress,
) -> Result<PathBuf> {
    let blob = cached.blob(&remote.etag);
    let place = || format!("{}, {name}", client.place(address));
    // Held until the content has its name.
    let lock = lock(&cached.lock(&remote.etag), name, progress)?;
    if !blob.is_file() {
        // Without a lock, a name that nobody else writes to.
        let mark = if lock.is_some() { String::new() } else { format!(".{}", std::process::id()) };
        let partial = cached.blob(&format!("{}{mark}.incomplete", remote.etag));
        let part = Part::open(&partial, remote).with_context(place)?;
        part.complete(client, address, name, remote, progress).with_context(place)?;
        fs::rename(&partial, &blob).with_context(|| format!("writing {}", blob.display()))?;
    } else {
        debug!(%address, file = name, blob = %blob.display(), "content found in the cache");
    }
    cached.link(&remote.etag, &remote.commit, name)
}

/// Waits for the lock. `None` where the file system has none.
fn lock(path: &Path, name: &str, progress: &Progress) -> Result<Option<File>> {
    let context = || format!("cannot lock {}", path.display());
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(path).with_context(context)?;
    match file.try_lock() {
        Ok(()) => return Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            progress.say(&format!("{name}: another program is downloading it; waiting"));
        }
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error).with_context(context),
    }
    file.lock().with_context(context)?;
    Ok(Some(file))
}

/// A file that is not whole yet.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Sha256,
}

impl Part {
    /// Opens what an earlier attempt left, if anything.
    fn open(path: &Path, remote: &Remote) -> Result<Self> {
        let context = || format!("cannot write to {}", path.display());
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let mut part =
            Self { path: path.to_owned(), file: file.with_context(context)?, length: 0, hash: Sha256::new() };
        let mut buffer = vec![0; BLOCK];
        loop {
            match part.file.read(&mut buffer).with_context(context)? {
                0 => break,
                read => part.count(&buffer[..read]),
            }
        }
        if remote.size.is_some_and(|size| part.length > size) {
            part.restart().with_context(context)?;
        }
        Ok(part)
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
    }

    fn restart(&mut self) -> std::io::Result<()> {
        use std::io::Seek;
        self.file.set_len(0)?;
        self.file.rewind()?;
        (self.length, self.hash) = (0, Sha256::new());
        Ok(())
    }

    /// Gets what is missing, and checks size and checksum.
    fn complete(
        mut self,
        client: &Client,
        address: &Address,
        name: &str,
        remote: &Remote,
        progress: &Progress,
    ) -> Result<()> {
        let (started, there) = (Instant::now(), self.length);
        let bar = progress.download(name, remote.size, there);
        let mut waits = Waits::default();
        while remote.size.is_none_or(|size| self.length < size) {
            let before = self.length;
            match self.attempt(client, address, name, remote, &bar) {
                Ok(()) => break,
                Err(failure) => {
                    if self.length > before {
                        waits.progress();
                    }
                    waits.after(failure)?;
                }
            }
        }
        bar.finish();
        self.file.sync_all().with_context(|| format!("writing {}", self.path.display()))?;
        let found = format!("{:x}", self.hash.finalize());
        let wrong = match (remote.size, remote.sha256()) {
            (Some(size), _) if size != self.length => format!("{} bytes, expected {size}", self.length),
            (_, Some(expected)) if expected != found => format!("SHA-256 {found}, expected {expected}"),
            _ => {
                let (bytes, seconds) = (self.length, log::seconds(started));
                info!(%address, file = name, bytes, there, seconds, "downloaded and checked");
                return Ok(());
            }
        };
        drop(self.file);
        fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))?;
        bail!("found {wrong}: what came is damaged and was removed; try again")
    }

    /// Asks for the bytes that are missing, and writes what comes.
    fn attempt(
        &mut self,
        client: &Client,
        address: &Address,
        name: &str,
        remote: &Remote,
        bar: &DownloadBar,
    ) -> Result<(), Failure> {
        let path = self.path.clone();
        let disk = |error: std::io::Error| Failure::Final(format!("writing {}: {error}", path.display()));
        let mut response = client.bytes(address, name, &remote.commit, self.length)?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let announced = match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = header("content-range").and_then(|range| range.strip_prefix("bytes "));
                let first = range.and_then(|range| range.split_once('-')?.0.parse::<u64>().ok());
                if first != Some(self.length) {
                    return Err(Failure::Final(format!("asked from byte {}, found {range:?}", self.length)));
                }
                range.and_then(|range| range.rsplit_once('/')?.1.parse::<u64>().ok())
            }
            StatusCode::OK => {
                let announced = header("content-length").and_then(|length| length.parse().ok());
                // All of it, whatever was asked for.
                self.restart().map_err(disk)?;
                bar.restart();
                announced
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                self.restart().map_err(disk)?;
                bar.restart();
                return Err(Failure::Passing {
                    what: "what was there is longer than the file".to_owned(),
                    wait: None,
                });
            }
            other => {
                return Err(Failure::Final(format!(
                    "found the status {}, expected 200 or 206",
                    other.as_u16()
                )));
            }
        };
        if let (Some(announced), Some(size)) = (announced, remote.size)
            && announced != size
        {
            return Err(Failure::Final(format!("it announces {announced} bytes, expected {size}")));
        }
        let size = remote.size.or(announced);
        let mut reader = response.body_mut().as_reader();
        let mut buffer = vec![0; BLOCK];
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => &buffer[..read],
                Err(error) => return Err(transport(&error.into())),
            };
            if size.is_some_and(|size| self.length + read.len() as u64 > size) {
                return Err(Failure::Final(format!(
                    "more bytes come than the {} announced",
                    size.unwrap_or_default()
                )));
            }
            self.file.write_all(read).map_err(disk)?;
            self.count(read);
            bar.add(read.len());
        }
        match size {
            Some(size) if self.length < size => {
                let what = format!("the connection ended after {} of {size} bytes", self.length);
                Err(Failure::Passing { what, wait: None })
            }
            _ => Ok(()),
        }
    }
}
