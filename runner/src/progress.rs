//! Progress: for people bars on a terminal and plain lines elsewhere, for scripts JSON.

mod events;

pub use events::Event;

use crate::memory;
use crate::probe::{self, When};
use crate::record::{Metrics, ProbeRow, StageInfo};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, WeakProgressBar};
use std::io::{IsTerminal, Write, stderr};
use std::sync::Mutex;
use std::time::Instant;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bars if standard error is a terminal, else a line a probe.
    Shown,
    /// Nothing.
    Quiet,
    /// An [`Event`] a line on standard output.
    Json,
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
        match self {
            Self::Shown => line(text),
            Self::Json => events::emit(&Event::Note { text }),
            Self::Quiet => {}
        }
    }

    /// Something for scripts alone.
    pub fn tell(self, event: &Event) {
        if self == Self::Json {
            events::emit(event);
        }
    }

    /// A line for people, an event for scripts.
    pub fn say_or_tell(self, text: &str, event: &Event) {
        match self {
            Self::Json => events::emit(event),
            _ => self.say(text),
        }
    }

    /// A line on something that went wrong and was got over: shown in any case.
    pub fn warn(self, text: &str) {
        line(&format!("warning: {text}"));
        self.tell(&Event::Warning { text });
    }

    /// A bar for the steps of a stage with so many examples, of which `step` are done.
    pub fn stage(self, info: &StageInfo, step: usize, examples: usize) -> StageBar {
        let StageInfo { name, objective, summary, steps, .. } = info;
        self.tell(&Event::Stage { stage: name, objective, summary, step, steps: *steps, examples });
        StageBar {
            name: name.clone(),
            bar: self.bar(name, "{prefix:10} {bar:30} {pos:>5}/{len:5} {per_sec:>9} eta {eta:4} {msg}"),
            progress: self,
            last: String::new(),
            since: Instant::now(),
            from: step,
        }
    }

    /// A bar for the bytes of a file, of which `there` are there.
    pub fn download(self, name: &str, bytes: Option<u64>, there: u64) -> DownloadBar {
        if self.is_lines() {
            let size = bytes.map(|bytes| format!(" ({})", memory::text(bytes))).unwrap_or_default();
            let there = if there > 0 { format!(", from {} on", memory::text(there)) } else { String::new() };
            line(&format!("downloading {name}{size}{there}"));
        }
        self.tell(&Event::Download { file: name, bytes, there });
        let template = "{prefix} {bar:30} {binary_bytes:>10}/{binary_total_bytes:10} {binary_bytes_per_sec:>12} eta {eta:4}";
        let bar = self.bar(name, template);
        bar.set_length(bytes.unwrap_or_default());
        bar.set_position(there);
        bar.reset_eta();
        DownloadBar { progress: self, bar }
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
pub struct DownloadBar {
    progress: Progress,
    bar: ProgressBar,
}

impl DownloadBar {
    /// So many bytes more.
    pub fn add(&self, bytes: usize) {
        self.bar.inc(bytes as u64);
    }

    /// It begins again.
    pub fn restart(&self) {
        self.bar.set_position(0);
    }

    /// All bytes are there.
    pub fn finish(&self) {
        on_terminal(None);
        self.bar.finish();
        self.progress.tell(&Event::Downloaded { file: &self.bar.prefix() });
    }
}

/// Progress of one stage.
pub struct StageBar {
    name: String,
    bar: ProgressBar,
    progress: Progress,
    last: String,
    /// When the step `from` was the last.
    since: Instant,
    from: usize,
}

impl StageBar {
    /// An optimiser step was made.
    pub fn stepped(&mut self, metrics: &Metrics, steps: usize) {
        self.bar.set_length(steps as u64);
        let steps_per_second = (metrics.step - self.from) as f64 / self.since.elapsed().as_secs_f64();
        let eta_seconds = (steps - metrics.step) as f64 / steps_per_second;
        self.progress.tell(&Event::Step { metrics, steps, steps_per_second, eta_seconds });
        let margin = metrics.rewards_margins.map_or(String::new(), |m| format!(" margin {m:.3}"));
        let message = format!("loss {:.3}{margin}{}", metrics.loss, self.last);
        self.bar.set_message(message);
        self.bar.set_position(metrics.step as u64);
    }

    /// A probe was taken in so many seconds; with the monitor's squeeze index, where there is one.
    pub fn probed(&mut self, when: &When, rows: &[ProbeRow], squeeze: Option<f64>, seconds: f64) {
        if when.step == self.from {
            self.since = Instant::now();
        }
        self.progress.tell(&Event::Probe {
            stage: &when.stage,
            step: when.step,
            examples_seen: when.examples_seen,
            rows: rows.len(),
            logp: probe::mean_logps(rows),
            squeeze_index: squeeze,
            seconds,
        });
        let mean = |kind| probe::mean_logp(rows, kind).map(|v| format!(" {kind} {v:.1}")).unwrap_or_default();
        let squeeze = squeeze.map(|index| format!(", squeeze {index:+.3}")).unwrap_or_default();
        self.last = format!(" | log π{}{}{squeeze}", mean("chosen"), mean("rejected"));
        if self.progress.is_lines() {
            line(&format!("{}: {} examples{}", self.name, when.examples_seen, self.last));
        }
    }

    /// The stage is over.
    pub fn finish(&self) {
        on_terminal(None);
        self.bar.finish();
    }
}
