use crate::value::{self, OpReport};
use anyhow::{Result, bail};

/// Check every differentiable operation against finite differences on this machine.
///
/// Example: ldyn selftest
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: &Args) -> Result<()> {
    let reports = value::self_test()?;
    for report in &reports {
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
    out!("{} checks: gradients and tangents agree with finite differences", reports.len());
    Ok(())
}
