use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

const SECRET: &str = "sk-0123456789";

/// Answers one connection after another with these bytes; with nothing it hangs up. Hands over what was asked.
fn server(replies: Vec<String>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for reply in replies {
            let (mut stream, _) = listener.accept().unwrap();
            // Not every test listens.
            let _ = sender.send(request(&mut stream));
            stream.write_all(reply.as_bytes()).unwrap();
        }
    });
    (url, asked)
}

/// Reads a whole request: the head, and as much as it announces.
fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).unwrap();
            if body.len() >= length.lines().next().unwrap().parse().unwrap() {
                return String::from_utf8(bytes).unwrap();
            }
        }
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the request was cut short: {text}");
        bytes.extend(&chunk[..read]);
    }
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn says(text: &str) -> String {
    let message = serde_json::json!({"role": "assistant", "content": text});
    http("200 OK", &serde_json::json!({"choices": [{"message": message}]}).to_string())
}

fn client(url: &str, max_retries: usize) -> Client {
    client_with(url, max_retries, SECRET)
}

fn client_with(url: &str, max_retries: usize, key: &str) -> Client {
    let endpoint = Endpoint {
        url: url.to_owned(),
        key: Some(Key::new(key).unwrap()),
        timeout: Duration::from_secs(5),
        max_retries,
        seed: 0,
    };
    Client::new(endpoint).unwrap()
}

fn question(text: &str) -> Request {
    let message = Message { role: "user", content: text.to_owned() };
    Request { model: "m".into(), messages: vec![message], temperature: 0.0, seed: None }
}

fn complete(url: &str, max_retries: usize) -> Result<Reply, String> {
    let reply = client(url, max_retries).complete(&question("Hi"), &AtomicBool::new(false));
    reply.map(Option::unwrap).map_err(|e| format!("{e:#}"))
}

#[test]
fn a_request_has_the_form_that_the_protocol_asks_for() {
    let (url, asked) = server(vec![says("Hello")]);
    assert_eq!(complete(&url, 0), Ok(Reply { text: "Hello".into(), attempts: 1 }));
    let asked = asked.recv().unwrap();
    assert!(asked.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("authorization: Bearer {SECRET}\r\n")), "{asked}");
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"temperature":0.0}"#;
    assert!(asked.ends_with(body), "{asked}");
}

#[test]
fn what_passes_is_tried_again_and_the_attempts_are_counted() {
    let busy =
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, _) = server(vec![busy.into(), String::new(), says("at last")]);
    assert_eq!(complete(&url, 2), Ok(Reply { text: "at last".into(), attempts: 3 }));
    let (url, _) = server(vec![busy.into(), http("503 Service Unavailable", "later")]);
    let message = complete(&url, 1).unwrap_err();
    assert!(message.contains("503 Service Unavailable: later (attempts: 2)"), "{message}");
}

#[test]
fn a_refusal_is_told_at_once_in_bounded_words_and_without_the_key() {
    let said = format!(r#"{{"error": {{"message": "no such key:\n {SECRET} {}"}}}}"#, "long ".repeat(1000));
    let (url, asked) = server(vec![http("401 Unauthorized", &said)]);
    let message = complete(&url, 9).unwrap_err();
    assert!(message.contains("401 Unauthorized: no such key: [key] long long"), "{message}");
    assert!(message.len() < 500 && !message.contains(SECRET), "{message}");
    assert_eq!(asked.iter().count(), 1);
    // Nor does a part of the key stay where the message is cut.
    let (url, _) = server(vec![http("400 Bad Request", &format!("{}{SECRET}", "x".repeat(SHOWN - 5)))]);
    assert!(!complete(&url, 0).unwrap_err().contains(&SECRET[..4]));
    // Nor is it in a reply that is kept as a transcript.
    let (url, _) = server(vec![says(&format!("A, and {SECRET}"))]);
    assert_eq!(complete(&url, 0).unwrap().text, "A, and [key]");
    // A word that stands in for a key is a word.
    let (url, _) = server(vec![says("A token\nA")]);
    let reply = client_with(&url, 0, "A").complete(&question("Hi"), &AtomicBool::new(false));
    assert_eq!(reply.unwrap().unwrap().text, "A token\nA");
    assert_eq!(format!("{:?}", client(&url, 0).endpoint.key), "Some(Key(…))");
}

#[test]
fn a_key_does_not_follow_to_another_place() {
    let (elsewhere, asked) = server(vec![says("stolen")]);
    let moved =
        format!("HTTP/1.1 307 x\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let (url, _) = server(vec![moved]);
    let message = complete(&url, 0).unwrap_err();
    assert!(message.contains(&format!("sends on to {elsewhere}")), "{message}");
    assert!(asked.try_recv().is_err());
}

#[test]
fn a_server_that_is_silent_or_speaks_otherwise_is_named() {
    let (url, _) = server(vec![http("200 OK", "<html>Welcome</html>")]);
    let message = complete(&url, 0).unwrap_err();
    assert!(message.contains("no chat completion") && message.contains("Welcome"), "{message}");
    // A model that declines is no failure.
    let (url, _) = server(vec![http("200 OK", r#"{"choices": [{"message": {"content": null}}]}"#)]);
    assert_eq!(complete(&url, 0).unwrap().text, "");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut silent = client(&url, 0);
    silent.endpoint.timeout = Duration::from_millis(200);
    let silent = Client::new(silent.endpoint).unwrap();
    let message = silent.complete(&question("Hi"), &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(message.contains("no reply in time"), "{message}");
}

#[test]
fn addresses_are_completed_and_checked() {
    let both = |url| addresses(url).map_err(|e| e.to_string());
    let plain = "http://h:1/v1/chat/completions".to_owned();
    assert_eq!(both("http://h:1/v1"), Ok((plain.clone(), plain.clone())));
    assert_eq!(both("http://h:1/v1/chat/completions/"), Ok((plain.clone(), plain.clone())));
    assert_eq!(both("http://h:1/v1?version=2"), Ok((format!("{plain}?version=2"), plain)));
    for wrong in ["", "h:1", "ftp://h", "http://", "http:///v1", "http://h/a b"] {
        assert!(both(wrong).unwrap_err().contains("expected a base URL"), "{wrong}");
    }
    let message = both("https://me:secret@h/v1").unwrap_err();
    assert!(message.contains("environment") && !message.contains("secret"), "{message}");
    assert!(Key::new("two words").is_err() && Key::new(" one\n").is_ok_and(|k| k.0 == "one"));
}

#[test]
fn many_requests_reach_their_own_reply_and_end_at_the_first_failure() {
    let requests: Vec<Request> = (0..5).map(|i| question(&format!("number {i}"))).collect();
    let (url, asked) = server((0..5).map(|_| says("ok")).collect());
    let mut done = Vec::new();
    let all = complete_all(&client(&url, 0), &requests, 3, |index, reply| {
        assert_eq!(reply.text, "ok");
        done.push(index);
        Ok(())
    });
    assert!(all.is_ok());
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2, 3, 4]);
    assert_eq!(asked.iter().count(), 5);

    let (url, asked) = server(vec![says("ok"), http("400 Bad Request", "too long"), says("never")]);
    let mut done = Vec::new();
    let (index, error) = complete_all(&client(&url, 0), &requests, 1, |index, _| {
        done.push(index);
        Ok(())
    })
    .unwrap_err();
    assert_eq!((index, done), (1, vec![0]));
    assert!(error.to_string().contains("too long"));
    assert_eq!(asked.try_iter().count(), 2);
}
