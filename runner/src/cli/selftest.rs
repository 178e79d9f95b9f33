use crate::device;
use crate::value::{self, OpReport};
use anyhow::{Result, bail};

/// Check every differentiable operation against finite differences on this machine.
///
/// Example: ldyn selftest
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `cpu`, `cuda` or `cuda:N`.
    #[arg(long, default_value = "cpu")]
    device: String,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let reports = value::self_test_on(&device::open(&args.device)?)?;
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
