//! Models and data from a hub on this machine: downloaded once, gone on with, checked, refused; and the token stays here.

mod server;

use ldyn::demo::{self, Start};
use server::{COMMIT, Hub, Manner, Request, sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const TOKEN: &str = "hf_secretOfThisTest";
const WEIGHTS: &str = "model.safetensors";

/// Files of the demo's model and corpus, by their names on the hub.
fn files() -> &'static BTreeMap<String, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        demo::materialise(folder.path(), 1, Start::Embedded).unwrap();
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder.path().join(demo::BASE)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("models/acme/tiny/{}", entry.file_name().to_str().unwrap());
            files.insert(name, fs::read(entry.path()).unwrap());
        }
        // What is not needed.
        files.insert("models/acme/tiny/pytorch_model.bin".into(), b"a program".to_vec());
        files.insert("models/acme/tiny/README.md".into(), b"# Tiny".to_vec());
        files.insert("models/acme/pickled/config.json".into(), b"{}".to_vec());
        files.insert("models/acme/pickled/pytorch_model.bin".into(), b"a program".to_vec());
        // The same tokenizer in other bytes, without a model.
        let tokenizer = files["models/acme/tiny/tokenizer.json"].clone();
        files.insert("models/acme/words/tokenizer.json".into(), [&tokenizer[..], b"\n"].concat());
        let config = files["models/acme/tiny/tokenizer_config.json"].clone();
        files.insert("models/acme/words/tokenizer_config.json".into(), config);
        files.insert(
            "datasets/acme/pairs/data/train.jsonl".into(),
            fs::read(folder.path().join(demo::TRAIN)).unwrap(),
        );
        files
    })
}

/// A hub, and a place with an empty cache.
struct Place {
    folder: tempfile::TempDir,
    hub: Hub,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), hub: Hub::start(files().clone()) }
    }

    fn behaving(manner: Manner) -> Self {
        let place = Self::new();
        place.hub.behave(manner);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The model's folder in the cache.
    fn cached(&self) -> PathBuf {
        self.path("cache/models--acme--tiny")
    }

    fn partial(&self) -> PathBuf {
        self.cached().join(format!("blobs/{}.incomplete", sha256(weights())))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ldyn"));
        for variable in
            ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
        {
            command.env_remove(variable);
        }
        command.env("HF_HOME", self.path("home")).env("HF_HUB_CACHE", self.path("cache"));
        command.env("HF_ENDPOINT", &self.hub.url).env("HF_TOKEN", TOKEN);
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    /// Standard output of a success.
    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        assert!(!said(&output).contains(TOKEN));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fails(&self, arguments: &[&str], words: &[&str]) {
        failed(&self.command(arguments).output().unwrap(), words);
    }
}

fn failed(output: &Output, words: &[&str]) {
    let message = said(output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(!message.contains("panicked") && !message.contains(TOKEN), "{message}");
    for word in words {
        assert!(message.contains(word), "`{word}` not in: {message}");
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

fn weights() -> &'static [u8] {
    &files()[&format!("models/acme/tiny/{WEIGHTS}")]
}

const GENERATE: [&str; 7] = ["generate", "--model", "acme/tiny", "--prompt", "Hi", "--max-new-tokens", "2"];
const FETCH: [&str; 2] = ["fetch", "acme/tiny"];

/// Every file below a folder, links followed.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_model_is_downloaded_once_into_the_layout_that_python_has() {
    let place = Place::new();
    let answer = place.succeeds(&GENERATE);
    let asked = place.hub.requests();
    assert!(asked[0].path.starts_with("/api/models/acme/tiny/revision/main"), "{}", asked[0].path);
    assert!(asked.iter().all(|r| !r.path.contains(".bin") && !r.path.contains("README")), "{asked:?}");

    let cached = place.cached();
    assert_eq!(fs::read_to_string(cached.join("refs/main")).unwrap(), COMMIT);
    let snapshot = cached.join("snapshots").join(COMMIT);
    let link = fs::read_link(snapshot.join(WEIGHTS)).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(sha256(weights())));
    assert_eq!(fs::read(snapshot.join(WEIGHTS)).unwrap(), weights());
    assert!(cached.join(".no_exist").join(COMMIT).join("chat_template.jinja").exists());
    assert!(all_files(&cached).iter().all(|path| !path.to_str().unwrap().contains("incomplete")));

    // Again: no request at all, and offline neither.
    assert_eq!(place.succeeds(&GENERATE), answer);
    let offline = place.command(&GENERATE).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(offline.status.success(), "{}", said(&offline));
    assert!(place.hub.requests().is_empty());
    // Asked for the newest commit: a single one.
    assert_eq!(place.succeeds(&FETCH).trim(), snapshot.to_str().unwrap());
    assert_eq!(place.hub.requests().len(), 1);
    // The commit is a revision too.
    let pinned = format!("acme/tiny@{COMMIT}");
    assert_eq!(
        place.succeeds(&["generate", "--model", &pinned, "--prompt", "Hi", "--max-new-tokens", "2"]),
        answer
    );
    assert!(place.hub.requests().is_empty());
}

#[test]
fn a_connection_that_breaks_is_gone_on_with_where_it_broke() {
    let half = weights().len() / 2;
    let place = Place::behaving(Manner { cut: Some((half, 1)), ..Manner::default() });
    place.succeeds(&FETCH);
    let ranges: Vec<_> = of_store(&place).into_iter().map(|r| r.range).collect();
    assert_eq!(ranges, [None, Some(format!("bytes={half}-"))]);
    // A server that has no ranges sends all, which is not put behind what was there.
    let place = Place::behaving(Manner { cut: Some((half, 1)), ignores_ranges: true, ..Manner::default() });
    place.succeeds(&FETCH);
    assert_eq!(of_store(&place).len(), 2);
    assert_eq!(fs::read(place.cached().join("blobs").join(sha256(weights()))).unwrap(), weights());
}

fn of_store(place: &Place) -> Vec<Request> {
    place.hub.requests().into_iter().filter(|r| r.host == "store").collect()
}

#[test]
fn a_download_that_was_killed_is_gone_on_with() {
    let there = 3 << 17;
    let place = Place::behaving(Manner { stall: Some(there), ..Manner::default() });
    let mut child = place.command(&FETCH).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while fs::metadata(place.partial()).map_or(0, |file| file.len()) < there as u64 {
        assert!(Instant::now() < until, "nothing came");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What is not whole is no model.
    let offline = place.command(&GENERATE).env("HF_HUB_OFFLINE", "1").output().unwrap();
    failed(&offline, &["acme/tiny is not whole", "HF_HUB_OFFLINE", "ldyn fetch acme/tiny"]);

    place.hub.behave(Manner::default());
    place.hub.requests();
    place.succeeds(&GENERATE);
    let [rest] = &of_store(&place)[..] else { panic!("one request for the rest") };
    assert_eq!(rest.range, Some(format!("bytes={there}-")));
    assert!(!place.partial().exists());
}

#[test]
fn what_is_not_as_announced_is_refused_and_nothing_of_it_stays() {
    for (manner, words) in [
        (Manner { damages: true, ..Manner::default() }, &["SHA-256", "damaged"][..]),
        (Manner { wrong_length: true, ..Manner::default() }, &["announces", "bytes, expected"]),
        (
            Manner { lists: Some("../../outside.json"), ..Manner::default() },
            &["outside.json", "outside of the repository"],
        ),
        (
            Manner { lists: Some("/etc/outside.json"), ..Manner::default() },
            &["outside.json", "outside of the repository"],
        ),
        (Manner { etag: Some("../../outside"), ..Manner::default() }, &["ETag"]),
    ] {
        let place = Place::behaving(manner);
        place.fails(&FETCH, words);
        let blob = place.cached().join("blobs").join(sha256(weights()));
        assert!(!blob.exists() && !place.cached().join("refs/main").exists());
        let left = if place.path("cache").exists() { all_files(&place.path("cache")) } else { Vec::new() };
        assert!(left.iter().all(|path| !path.to_str().unwrap().contains("outside")), "{left:?}");
    }
}

#[test]
fn every_refusal_says_what_to_do() {
    let place = Place::new();
    place.fails(&["fetch", "acme/none"], &["acme/none", "is the name right", "token"]);
    place.fails(&["fetch", "acme/tiny@v9"], &["no revision `v9`"]);
    place.fails(&["fetch", "hf://datasets/acme/pairs/none.jsonl"], &["no file `none.jsonl`"]);
    place.fails(&["fetch", "acme/pickled"], &["no safetensors", "programs and not read"]);
    place.fails(&["fetch", "tiny"], &["no address on the hub"]);
    let no_token = place.command(&["fetch", "acme/none"]).env_remove("HF_TOKEN").output().unwrap();
    failed(&no_token, &["HF_TOKEN, which is not set"]);
    for (status, code, words) in [
        (401, "GatedRepo", &["gated", "accept its terms at", "/acme/tiny"][..]),
        (403, "GatedRepo", &["gated", "accept its terms at"]),
        (401, "", &["is the name right", "private"]),
        (403, "", &["may not be read"]),
        (418, "", &["418"]),
    ] {
        // The server repeats the token, as some do.
        let place = Place::behaving(Manner { refuses: Some((status, code, TOKEN)), ..Manner::default() });
        place.fails(&FETCH, words);
    }
    // A password in the address is a secret too.
    let named = place
        .command(&FETCH)
        .env("HF_ENDPOINT", "http://user:hf_secretOfThisTest@127.0.0.1")
        .output()
        .unwrap();
    failed(&named, &["HF_ENDPOINT holds a user's name"]);
}

#[test]
fn a_folder_that_is_not_there_is_no_name_on_the_hub() {
    let place = Place::new();
    fs::create_dir(place.path("acme")).unwrap();
    place.fails(&GENERATE, &["acme/tiny"]);
    assert!(place.hub.requests().is_empty());
}

/// A study on the hub's model and data.
const STUDY: &str = "output = 'run'\n[model]\npath = 'acme/tiny'\n[data]\ntrain = 'hf://datasets/acme/pairs/data/train.jsonl'\nlimit = 8\nmax_length = 128\nmax_prompt_length = 64\n\
    [probe]\nprompts = 2\n[[stages]]\nobjective = 'sft'\nmax_steps = 1\nsave = false\n";

#[test]
fn a_study_says_what_it_would_download_and_its_run_says_what_it_had() {
    let place = Place::new();
    fs::write(place.path("study.toml"), STUDY).unwrap();
    place.fails(&["check", "study.toml"], &[WEIGHTS, "MiB", "train.jsonl", "ldyn fetch study.toml"]);
    assert!(!place.cached().exists(), "nothing is downloaded to check");
    place.hub.requests();
    let offline = place.command(&["check", "study.toml"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    failed(&offline, &["acme/tiny", "all files", "ldyn fetch study.toml"]);
    let offline = place.command(&["run", "study.toml"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    failed(&offline, &["acme/tiny is not whole", "HF_HUB_OFFLINE"]);
    assert!(place.hub.requests().is_empty());

    place.succeeds(&["run", "study.toml"]);
    let config = fs::read_to_string(place.path("run/config.toml")).unwrap();
    assert!(config.contains(&format!("snapshots/{COMMIT}")), "{config}");
    assert!(place.cached().with_file_name("datasets--acme--pairs").join("snapshots").join(COMMIT).is_dir());
    assert!(place.succeeds(&["check", "study.toml"]).contains("sft"));

    // The token went to the hub and nowhere else: not to the store, not into a file.
    let asked = place.hub.requests();
    let bearer = Some(format!("Bearer {TOKEN}"));
    assert!(asked.iter().any(|r| r.host == "store"));
    for request in &asked {
        assert_eq!(
            request.authorization,
            if request.host == "hub" { bearer.clone() } else { None },
            "{request:?}"
        );
    }
    for path in all_files(place.folder.path()) {
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(TOKEN.len()).any(|w| w == TOKEN.as_bytes()), "{}", path.display());
    }
}

/// Whether a text holds a piece of the token, as it is or as the hexadecimal digits of a dump.
fn has_a_piece_of_the_token(said: &str) -> bool {
    const PIECE: usize = 6;
    let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    let digits: String = said.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let of = |text: &str, secret: &str, piece: usize| {
        (0..=secret.len() - piece).any(|from| text.contains(&secret[from..from + piece]))
    };
    of(said, TOKEN, PIECE) || of(&digits, &hex, 2 * PIECE)
}

#[test]
fn no_log_shows_the_token_or_a_piece_of_it() {
    assert!(has_a_piece_of_the_token("…: hf_secre"), "a piece");
    assert!(has_a_piece_of_the_token("6866 5f73 6563 7265"), "a dump");
    let place = Place::new();
    for filter in ["trace", "ureq=trace,ureq_proto=trace,ldyn=trace"] {
        let output = place.command(&["-vvv", "fetch", "acme/tiny"]).env("RUST_LOG", filter).output().unwrap();
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(output.status.success(), "{said}");
        // That requests are told of, ours and those of the library.
        assert!(
            said.contains("ldyn::hub::client: request method=\"GET\" address=\"http://127.0.0.1"),
            "{said}"
        );
        assert!(said.contains("DEBUG ureq::run: Request { method: GET"), "{said}");
        assert!(!has_a_piece_of_the_token(&said), "{said}");
        // Nor the query that signs the address of a large file.
        assert!(!said.contains("sig=1"), "{said}");
    }
    let asked = place.hub.requests();
    assert!(asked.iter().any(|request| request.authorization == Some(format!("Bearer {TOKEN}"))));
    // A message that is told again.
    let refuses = Some((503, "", TOKEN));
    let place = Place::behaving(Manner { refuses, ..Manner::default() });
    let output = place.command(&["-v", "fetch", "acme/tiny"]).output().unwrap();
    let said = said(&output);
    assert!(said.contains("WARN") && said.contains("503") && said.contains("[key]"), "{said}");
    assert!(!has_a_piece_of_the_token(&said), "{said}");
}

/// A study that begins with random weights of the hub's shape, and with its tokenizer.
const SHAPE: &str = "output = 'run'\n[model]\nconfig = 'acme/tiny'\n[data]\ntrain = 'hf://datasets/acme/pairs/data/train.jsonl'\nlimit = 8\nmax_length = 128\nmax_prompt_length = 64\n\
    [probe]\nprompts = 2\n[[stages]]\nobjective = 'pretrain'\nblock_length = 32\nmax_steps = 1\n";

#[test]
fn a_shape_and_its_tokenizer_come_without_weights() {
    let place = Place::new();
    fs::write(place.path("study.toml"), SHAPE).unwrap();
    let checked = place.command(&["check", "study.toml"]).output().unwrap();
    failed(&checked, &["to download: acme/tiny: config.json (", "tokenizer.json (", "ldyn fetch study.toml"]);
    let listed = said(&checked);
    assert_eq!(
        (listed.matches("config.json (").count(), listed.matches("acme/tiny:").count()),
        (2, 1),
        "{listed}"
    );
    assert!(!listed.contains(WEIGHTS) && !place.cached().exists(), "{listed}");
    let offline = place.command(&["run", "study.toml"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    failed(&offline, &["acme/tiny is not whole in the cache", "missing: config.json"]);

    let told = place.succeeds(&["run", "study.toml", "--json"]);
    let events: Vec<serde_json::Value> =
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| -> Vec<&serde_json::Value> {
        events.iter().filter(|event| event["event"] == name).map(|event| &event["file"]).collect()
    };
    let names = of("download");
    assert_eq!(names, of("downloaded"));
    assert!(names.iter().any(|name| *name == "tokenizer.json"), "{names:?}");
    assert!(names.iter().all(|name| *name != WEIGHTS), "{names:?}");
    let asked = place.hub.requests();
    assert!(asked.iter().all(|request| !request.path.contains(WEIGHTS)), "{asked:?}");

    let snapshot = place.cached().join("snapshots").join(COMMIT);
    // That a file was not asked for does not say that there is none.
    let absent = all_files(&place.cached().join(".no_exist"));
    assert!(absent.iter().all(|path| !path.ends_with("tokenizer.json")), "{absent:?}");
    assert!(absent.iter().any(|path| path.ends_with("chat_template.jinja")), "{absent:?}");
    let config = fs::read_to_string(place.path("run/config.toml")).unwrap();
    assert!(config.contains(&format!("config = \"{}\"", snapshot.join("config.json").display())), "{config}");
    assert!(config.contains(&format!("tokenizer = \"{}\"", snapshot.display())), "{config}");
    let manifest = ldyn::record::read_manifest(&place.path("run")).unwrap();
    let tokenizer = &files()["models/acme/tiny/tokenizer.json"];
    assert_eq!(manifest.hashes.tokenizer, sha256(tokenizer));
    // What belongs to the tokenizer goes along with the trained model.
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        let saved = fs::read(place.path("run/pretrain").join(name)).unwrap();
        assert_eq!(saved, files()[&format!("models/acme/tiny/{name}")]);
    }

    // All is there now, and the run is the one that it was.
    for arguments in [&["check", "study.toml"][..], &["run", "study.toml", "--resume"]] {
        let output = place.command(arguments).env("HF_HUB_OFFLINE", "1").output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    let flags = ["--data", "hf://datasets/acme/pairs/data/train.jsonl", "--output", "other"];
    let short = [
        "--set",
        "stages.0.max_steps=1",
        "--set",
        "stages.0.block_length=32",
        "--set",
        "data.max_length=128",
    ];
    let verb = [
        "pretrain",
        "--config",
        "acme/tiny",
        "--tokenizer",
        "acme/tiny",
        "--set",
        "data.max_prompt_length=64",
    ];
    place.succeeds(&[&verb[..], &flags, &short].concat());
    assert!(place.hub.requests().is_empty());
    // Without weights it is no model: they are fetched where one is asked for, and nothing else of it.
    place.succeeds(&GENERATE);
    let asked: Vec<String> = place.hub.requests().into_iter().map(|request| request.path).collect();
    assert!(asked.iter().any(|path| path.contains(WEIGHTS)), "{asked:?}");
    assert!(!asked.iter().any(|path| path.contains("tokenizer")), "{asked:?}");
}

#[test]
fn a_tokenizer_may_come_from_another_repository() {
    let place = Place::new();
    fs::write(place.path("study.toml"), STUDY).unwrap();
    let words = format!("model.tokenizer=acme/words@{COMMIT}");
    place.succeeds(&["fetch", "study.toml", "--set", &words]);
    place.hub.requests();
    place.succeeds(&["run", "study.toml", "--set", &words]);
    assert!(place.hub.requests().is_empty());
    let hashes = ldyn::record::read_manifest(&place.path("run")).unwrap().hashes;
    assert_eq!(hashes.tokenizer, sha256(&files()["models/acme/words/tokenizer.json"]));
    // Of another one the run is not.
    place.fails(&["run", "study.toml", "--resume"], &["the tokenizer changed"]);

    let with = |key: &str| ["check".to_owned(), "shape.toml".to_owned(), "--set".to_owned(), key.to_owned()];
    fs::write(place.path("shape.toml"), SHAPE).unwrap();
    for (key, words) in [
        ("model.config=acme/words", &["acme/words has no config.json"][..]),
        ("model.tokenizer=acme/pickled", &["acme/pickled has no tokenizer.json", "AutoTokenizer"]),
        ("model.tokenizer=acme/none", &["acme/none", "is the name right"]),
        // No request for what looks like a file.
        ("model.config=shapes/config.json", &["cannot read shapes/config.json"]),
    ] {
        let arguments = with(key);
        place.fails(&arguments.each_ref().map(String::as_str), words);
    }
}

#[test]
fn the_token_may_lie_in_its_file() {
    let place = Place::new();
    fs::create_dir(place.path("home")).unwrap();
    fs::write(place.path("home/token"), format!("{TOKEN}\n")).unwrap();
    let output = place.command(&FETCH).env_remove("HF_TOKEN").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(place.hub.requests()[0].authorization, Some(format!("Bearer {TOKEN}")));
    // That there is one is all that is told of it.
    assert!(place.succeeds(&["env"]).contains("HF_TOKEN               set"));
}
