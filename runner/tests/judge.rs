//! `ldyn judge` against a server that is a program of its own (`examples/chat_server.rs`), and by likelihood.

mod server;

use serde_json::{Value, json};
use server::Server;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/base");

/// Completions that a server was asked for.
fn completions(server: &Server) -> usize {
    let host = server.url.trim_start_matches("http://").trim_end_matches("/v1");
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /calls HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said.split("\r\n\r\n").nth(1).unwrap().parse().unwrap()
}

/// A folder with answers of two models.
struct Place(tempfile::TempDir);

impl Place {
    fn new(pairs: &[(&str, &str)]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let prompts = (0..pairs.len()).map(|i| format!("\n\nHuman: Question {i}?\n\nAssistant:"));
        let (a, b): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        place.write("a.jsonl", &prompts.clone().zip(a).collect::<Vec<_>>());
        place.write("b.jsonl", &prompts.zip(b).collect::<Vec<_>>());
        place
    }

    fn write<P: AsRef<str>, R: AsRef<str>>(&self, name: &str, answers: &[(P, R)]) {
        let line = |(p, r): &(P, R)| json!({"prompt": p.as_ref(), "response": r.as_ref()}).to_string() + "\n";
        fs::write(self.path(name), answers.iter().map(line).collect::<String>()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn rows(&self, name: &str) -> Vec<Value> {
        self.read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// `ldyn judge a.jsonl b.jsonl` with more arguments, in this folder and without a key or proxy of the machine's.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ldyn"));
        command.args(["--quiet", "judge"]);
        if !arguments.first().is_some_and(|a| a.ends_with(".jsonl")) {
            command.args(["a.jsonl", "b.jsonl"]);
        }
        for variable in ["OPENAI_API_KEY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(variable);
        }
        command.args(arguments).current_dir(self.0.path());
        command
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn fails(&self, arguments: &[&str], words: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        let message = said(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.starts_with("error: ") && message.matches("error: ").count() == 1, "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} not all in: {message}");
    }

    /// Judged by the server, as JSON.
    fn judged(&self, server: &Server, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.succeeds(&[&endpoint(server)[..], &["--json"], arguments].concat()))
            .unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn endpoint(server: &Server) -> [&str; 6] {
    ["--endpoint", &server.url, "--judge-model", "judge", "--out", "judged.jsonl"]
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn outcomes(place: &Place) -> Vec<String> {
    place.rows("judged.jsonl").iter().map(|row| row["outcome"].as_str().unwrap().to_owned()).collect()
}

/// Pairs with lengths that differ in both directions, and a word to like in some.
const PAIRS: [(&str, &str); 6] = [
    (" Water it once a week.", " No."),
    (" Gladly, kind friend.", " I will explain that at once, and at length."),
    (" It is a shoe for horses, and kind to hooves.", " A shoe."),
    (" Yes.", " Yes, of course."),
    (" The same answer.", " The same answer."),
    (" Ask a vet who is near you.", " Be kind to it."),
];

#[test]
fn a_judge_that_always_says_a_is_worth_nothing() {
    let (server, place) = (Server::start(&["always-a"]), Place::new(&PAIRS));
    let found = place.judged(&server, &[]);
    assert_eq!((number(&found["win_rate"]["value"]), number(&found["position_consistency"])), (0.5, 0.0));
    assert_eq!((&found["splits"], number(&found["first_position_share"])), (&json!(6), 1.0));
    assert_eq!(found["win_rate"]["interval"], json!([0.5, 0.5]));
    // The pair of equal answers is one question in both orders.
    assert_eq!(completions(&server), 11);
}

#[test]
fn a_preference_is_found_wherever_its_answer_is_shown() {
    let (server, place) = (Server::start(&["prefers", "kind"]), Place::new(&PAIRS));
    let found = place.judged(&server, &["--concurrency", "3"]);
    assert_eq!(outcomes(&place), ["tie", "win", "win", "tie", "tie", "loss"]);
    assert_eq!(number(&found["win_rate"]["value"]), (2.0 + 1.5) / 6.0);
    assert_eq!((number(&found["position_consistency"]), number(&found["first_position_share"])), (1.0, 0.5));
    assert_eq!(
        [&found["wins"], &found["losses"], &found["ties"], &found["refused"]],
        [&json!(2), &json!(1), &json!(3), &json!(0)]
    );
    let row = &place.rows("judged.jsonl")[1];
    assert_eq!((&row["verdict_ab"], &row["verdict_ba"]), (&json!("first"), &json!("second")));
    assert_eq!((&row["words_a"], &row["words_b"], &row["score"]), (&json!(3), &json!(9), &json!(1.0)));

    // With the files exchanged the other model wins, and the questions are the same ones.
    let calls = completions(&server);
    let other = place.judged(&server, &[]);
    assert_eq!(other, found);
    let swapped = [&["b.jsonl", "a.jsonl", "--json"], &endpoint(&server)[..]].concat();
    let other: Value = serde_json::from_str(&place.succeeds(&swapped)).unwrap();
    assert_eq!(completions(&server), calls);
    for rate in ["win_rate", "length_controlled_win_rate"] {
        let (one, other) = (&found[rate], &other[rate]);
        assert!((number(&one["value"]) + number(&other["value"]) - 1.0).abs() < 1e-8, "{one} {other}");
        assert!((number(&one["interval"][0]) + number(&other["interval"][1]) - 1.0).abs() < 1e-6);
    }
    assert_eq!((&found["wins"], &found["longer"][0]), (&other["losses"], &other["longer"][1]));
}

/// Answers of so many words each.
fn of_lengths(lengths: &[(usize, usize)]) -> Vec<(String, String)> {
    lengths.iter().map(|&(a, b)| (" word".repeat(a), " word".repeat(b))).collect()
}

fn place_of_lengths(lengths: &[(usize, usize)]) -> Place {
    let answers = of_lengths(lengths);
    Place::new(&answers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect::<Vec<_>>())
}

#[test]
fn what_length_alone_wins_is_taken_back_where_that_can_be_told() {
    let server = Server::start(&["longer"]);
    // A is longer in 30 of 40 pairs.
    let lengths: Vec<(usize, usize)> =
        (0..40).map(|i| if i < 30 { (11 + i, 10) } else { (10, i - 19) }).collect();
    let found = place_of_lengths(&lengths).judged(&server, &[]);
    assert_eq!(number(&found["win_rate"]["value"]), 0.75);
    let controlled = &found["length_controlled_win_rate"];
    assert!((number(&controlled["value"]) - 0.5).abs() < 0.1, "{controlled}");
    assert!(
        number(&controlled["interval"][0]) < 0.5 && number(&controlled["interval"][1]) > 0.5,
        "{controlled}"
    );
    assert!(number(&found["length_slope"]) > 2.0);

    // A is longer in all of them: nothing tells length from merit, and that is said.
    let lengths: Vec<(usize, usize)> = (0..20).map(|i| (11 + i, 10)).collect();
    let place = place_of_lengths(&lengths);
    let found = place.judged(&server, &[]);
    assert_eq!((number(&found["win_rate"]["value"]), &found["longer"]), (1.0, &json!([20, 0])));
    let table = place.succeeds(&endpoint(&server));
    assert!(table.contains("20 of 20 pairs") && table.contains("extrapolation"), "{table}");
}

#[test]
fn a_reply_without_a_verdict_is_counted_and_not_guessed() {
    let (server, place) = (Server::start(&["mute"]), Place::new(&PAIRS));
    place.fails(&endpoint(&server), &["none of the 6 pairs", "judged.calls.jsonl"]);
    assert_eq!(outcomes(&place), ["refused"; 6]);
    let output = place.command(&[&endpoint(&server)[..], &["--json"]].concat()).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["refused"], &found["win_rate"]), (&json!(6), &Value::Null));
    let call = &place.rows("judged.calls.jsonl")[0];
    assert!(call["reply"].as_str().unwrap().starts_with("I would rather not"), "{call}");
    assert_eq!(call["verdict"], "refused");
}

#[test]
fn a_server_that_fails_for_a_while_costs_attempts_and_nothing_else() {
    let (server, place) = (Server::start(&["flaky"]), Place::new(&PAIRS));
    let found = place.succeeds(&[&endpoint(&server)[..], &["--concurrency", "1"]].concat());
    let attempts: Vec<u64> =
        place.rows("judged.calls.jsonl").iter().map(|call| call["attempts"].as_u64().unwrap()).collect();
    assert_eq!((attempts[0], attempts.iter().sum::<u64>(), completions(&server)), (4, 14, 14));
    let (steady, fresh) = (Server::start(&["longer"]), Place::new(&PAIRS));
    let expected = fresh.succeeds(&endpoint(&steady)).replace(&steady.url, &server.url);
    assert_eq!(found, expected);
    assert_eq!(place.read("judged.jsonl"), fresh.read("judged.jsonl"));

    let (server, place) = (Server::start(&["flaky"]), Place::new(&PAIRS));
    let hasty = [&endpoint(&server)[..], &["--max-retries", "1", "--concurrency", "1"]].concat();
    place.fails(&hasty, &["line 1 of A", "500", "out of order", "attempts: 2"]);
}

#[test]
fn nothing_is_asked_twice() {
    let (server, place) = (Server::start(&["longer"]), Place::new(&PAIRS));
    let first = place.succeeds(&endpoint(&server));
    let (calls, rows) = (completions(&server), place.read("judged.jsonl"));
    assert_eq!(place.succeeds(&[&endpoint(&server)[..], &["--concurrency", "1"]].concat()), first);
    assert_eq!((completions(&server), place.read("judged.jsonl")), (calls, rows));
    // At temperature 0 the seed is that of the intervals alone; another temperature is another question.
    place.succeeds(&[&endpoint(&server)[..], &["--seed", "1"]].concat());
    assert_eq!(completions(&server), calls);
    place.succeeds(&[&endpoint(&server)[..], &["--temperature", "0.7", "--limit", "2"]].concat());
    assert_eq!(completions(&server), calls + 4);
    // Nor is somebody else's work written over.
    fs::remove_file(place.path("judged.calls.jsonl")).unwrap();
    place.fails(&endpoint(&server), &["judged.jsonl", "choose another output"]);
    fs::write(place.path("judged.calls.jsonl"), "precious").unwrap();
    place.fails(&endpoint(&server), &["judged.calls.jsonl", "choose another output"]);
    assert_eq!((completions(&server), place.read("judged.calls.jsonl").as_str()), (calls + 4, "precious"));
}

#[test]
fn a_run_that_was_killed_goes_on_and_ends_the_same() {
    let lengths: Vec<(usize, usize)> = (0..20).map(|i| (5 + i % 7, 8)).collect();
    let server = Server::start(&["longer", "--delay", "40"]);
    let whole = place_of_lengths(&lengths);
    let expected = whole.succeeds(&endpoint(&server));
    let calls = completions(&server);

    let place = place_of_lengths(&lengths);
    let mut child =
        place.command(&[&endpoint(&server)[..], &["--concurrency", "2"]].concat()).spawn().unwrap();
    let written = || fs::read_to_string(place.path("judged.calls.jsonl")).unwrap_or_default();
    while written().lines().count() < 5 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.path("judged.jsonl").exists());
    // As if killed while writing: half a row at the end.
    let whole_rows = written();
    let torn = &whole_rows[..whole_rows.find('\n').unwrap() / 2];
    fs::write(place.path("judged.calls.jsonl"), format!("{whole_rows}{torn}")).unwrap();
    assert_eq!(place.succeeds(&endpoint(&server)), expected);
    assert_eq!(place.read("judged.jsonl"), whole.read("judged.jsonl"));
    // Besides what was under way when it was killed, each question was asked once.
    let asked = completions(&server) - calls;
    assert!((calls..=calls + 2).contains(&asked), "{asked} calls instead of {calls}");
    let mut questions: BTreeMap<String, usize> = BTreeMap::new();
    for call in place.rows("judged.calls.jsonl") {
        *questions.entry(call["request"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(questions.len() == calls && questions.values().all(|&n| n == 1), "{questions:?}");
}

#[test]
fn the_key_goes_to_the_server_and_nowhere_else() {
    let secret = "sk-a-secret-of-ours";
    let (server, place) = (Server::start(&["locked", "sk-another"]), Place::new(&PAIRS));
    let arguments = [&endpoint(&server)[..], &["--api-key-env", "JUDGE_KEY"]].concat();
    let output = place.command(&arguments).env("JUDGE_KEY", secret).output().unwrap();
    let message = said(&output);
    assert!(message.contains("401") && message.contains("unknown key: Bearer [key]"), "{message}");
    assert!(!message.contains("sk-a") && output.stdout.is_empty());
    place.fails(&arguments, &["--api-key-env JUDGE_KEY", "no such variable"]);
    place.fails(&endpoint(&server), &["401"]);

    let mut command = place.command(&endpoint(&server));
    // Logs are read as well, with those of the library that sends the request.
    let output = command.env("OPENAI_API_KEY", "sk-another").env("RUST_LOG", "trace").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("DEBUG ureq::run: Request { method: POST"), "{}", said(&output));
    let mut files = 0;
    for entry in fs::read_dir(place.0.path()).unwrap() {
        let content = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!content.contains("sk-a"), "{content}");
        files += 1;
    }
    assert_eq!(files, 4, "two files of answers, the rows, the calls");
    let told = format!("{}{}", said(&output), String::from_utf8_lossy(&output.stdout));
    // A dump in rows may part it.
    assert!(!["sk-a", "another", "736b 2d61"].iter().any(|piece| told.contains(piece)), "{told}");
}

#[test]
fn an_endpoint_out_of_reach_is_named_with_what_to_do() {
    let place = Place::new(&PAIRS);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}/v1");
    let arguments = ["--endpoint", &url, "--judge-model", "m", "--out", "judged.jsonl", "--max-retries", "1"];
    place.fails(&arguments, &[&format!("{url}/chat/completions"), "is the server running", "attempts: 2"]);
    let server = Server::start(&["longer"]);
    let wrong = server.url.replace("/v1", "");
    let arguments = ["--endpoint", &wrong, "--judge-model", "m", "--out", "judged.jsonl"];
    place.fails(&arguments, &["404", "no such place", "/v1"]);
    place.fails(
        &["--endpoint", "localhost", "--judge-model", "m", "--out", "x.jsonl"],
        &["http://localhost:8000/v1"],
    );
}

#[test]
fn answers_end_at_the_human_turn_unless_told_otherwise() {
    let (server, place) =
        (Server::start(&["longer"]), Place::new(&[(" Yes.\n\nHuman: And then what?", " Yes, gladly.")]));
    let found = place.judged(&server, &[]);
    assert_eq!((&found["losses"], &found["cut_at_human_turn"]), (&json!(1), &json!([1, 0])));
    assert_eq!(place.rows("judged.jsonl")[0]["response_a"], " Yes.");
    let found = place.judged(&server, &["--stop-human-turn", "false"]);
    assert_eq!((&found["wins"], &found["cut_at_human_turn"]), (&json!(1), &Value::Null));
}

#[test]
fn a_model_folder_can_serve_as_judge() {
    let (server, place) = (Server::start(&["model", MODEL]), Place::new(&PAIRS[..2]));
    let replies = || -> Vec<Value> {
        // A model as small as this one need not give a verdict.
        place.command(&[&endpoint(&server)[..], &["--concurrency", "1"]].concat()).output().unwrap();
        place.rows("judged.calls.jsonl").iter().map(|call| call["reply"].clone()).collect()
    };
    let first = replies();
    assert!(first.len() == 4 && first.iter().all(|reply| !reply.as_str().unwrap().is_empty()), "{first:?}");
    fs::remove_file(place.path("judged.calls.jsonl")).unwrap();
    fs::remove_file(place.path("judged.jsonl")).unwrap();
    assert_eq!(replies(), first);
}

#[test]
fn a_likelihood_judges_without_a_server_and_whatever_the_order() {
    let place = Place::new(&PAIRS);
    let likelihood = |arguments: &[&str]| -> Value {
        serde_json::from_str(&place.succeeds(&[arguments, &["--likelihood", MODEL, "--json"]].concat()))
            .unwrap()
    };
    let one = likelihood(&["--out", "mean.jsonl"]);
    let other = likelihood(&["b.jsonl", "a.jsonl"]);
    let sum = likelihood(&["--out", "sum.jsonl", "--normalise", "sum"]);
    assert_eq!(
        (number(&one["win_rate"]["value"]) + number(&other["win_rate"]["value"]), &one["ties"]),
        (1.0, &json!(1))
    );
    assert_eq!((&one["wins"], &one["losses"]), (&other["losses"], &other["wins"]));
    assert_eq!((&one["splits"], &one["position_consistency"]), (&json!(0), &Value::Null));

    // The same numbers as those of a probe.
    let pairs =
        place.rows("a.jsonl").into_iter().zip(PAIRS).map(|(row, (a, b))| {
            json!({"prompt": row["prompt"], "chosen": a, "rejected": b}).to_string() + "\n"
        });
    fs::write(place.path("pairs.jsonl"), pairs.collect::<String>()).unwrap();
    let mut probe = Command::new(env!("CARGO_BIN_EXE_ldyn"));
    probe.args(["--quiet", "probe", "--model", MODEL, "--data", "pairs.jsonl", "--out", "probe.jsonl"]);
    assert!(probe.current_dir(place.0.path()).status().unwrap().success());
    let probed = place.rows("probe.jsonl");
    let (means, sums) = (place.rows("mean.jsonl"), place.rows("sum.jsonl"));
    for (i, (mean, summed)) in means.iter().zip(&sums).enumerate() {
        for (kind, side) in [("chosen", "likelihood_a"), ("rejected", "likelihood_b")] {
            let row = probed.iter().find(|r| r["example"] == i && r["kind"] == kind).unwrap();
            let [mean, sum] = [&mean[side], &summed[side]].map(number);
            assert!((mean - number(&row["logp_mean"])).abs() < 1e-4, "{mean} {row}");
            assert!((sum - number(&row["logp"])).abs() < 1e-3, "{sum} {row}");
        }
        let [a, b] = ["likelihood_a", "likelihood_b"].map(|side| number(&mean[side]));
        let outcome = if a > b {
            "win"
        } else if b > a {
            "loss"
        } else {
            "tie"
        };
        assert_eq!(mean["outcome"], outcome);
    }
    assert_ne!(one["win_rate"], sum["win_rate"]);
    place.fails(&["--likelihood", MODEL, "--out", "mean.jsonl"], &["mean.jsonl exists already"]);
    place.write("empty.jsonl", &[("", "a")]);
    place.fails(&["empty.jsonl", "empty.jsonl", "--likelihood", MODEL], &["line 1 of A", "prompt is empty"]);
    place.fails(&["--likelihood", "no-such-model"], &["no-such-model"]);
}

#[test]
fn bad_input_is_named_by_file_line_and_field() {
    let place = Place::new(&PAIRS);
    let against = |name: &str, words: &[&str]| {
        place.fails(&["a.jsonl", name, "--likelihood", MODEL], words);
    };
    against("missing.jsonl", &["missing.jsonl"]);
    let good = place.read("a.jsonl");
    for (content, words) in [
        ("{\"prompt\": \"p\"}\n", ["line 7", "no field `response`"]),
        ("{\"prompt\": 3, \"response\": \"r\"}\n", ["line 7", "`prompt` is a number"]),
        ("{\"prompt\": \"p\", ", ["line 7", "broken JSON"]),
        ("[]\n", ["line 7", "found a list"]),
    ] {
        fs::write(place.path("bad.jsonl"), format!("{good}{content}")).unwrap();
        against("bad.jsonl", &[&["bad.jsonl"], &words[..]].concat());
    }
    fs::write(place.path("bad.jsonl"), "").unwrap();
    against("bad.jsonl", &["bad.jsonl holds no answers"]);
    place.write("other.jsonl", &[("Another prompt", "a")]);
    against(
        "other.jsonl",
        &["a.jsonl and other.jsonl have no prompt in common", "Another prompt", "Question 0"],
    );
    // Some in common is enough, and the rest is told of.
    fs::write(place.path("more.jsonl"), format!("{}{good}", place.read("other.jsonl"))).unwrap();
    let table = place.succeeds(&["a.jsonl", "more.jsonl", "--likelihood", MODEL]);
    assert!(table.contains("0 answers of A, 1 of B"), "{table}");

    for wrong in [
        &["--likelihood", MODEL, "--endpoint", "http://h", "--judge-model", "m"][..],
        &["--endpoint", "http://h", "--out", "x.jsonl"],
        &["--endpoint", "http://h", "--judge-model", "m"],
        &["--likelihood", MODEL, "--temperature", "1"],
        &[],
    ] {
        assert_eq!(place.command(wrong).output().unwrap().status.code(), Some(2), "{wrong:?}");
    }
    let out = ["--endpoint", "http://127.0.0.1:9", "--judge-model", "m", "--out"];
    let remote = |more: &[&str]| place.fails(&[&out[..], &["x.jsonl"], more].concat(), &[&more.join(" ")]);
    for setting in [["--limit", "0"], ["--temperature", "2.5"], ["--timeout", "0"], ["--concurrency", "0"]] {
        remote(&setting);
    }
    place.fails(&[&out[..], &["no/x.jsonl"]].concat(), &["no folder no"]);
    place.fails(&[&out[..], &["a.jsonl"]].concat(), &["--out a.jsonl", "what is judged"]);
    assert!(!place.path("x.jsonl").exists() && !place.path("x.calls.jsonl").exists());
}

#[test]
fn a_probe_set_has_the_kinds_that_need_no_model_and_rephrasings_where_there_is_one() {
    let place = Place::new(&[]);
    let row = |i: usize| json!({"prompt": format!("\n\nHuman: {i}?\n\nAssistant:"), "chosen": format!(" The answer {i}."), "rejected": " No idea."});
    let rows: String = (0..20).map(|i| row(i).to_string() + "\n").collect();
    fs::write(place.path("data.jsonl"), rows).unwrap();
    let make = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ldyn"));
        command.current_dir(place.0.path()).args(["probe-set", "--data", "data.jsonl", "--prompts", "18"]);
        command.args(arguments).output().unwrap()
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let read = |name: &str| -> Vec<Value> {
        place.read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let plain = make(&["--out", "plain.jsonl"]);
    assert!(plain.status.success(), "{}", said(&plain));
    let found = read("plain.jsonl");
    assert_eq!(found.len(), 18);
    for kind in ["chosen", "rejected", "irr_train", "random_permute", "random_nonhum"] {
        assert!(found.iter().all(|row| row[kind].is_string()), "{kind}");
    }
    // It is not written over.
    assert!(said(&make(&["--out", "plain.jsonl"])).contains("plain.jsonl"));

    let server = Server::start(&["reverse"]);
    let url = server.url.clone();
    let chat = ["--endpoint", &url, "--chat-model", "m", "--out", "probe.jsonl"];
    let whole = make(&chat);
    assert!(whole.status.success(), "{}", said(&whole));
    let (found, calls) = (read("probe.jsonl"), completions(&server));
    assert_eq!((found.len(), calls), (18, 4 * 18));
    for kind in ["chosen_gptsemantic", "chosen_gptformat", "reject_gptsemantic", "reject_gptformat"] {
        let text = if kind.starts_with("chosen") { " 3. answer The" } else { " idea. No" };
        assert_eq!(found[3][kind], text);
    }
    // Cut off in its tenth row, it goes on and asks for the rest only.
    let text = place.read("probe.jsonl");
    let ninth: usize = text.split_inclusive('\n').take(9).map(str::len).sum();
    fs::write(place.path("probe.jsonl"), &text[..ninth + 20]).unwrap();
    assert!(make(&chat).status.success());
    assert_eq!((place.read("probe.jsonl"), completions(&server) - calls), (text, 4 * 9));
    // Another set is not gone on with.
    let other = make(&[&chat[..], &["--seed", "2"]].concat());
    assert!(said(&other).contains("holds another probe set"), "{}", said(&other));
}
