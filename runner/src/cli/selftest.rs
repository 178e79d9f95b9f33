use crate::device;
use crate::value::{self, OpReport};
use anyhow::{Result, bail};
use serde::Serialize;

/// Check every differentiable operation against finite differences on this machine.
///
/// Example: ldyn selftest
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `cpu`, `cuda` or `cuda:N`.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print JSON: a row a check.
    #[arg(long)]
    json: bool,
}

/// A check as JSON has it.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    report: &'a OpReport,
    passed: bool,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let reports = value::self_test_on(&device::open(&args.device)?)?;
    if args.json {
        let rows: Vec<Row> = reports.iter().map(|report| Row { report, passed: report.passed() }).collect();
        out!("{}", serde_json::to_string_pretty(&rows)?);
    }
    for report in reports.iter().filter(|_| !args.json) {
        let verdict = if report.passed() { "ok  " } else { "FAIL" };
        let OpReport { op, case, check, error, tolerance } = report;
        out!("{verdict} {op:12} {case:28} {check:34} {error:8.1e} (allowed {tolerance:.0e})");
    }
    let failed = reports.iter().filter(|r| !r.passed()).count();
    if failed > 0 {
        bail!(
            "{failed} of {} checks fail: gradients computed on this machine cannot be trusted",
            reports.len()
        )
    }
    if !args.json {
        out!("{} checks: gradients and tangents agree with finite differences", reports.len());
    }
    Ok(())
}
