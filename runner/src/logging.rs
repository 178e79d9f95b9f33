//! Events on standard error, as `-v` or `RUST_LOG` ask for them.

use ldyn::progress;
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use tracing::level_filters::LevelFilter;
use tracing_log::{AsLog, LogTracer};
use tracing_subscriber::EnvFilter;

/// The variable with a filter.
const VARIABLE: &str = "RUST_LOG";

/// Where a record of `log` begins that is shown of no library: `ureq_proto` repeats, at `trace`, every byte that it
/// sends, the header with the token among them.
const SILENT: &str = "ureq_proto";

/// Shows events from here on, if the environment or `verbose` times `-v` ask for it.
pub fn start(verbose: u8) {
    let filter = filter(env::var_os(VARIABLE), verbose).unwrap_or_else(|warning| {
        progress::Progress::Shown.warn(&warning);
        of_flags(verbose)
    });
    let Some(filter) = filter else { return };
    // Below `debug` are bytes of connections and addresses with their signatures.
    let most = filter.max_level_hint().unwrap_or(LevelFilter::DEBUG).min(LevelFilter::DEBUG);
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Lines).finish();
    // Both can be set once, and nobody else does.
    tracing::subscriber::set_global_default(subscriber).expect("set here alone");
    let records = LogTracer::builder().with_max_level(most.as_log()).ignore_crate(SILENT);
    records.init().expect("set here alone");
}

/// What to show; `Err` says why the variable's filter cannot be used.
fn filter(variable: Option<OsString>, verbose: u8) -> Result<Option<EnvFilter>, String> {
    let Some(value) = variable.filter(|value| !value.is_empty()) else { return Ok(of_flags(verbose)) };
    let text = value.to_string_lossy();
    let parsed = match value.to_str() {
        Some(text) => EnvFilter::builder().parse(text).map_err(|e| e.to_string()),
        None => Err("it is no UTF-8".to_owned()),
    };
    parsed.map(Some).map_err(|why| {
        format!(
            "{VARIABLE}={text:?} is no filter and not looked at ({why}): expected `LEVEL` or `PLACE=LEVEL`, with commas between \
             them, such as `ldyn=debug`; a level is error, warn, info, debug, trace or off"
        )
    })
}

fn of_flags(verbose: u8) -> Option<EnvFilter> {
    let level = match verbose {
        0 => return None,
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    Some(EnvFilter::new(format!("warn,ldyn={level}")))
}

/// Standard error, a whole line at a time and above the bars.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        progress::write(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variable: &str, verbose: u8) -> Result<Option<LevelFilter>, String> {
        let filter = filter(Some(variable.into()), verbose)?;
        Ok(filter.map(|filter| filter.max_level_hint().unwrap()))
    }

    #[test]
    fn the_variable_wins_over_the_flags() {
        assert_eq!(found("", 0), Ok(None));
        assert_eq!(found("", 1), Ok(Some(LevelFilter::INFO)));
        assert_eq!(found("", 2), Ok(Some(LevelFilter::DEBUG)));
        assert_eq!(found("", 9), Ok(Some(LevelFilter::TRACE)));
        assert_eq!(found("ldyn=trace", 0), Ok(Some(LevelFilter::TRACE)));
        assert_eq!(found("error", 3), Ok(Some(LevelFilter::ERROR)));
        assert_eq!(found("off", 3), Ok(Some(LevelFilter::OFF)));
        assert!(filter(None, 0).unwrap().is_none());
    }

    #[test]
    fn a_filter_that_is_none_is_told() {
        for broken in ["ldyn=loud", "=", "a=b=c", "[", "[{x=(}]=info", "ldyn=debug,,x=y"] {
            let message = found(broken, 1).unwrap_err();
            assert!(message.contains(&format!("{broken:?}")) && message.contains("ldyn=debug"), "{message}");
        }
    }
}
