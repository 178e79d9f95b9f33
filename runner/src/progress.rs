//! Progress for people: bars on a terminal, plain lines elsewhere.

use crate::memory;
use crate::probe;
use crate::record::{Metrics, ProbeRow};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, WeakProgressBar};
use std::io::{IsTerminal, Write, stderr};
use std::sync::Mutex;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bars if standard error is a terminal, else a line a probe.
    Shown,
    /// Nothing.
    Quiet,
}

/// The bar that is on the terminal.
static BAR: Mutex<Option<WeakProgressBar>> = Mutex::new(None);

/// Writes whole lines to standard error, above the bar if there is one. Nobody may be there to read them: that is no
/// reason to end what they are about.
pub fn write(lines: &[u8]) {
    let write = || drop(stderr().lock().write_all(lines));
    let bar = BAR.lock().ok().and_then(|bar| bar.as_ref()?.upgrade());
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

fn line(text: &str) {
    write(format!("{text}\n").as_bytes());
}

impl Progress {
    /// A line of information.
    pub fn say(self, text: &str) {
        if self == Self::Shown {
            line(text);
        }
    }

    /// A line on something that went wrong and was got over: shown in any case.
    pub fn warn(self, text: &str) {
        line(&format!("warning: {text}"));
    }

    /// A bar for the steps of a stage.
    pub fn stage(self, name: &str) -> StageBar {
        StageBar {
            name: name.to_owned(),
            bar: self.bar(name, "{prefix:10} {bar:30} {pos:>5}/{len:5} {per_sec:>9} eta {eta:4} {msg}"),
            lines: self.is_lines(),
            last: String::new(),
            seen: 0,
        }
    }

    /// A bar for the bytes of a file, of which `there` are there.
    pub fn download(self, name: &str, bytes: Option<u64>, there: u64) -> DownloadBar {
        if self.is_lines() {
            let size = bytes.map(|bytes| format!(" ({})", memory::text(bytes))).unwrap_or_default();
            let there = if there > 0 { format!(", from {} on", memory::text(there)) } else { String::new() };
            line(&format!("downloading {name}{size}{there}"));
        }
        let template = "{prefix} {bar:30} {binary_bytes:>10}/{binary_total_bytes:10} {binary_bytes_per_sec:>12} eta {eta:4}";
        let bar = self.bar(name, template);
        bar.set_length(bytes.unwrap_or_default());
        bar.set_position(there);
        bar.reset_eta();
        DownloadBar(bar)
    }

    /// Whether lines are shown instead of bars.
    fn is_lines(self) -> bool {
        self == Self::Shown && !std::io::stderr().is_terminal()
    }

    fn bar(self, name: &str, template: &str) -> ProgressBar {
        let bar = match self {
            Self::Shown if !self.is_lines() => {
                let bar = ProgressBar::new(0);
                on_terminal(Some(&bar));
                bar
            }
            _ => ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()),
        };
        bar.set_style(ProgressStyle::with_template(template).expect("a template that parses"));
        bar.set_prefix(name.to_owned());
        bar
    }
}

/// Remembers the bar that is on the terminal; a finished one stays where it is.
fn on_terminal(bar: Option<&ProgressBar>) {
    if let Ok(mut shown) = BAR.lock() {
        *shown = bar.map(ProgressBar::downgrade);
    }
}

/// Progress of a download.
pub struct DownloadBar(ProgressBar);

impl DownloadBar {
    /// So many bytes more.
    pub fn add(&self, bytes: usize) {
        self.0.inc(bytes as u64);
    }

    /// It begins again.
    pub fn restart(&self) {
        self.0.set_position(0);
    }

    /// All bytes are there.
    pub fn finish(&self) {
        on_terminal(None);
        self.0.finish();
    }
}

/// Progress of one stage.
pub struct StageBar {
    name: String,
    bar: ProgressBar,
    lines: bool,
    last: String,
    seen: usize,
}

impl StageBar {
    /// An optimiser step was made.
    pub fn stepped(&mut self, metrics: &Metrics, steps: usize) {
        self.bar.set_length(steps as u64);
        self.seen = metrics.examples_seen;
        let margin = metrics.rewards_margins.map_or(String::new(), |m| format!(" margin {m:.3}"));
        let message = format!("loss {:.3}{margin}{}", metrics.loss, self.last);
        self.bar.set_message(message);
        self.bar.set_position(metrics.step as u64);
    }

    /// A probe was taken; with the monitor's squeeze index, where there is one.
    pub fn probed(&mut self, rows: &[ProbeRow], squeeze: Option<f64>) {
        let mean = |kind| probe::mean_logp(rows, kind).map(|v| format!(" {kind} {v:.1}")).unwrap_or_default();
        let squeeze = squeeze.map(|index| format!(", squeeze {index:+.3}")).unwrap_or_default();
        self.last = format!(" | log π{}{}{squeeze}", mean("chosen"), mean("rejected"));
        if self.lines {
            line(&format!("{}: {} examples{}", self.name, self.seen, self.last));
        }
    }

    /// The stage is over.
    pub fn finish(&self) {
        on_terminal(None);
        self.bar.finish();
    }
}
