//! The hub's layout on 127.0.0.1: repositories from memory, large files on a second host, faults on demand.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The commit that `main` of every repository is at.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What one request was.
#[derive(Clone, Debug)]
pub struct Request {
    /// `hub`, or `store` for the host that large files lie on.
    pub host: &'static str,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

/// What the server does wrong, or asks for.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// The store closes the connection after so many bytes of a body, so many times.
    pub cut: Option<(usize, usize)>,
    /// The store sends so many bytes and then nothing more, and keeps the connection.
    pub stall: Option<usize>,
    /// The store answers a range with all bytes.
    pub ignores_ranges: bool,
    /// The store announces one byte too many.
    pub wrong_length: bool,
    /// The store's bytes are not those that were promised.
    pub damages: bool,
    /// A further name in the list of files.
    pub lists: Option<&'static str>,
    /// The ETag of large files.
    pub etag: Option<&'static str>,
    /// Status, code and message of every answer.
    pub refuses: Option<(u16, &'static str, &'static str)>,
}

struct State {
    /// Content by `models/OWNER/NAME/FILE` or `datasets/…`.
    files: BTreeMap<String, Vec<u8>>,
    manner: Manner,
    requests: Vec<Request>,
    store: String,
}

/// A hub that runs until the test ends.
#[derive(Clone)]
pub struct Hub {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    pub fn start(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let listen = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            (listener, url)
        };
        let ((hub, url), (store, store_url)) = (listen(), listen());
        let state = State {
            files: files.into_iter().collect(),
            manner: Manner::default(),
            requests: Vec::new(),
            store: store_url,
        };
        let state = Arc::new(Mutex::new(state));
        for (name, listener) in [("hub", hub), ("store", store)] {
            let state = state.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = state.clone();
                    std::thread::spawn(move || serve(name, stream, &state));
                }
            });
        }
        Self { url, state }
    }

    pub fn behave(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".bin")
}

/// One request a connection.
fn serve(host: &'static str, mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let mut first = first.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let (range, authorization) = (headers.get("range").cloned(), headers.get("authorization").cloned());
    let mut state = state.lock().unwrap();
    state.requests.push(Request { host, path: path.clone(), range: range.clone(), authorization });
    let (head, body) = match host {
        "hub" => hub(&state, &path),
        _ => store(&mut state, &path, range.as_deref()),
    };
    let stall = state.manner.stall.filter(|_| host == "store");
    let cut = match &mut state.manner.cut {
        Some((bytes, times)) if host == "store" && *times > 0 => {
            *times -= 1;
            Some(*bytes)
        }
        _ => None,
    };
    let length = body.len() + usize::from(host == "store" && state.manner.wrong_length);
    drop(state);
    write!(stream, "HTTP/1.1 {head}Content-Length: {length}\r\nConnection: close\r\n\r\n").ok()?;
    if method != "HEAD" {
        stream.write_all(&body[..stall.or(cut).unwrap_or(body.len()).min(body.len())]).ok()?;
    }
    stream.flush().ok()?;
    if stall.is_some() {
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
    Some(())
}

fn hub(state: &State, path: &str) -> (String, Vec<u8>) {
    let manner = &state.manner;
    if let Some((status, code, message)) = manner.refuses {
        return (format!("{status} -\r\nX-Error-Code: {code}\r\nX-Error-Message: {message}\r\n"), Vec::new());
    }
    let none = || ("404 -\r\nX-Error-Code: RepoNotFound\r\n".to_owned(), Vec::new());
    let path = path.split('?').next().unwrap_or_default();
    if let Some(rest) = path.strip_prefix("/api/resolve-cache/") {
        // Small files, behind a redirect within the hub.
        return match state.files.get(rest) {
            Some(bytes) => (format!("200 -\r\n{}", described(bytes, rest, manner)), bytes.clone()),
            None => none(),
        };
    }
    if let Some(rest) = path.strip_prefix("/api/") {
        let Some((repository, revision)) = rest.split_once("/revision/") else { return none() };
        if !["main", COMMIT].contains(&revision) {
            return ("404 -\r\nX-Error-Code: RevisionNotFound\r\n".to_owned(), Vec::new());
        }
        let names = state.files.iter().filter_map(|(name, bytes)| {
            let name = name.strip_prefix(repository)?.strip_prefix('/')?;
            Some(serde_json::json!({ "rfilename": name, "size": bytes.len() }))
        });
        let mut names: Vec<_> = names.collect();
        if names.is_empty() {
            return none();
        }
        names.extend(manner.lists.map(|name| serde_json::json!({ "rfilename": name })));
        let body = serde_json::json!({ "sha": COMMIT, "siblings": names }).to_string();
        return ("200 -\r\nContent-Type: application/json\r\n".to_owned(), body.into_bytes());
    }
    let Some((repository, rest)) = path[1..].split_once("/resolve/") else { return none() };
    let Some((revision, file)) = rest.split_once('/') else { return none() };
    if !["main", COMMIT].contains(&revision) {
        return ("404 -\r\nX-Error-Code: RevisionNotFound\r\n".to_owned(), Vec::new());
    }
    let kind = if repository.starts_with("datasets/") { "" } else { "models/" };
    let name = format!("{kind}{repository}/{file}");
    match state.files.get(&name) {
        None => ("404 -\r\nX-Error-Code: EntryNotFound\r\n".to_owned(), Vec::new()),
        Some(bytes) if is_large(file) => {
            let described = described(bytes, file, manner).replace("ETag", "X-Linked-ETag");
            let size = bytes.len();
            (
                format!(
                    "302 -\r\n{described}X-Linked-Size: {size}\r\nLocation: {}/{name}?sig=1\r\n",
                    state.store
                ),
                Vec::new(),
            )
        }
        Some(_) => (format!("307 -\r\nLocation: /api/resolve-cache/{name}\r\n"), Vec::new()),
    }
}

fn described(bytes: &[u8], name: &str, manner: &Manner) -> String {
    // Small files are called by another hash there, of another length.
    let hash = sha256(bytes);
    let own = if is_large(name) { &hash[..] } else { &hash[..40] };
    format!(
        "ETag: \"{}\"\r\nX-Repo-Commit: {COMMIT}\r\n",
        manner.etag.filter(|_| is_large(name)).unwrap_or(own)
    )
}

fn store(state: &mut State, path: &str, range: Option<&str>) -> (String, Vec<u8>) {
    let name = path[1..].split('?').next().unwrap_or_default();
    let Some(mut bytes) = state.files.get(name).cloned() else { return ("404 -\r\n".to_owned(), Vec::new()) };
    if state.manner.damages {
        bytes[0] ^= 1;
    }
    let first =
        range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match first.filter(|_| !state.manner.ignores_ranges) {
        Some(first) if first >= bytes.len() => ("416 -\r\n".to_owned(), Vec::new()),
        Some(first) => {
            let range = format!("bytes {first}-{}/{}", bytes.len() - 1, bytes.len());
            (format!("206 -\r\nContent-Range: {range}\r\n"), bytes.split_off(first))
        }
        None => ("200 -\r\n".to_owned(), bytes),
    }
}
