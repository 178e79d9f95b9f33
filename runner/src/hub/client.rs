//! Requests to the hub: what a repository holds, what a file is, its bytes.

use super::Hub;
use super::address::{Address, Kind, is_path};
use crate::chat::retry::{Failure, backoff, of_status, of_transport, retry_after, sleep};
use crate::chat::{Key, one_line};
use crate::{log, seed};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tracing::{debug, warn};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

/// Attempts that may fail one after the other.
const ATTEMPTS: usize = 5;
/// The longest silence of a server.
const SILENCE: Duration = Duration::from_secs(30);
/// Redirects that are followed one after the other.
const REDIRECTS: usize = 8;
/// Longest accepted list of a repository's files in bytes.
const MAX_LISTING: u64 = 64 << 20;

/// Speaks to the hub.
pub(super) struct Client<'a> {
    agent: Agent,
    hub: &'a Hub,
}

/// What a repository holds.
pub(super) struct Listed {
    pub(super) commit: String,
    /// Names, and sizes in bytes.
    pub(super) files: Vec<(String, Option<u64>)>,
}

/// What the hub says about a file.
#[derive(Debug)]
pub(super) struct Remote {
    /// Its content's name: the SHA-256 of large files.
    pub(super) etag: String,
    pub(super) size: Option<u64>,
    pub(super) commit: String,
}

impl Remote {
    /// The checksum of its content, where the hub gives one.
    pub(super) fn sha256(&self) -> Option<&str> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        Some(self.etag.as_str()).filter(|etag| etag.len() == 64 && etag.bytes().all(hex))
    }
}

/// Which of a file's bytes are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// None: what is said about it.
    Head,
    /// All from this one on.
    From(u64),
}

impl<'a> Client<'a> {
    pub(super) fn new(hub: &'a Hub) -> Result<Self> {
        let config = Agent::config_builder()
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .http_status_as_error(false)
            // Where a redirect leads decides whether the token may go along.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("ldyn/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), hub })
    }

    /// What a repository holds at the address' revision.
    pub(super) fn listing(&self, address: &Address) -> Result<Listed> {
        #[derive(Deserialize)]
        struct Info {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
            size: Option<u64>,
        }
        let kind = match address.kind {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        };
        let revision = encoded(&address.revision, false);
        let url = format!(
            "{}/api/{kind}/{}/revision/{revision}?blobs=true",
            self.hub.endpoint,
            encoded(&address.id, true)
        );
        let info: Info = self
            .patiently(|| {
                let mut response = self.accepted(address, None, self.answer(&url, Ask::From(0))?)?;
                let body = response.body_mut().with_config().limit(MAX_LISTING).read_to_vec();
                let body = body.map_err(|e| transport(&e))?;
                serde_json::from_slice(&body)
                    .map_err(|e| Failure::Final(format!("the list of its files is broken: {e}")))
            })
            .with_context(|| self.place(address))?;
        check_commit(&info.sha).with_context(|| self.place(address))?;
        for Sibling { rfilename, .. } in &info.siblings {
            ensure!(
                is_path(rfilename),
                "{}: the server names a file {:?}, which would lie outside of the repository",
                self.place(address),
                one_line(rfilename)
            );
        }
        let files = info.siblings.into_iter().map(|file| (file.rfilename, file.size)).collect();
        Ok(Listed { commit: info.sha, files })
    }

    /// What the hub says about a file.
    pub(super) fn remote(&self, address: &Address, revision: &str, file: &str) -> Result<Remote> {
        let url = self.file_url(address, revision, file);
        let response = self.patiently(|| self.accepted(address, Some(file), self.answer(&url, Ask::Head)?));
        let response = response.with_context(|| format!("{}, {file}", self.place(address)))?;
        let header = |name: &str| response.headers().get(name)?.to_str().ok();
        let etag = header("x-linked-etag").or_else(|| header("etag"));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
        let own_size = if response.status().is_redirection() { None } else { header("content-length") };
        let size = header("x-linked-size").or(own_size).and_then(|size| size.parse().ok());
        let (etag, commit) = (etag.unwrap_or_default(), header("x-repo-commit").unwrap_or_default());
        let plain = |text: &str| {
            is_path(text) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        ensure!(
            plain(etag),
            "{}, {file}: found the ETag {:?}, expected the name of its content",
            self.place(address),
            one_line(etag)
        );
        check_commit(commit).with_context(|| format!("{}, {file}", self.place(address)))?;
        Ok(Remote { etag: etag.to_owned(), size, commit: commit.to_owned() })
    }

    /// The bytes of a file from one on. A server may send all of them instead, and says so by its status.
    pub(super) fn bytes(
        &self,
        address: &Address,
        file: &str,
        commit: &str,
        from: u64,
    ) -> Result<Response<Body>, Failure> {
        let url = self.file_url(address, commit, file);
        self.accepted(address, Some(file), self.answer(&url, Ask::From(from))?)
    }

    /// Tries, and tries again as long as failures pass, up to [`ATTEMPTS`].
    pub(super) fn patiently<T>(&self, attempt: impl Fn() -> Result<T, Failure>) -> Result<T> {
        let mut waits = Waits::default();
        loop {
            match attempt() {
                Ok(found) => return Ok(found),
                Err(failure) => waits.after(failure)?,
            }
        }
    }

    /// Where an address is, for messages.
    pub(super) fn place(&self, address: &Address) -> String {
        format!("{address} ({})", self.hub.endpoint)
    }

    fn file_url(&self, address: &Address, revision: &str, file: &str) -> String {
        let place = encoded(&address.place(), true);
        format!("{}/{place}/resolve/{}/{}", self.hub.endpoint, encoded(revision, false), encoded(file, true))
    }

    /// Sends a request and follows redirects; of a [`Ask::Head`] only those that stay at the endpoint, because what the
    /// hub says about a file comes with the one that leaves it.
    fn answer(&self, url: &str, ask: Ask) -> Result<Response<Body>, Failure> {
        let endpoint = origin(&self.hub.endpoint);
        let mut url = url.to_owned();
        for _ in 0..REDIRECTS {
            let mut request = if ask == Ask::Head { self.agent.head(&url) } else { self.agent.get(&url) };
            // Compression would hide the size.
            request = request.header("accept-encoding", "identity");
            if let Ask::From(first) = ask
                && first > 0
            {
                request = request.header("range", format!("bytes={first}-"));
            }
            if let Some(token) = self.token_for(&url) {
                request = request.header("authorization", token.authorization());
            }
            let started = Instant::now();
            let response = request.call().map_err(|e| transport(&e))?;
            debug!(
                method = if ask == Ask::Head { "HEAD" } else { "GET" },
                address = without_secrets(&url),
                from = if let Ask::From(first) = ask { Some(first).filter(|first| *first > 0) } else { None },
                status = response.status().as_u16(),
                seconds = log::seconds(started),
                "request"
            );
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            let location = response.headers().get("location").and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| joined(&url, location));
            let next = next.ok_or_else(|| Failure::Final("it sends on to no address".to_owned()))?;
            if ask == Ask::Head && origin(&next) != endpoint {
                return Ok(response);
            }
            if url.starts_with("https://") && !next.starts_with("https://") {
                return Err(Failure::Final(format!(
                    "it sends on to {}, which is not encrypted",
                    origin(&next)
                )));
            }
            url = next;
        }
        Err(Failure::Final(format!("it sends on more than {REDIRECTS} times")))
    }

    /// The token, where it may go: to the endpoint itself, encrypted or within this machine.
    fn token_for(&self, url: &str) -> Option<&Key> {
        let endpoint = origin(&self.hub.endpoint);
        let host = endpoint.strip_prefix("http://").unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let within = ["127.0.0.1", "localhost", "[::1]"].contains(&host);
        let safe = origin(url) == endpoint && (within || endpoint.starts_with("https://"));
        self.hub.token.as_ref().filter(|_| safe)
    }

    /// The answer, if it is one; else what to do about it.
    fn accepted(
        &self,
        address: &Address,
        file: Option<&str>,
        mut response: Response<Body>,
    ) -> Result<Response<Body>, Failure> {
        let status = response.status();
        // A redirect is the answer to what is said about a file; a range behind the end is for the caller to judge.
        if status.is_success() || status.is_redirection() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (code, wait) =
            (header("x-error-code").unwrap_or_default(), retry_after(header("retry-after").as_deref()));
        let said = header("x-error-message").unwrap_or_else(|| {
            let body = response.body_mut().with_config().limit(1 << 16).read_to_vec().unwrap_or_default();
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            json.get("error").and_then(|error| error.as_str()).unwrap_or_default().to_owned()
        });
        let said = one_line(&self.hub.token.as_ref().map_or(said.clone(), |token| token.removed_from(&said)));
        let Address { id, revision, .. } = address;
        let token = if self.hub.has_token() { "the token that is set" } else { "HF_TOKEN, which is not set" };
        let advice = match (status.as_u16(), code.as_str()) {
            (401 | 403, "GatedRepo") => format!(
                "it is gated: accept its terms at {}/{}, and give the token of that account ({token}) the right to read it",
                self.hub.endpoint,
                address.place()
            ),
            (404, "RevisionNotFound") => {
                format!("it has no revision `{revision}`: look for its branches and tags")
            }
            (404, "EntryNotFound") => {
                format!("it has no file `{}` at `{revision}`", file.unwrap_or_default())
            }
            (401 | 404, _) => format!(
                "there is no `{id}` that could be read: is the name right, and is there no such folder here? A private one \
                 needs {token}"
            ),
            (403, _) => format!("it may not be read with {token}"),
            _ => return Err(of_status(status.as_u16(), status.canonical_reason(), &said, wait)),
        };
        let said = if said.is_empty() { String::new() } else { format!("; the hub says: {said}") };
        Err(Failure::Final(format!("{advice} ({}{said})", status.as_u16())))
    }
}

/// Failures one after the other, and the waiting between them.
#[derive(Default)]
pub(super) struct Waits(usize);

impl Waits {
    /// Waits after a failure that may pass.
    ///
    /// # Errors
    /// One that does not, or too many.
    pub(super) fn after(&mut self, failure: Failure) -> Result<()> {
        self.0 += 1;
        match failure {
            Failure::Final(what) => bail!(what),
            Failure::Passing { what, .. } if self.0 >= ATTEMPTS => {
                bail!("{what} (attempts: {}); HF_HUB_OFFLINE=1 keeps to what is in the cache", self.0)
            }
            Failure::Passing { wait, what } => {
                let wait = wait.unwrap_or_else(|| backoff(self.0, &mut seed::rng(self.0 as u64, "hub")));
                warn!(
                    attempt = self.0,
                    wait = wait.as_secs_f64(),
                    "the hub failed, it is asked again: {what}"
                );
                sleep(wait, &AtomicBool::new(false));
                Ok(())
            }
        }
    }

    /// Something was got: the next failure is the first one again.
    pub(super) fn progress(&mut self) {
        self.0 = 0;
    }
}

/// The failure that no whole answer is.
pub(super) fn transport(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::Timeout(_) => Failure::Passing { what: "no answer in time".to_owned(), wait: None },
        error => of_transport(error),
    }
}

fn check_commit(commit: &str) -> Result<()> {
    let plain = (7..=64).contains(&commit.len()) && commit.bytes().all(|b| b.is_ascii_hexdigit());
    if plain {
        Ok(())
    } else {
        Err(anyhow!("found the commit {:?}, expected hexadecimal digits", one_line(commit)))
    }
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

/// A URL without what may sign it, and without the name and password of a user.
fn without_secrets(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let host = plain.find("://").map_or(0, |at| at + 3);
    let user = origin(plain)[host..].rfind('@').map_or(host, |at| host + at + 1);
    format!("{}{}", &plain[..host], &plain[user..])
}

/// Where a `Location` leads from a URL; `None` for what is no address of a server.
fn joined(url: &str, location: &str) -> Option<String> {
    match location {
        _ if location.starts_with("https://") || location.starts_with("http://") => Some(location.to_owned()),
        _ if location.starts_with("//") => Some(format!("{}:{location}", url.split_once(':')?.0)),
        _ if location.starts_with('/') => Some(format!("{}{location}", origin(url))),
        _ => None,
    }
}

/// A path for a URL; `slashes` are kept where they part it.
fn encoded(path: &str, slashes: bool) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || (slashes && byte == b'/') {
            text.push(byte.into());
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_more_than_a_beginning() {
        assert_eq!(origin("https://hub.co/a?b"), "https://hub.co");
        assert_ne!(origin("https://hub.co.evil.net/a"), origin("https://hub.co"));
        assert_ne!(origin("https://hub.co@evil.net/a"), origin("https://hub.co"));
        assert_ne!(origin("https://hub.co:8443/a"), origin("https://hub.co"));
        assert_ne!(origin("http://hub.co/a"), origin("https://hub.co"));
        assert_eq!(joined("https://h.co/a/b", "/c?d").as_deref(), Some("https://h.co/c?d"));
        assert_eq!(joined("https://h.co/a/b", "//x.co/c").as_deref(), Some("https://x.co/c"));
        assert_eq!(joined("https://h.co/a/b", "file:///etc/passwd"), None);
        assert_eq!(encoded("a b/ü#?", true), "a%20b/%C3%BC%23%3F");
        assert_eq!(encoded("refs/pr/1", false), "refs%2Fpr%2F1");
    }

    #[test]
    fn an_address_that_is_told_has_no_secrets() {
        for (url, told) in [
            ("https://h.co:1/a/b@c?sig=1#x", "https://h.co:1/a/b@c"),
            ("https://me:pass@h.co/a?x", "https://h.co/a"),
            ("https://me:p@ss@h.co", "https://h.co"),
            ("https://h.co?x@y", "https://h.co"),
        ] {
            assert_eq!(without_secrets(url), told);
        }
    }
}
