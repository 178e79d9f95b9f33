//! The server of `examples/chat_server.rs`, for tests that need a judge or a rephraser.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The server, until it is dropped.
pub struct Server {
    child: Child,
    /// Its address, with `/v1`.
    pub url: String,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Self {
        let test = std::env::current_exe().unwrap();
        let program = test.parent().unwrap().with_file_name("examples").join("chat_server");
        let program = program.with_extension(std::env::consts::EXE_EXTENSION);
        assert!(
            program.exists(),
            "first `cargo build -p ldyn --example chat_server`; `cargo test` does so itself"
        );
        let mut command = Command::new(program);
        command.args(arguments).args(["--for-seconds", "120"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
