//! A small WebDriver client: one Chromium, through its driver, on the loopback interface.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A browser, until it is dropped, in a panic too.
pub struct Browser {
    driver: Child,
    /// Held open: the driver may still write to it.
    _said: BufReader<ChildStdout>,
    agent: ureq::Agent,
    session: String,
    _profile: tempfile::TempDir,
}

/// Keys that have no character.
pub mod keys {
    pub const SPACE: &str = " ";
    pub const LEFT: &str = "\u{e012}";
    pub const HOME: &str = "\u{e011}";
    pub const ESCAPE: &str = "\u{e00c}";
}

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()))
}

impl Browser {
    /// A browser without a window; `None` where there is none to be had, with a line that says so.
    pub fn start() -> Option<Self> {
        let found = (on_path(&["chromedriver"]), on_path(&["chromium", "chromium-browser", "google-chrome"]));
        let (Some(driver), Some(chromium)) = found else {
            // Not through the macros: the harness would keep the line of a test that passes to itself.
            let line =
                "skipped: a browser and its driver are not on the PATH (Debian: chromium, chromium-driver)";
            std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
            return None;
        };
        let mut command = Command::new(driver);
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let Some(port) = port(&mut said) else {
            let _ = driver.kill();
            let _ = driver.wait();
            panic!("the driver ended before it named its port");
        };
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(180)))
            .http_status_as_error(false)
            .build();
        let profile = tempfile::tempdir().unwrap();
        let session = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self { driver, _said: said, agent: config.into(), session, _profile: profile };
        let arguments = [
            "--headless=new".to_owned(),
            // Of the pages that a test writes itself; as root Chromium does not start otherwise.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = browser.post("", &wanted);
        browser.session += &format!("/{}", made["sessionId"].as_str().unwrap());
        Some(browser)
    }

    /// What the driver answers; it panics with the driver's words where that is an error.
    fn post(&self, command: &str, body: &Value) -> Value {
        let url = format!("{}{command}", self.session);
        let post = self.agent.post(&url).header("content-type", "application/json");
        let mut response = post.send(body.to_string().as_bytes()).unwrap();
        let text = response.body_mut().with_config().limit(1 << 28).read_to_string().unwrap();
        let mut reply: Value = serde_json::from_str(&text).unwrap();
        assert!(response.status().is_success(), "{command}: {}", reply["value"]["message"]);
        reply["value"].take()
    }

    /// Opens a file.
    pub fn open(&self, page: &Path) {
        self.post("/url", &json!({"url": format!("file://{}", page.display())}));
    }

    /// The value of an expression in the page.
    pub fn value(&self, expression: &str) -> Value {
        self.post("/execute/sync", &json!({"script": format!("return {expression};"), "args": []}))
    }

    /// A command of the browser's own protocol.
    pub fn command(&self, name: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": name, "params": parameters}))
    }

    /// What was written to the console since it was last asked.
    pub fn console(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({"type": "browser"}));
        log.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }

    /// Moves the mouse to a place in the window.
    pub fn point(&self, [x, y]: [f64; 2]) {
        self.pointer(
            "mouse",
            &[json!({"type": "pointerMove", "duration": 0, "x": x.round(), "y": y.round()})],
        );
    }

    /// Touches a place in the window with a finger, and lifts it.
    pub fn tap(&self, [x, y]: [f64; 2]) {
        let to = json!({"type": "pointerMove", "duration": 0, "x": x.round(), "y": y.round()});
        self.pointer("touch", &[to, json!({"type": "pointerDown"}), json!({"type": "pointerUp"})]);
    }

    /// Clicks on the middle of the first element that a selector finds.
    pub fn click(&self, selector: &str) {
        let selector = json!(selector);
        let find = format!(
            "(() => {{ const e = document.querySelector({selector}); e.scrollIntoView({{block: 'center'}});
               const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
        );
        self.point(place(&self.value(&find)));
        let click = ["pointerDown", "pointerUp"].map(|kind| json!({"type": kind, "button": 0}));
        self.pointer("mouse", &click);
    }

    fn pointer(&self, kind: &str, actions: &[Value]) {
        let pointer =
            json!({"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": actions});
        self.post("/actions", &json!({"actions": [pointer]}));
    }

    /// Presses a key and lets it go.
    pub fn press(&self, key: &str) {
        let actions = ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key}));
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser with the session, then it is ended itself.
        let delete = self.agent.delete(&self.session).config().timeout_global(Some(Duration::from_secs(20)));
        let _ = delete.build().call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn port(said: &mut impl BufRead) -> Option<u16> {
    said.lines().map_while(Result::ok).find_map(|line| {
        let (_, after) = line.split_once("on port ")?;
        after.trim_end_matches('.').parse().ok().filter(|port| *port != 0)
    })
}

/// A pair of numbers.
pub fn place(value: &Value) -> [f64; 2] {
    [0, 1].map(|i| value[i].as_f64().unwrap_or_else(|| panic!("no place: {value}")))
}
