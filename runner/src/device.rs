//! The only place that chooses a device and the number type that it computes in.

use anyhow::{Result, bail};
use candle_core::{DType, Device};
use tracing::debug;

/// Opens the device called `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// An unknown name, or `cuda` in a build without it or on a machine without a GPU.
pub fn open(name: &str) -> Result<Device> {
    debug!(name, "device");
    match name.split_once(':').unwrap_or((name, "0")) {
        ("cpu", "0") => Ok(Device::Cpu),
        ("cuda", ordinal) => {
            let Ok(ordinal) = ordinal.parse() else {
                bail!("device `{name}`: `{ordinal}` is not a number; write `cuda` or `cuda:0`")
            };
            Device::new_cuda(ordinal).map_err(|e| {
                anyhow::anyhow!(
                    "cannot open device `{name}`: {e}; build with `--features cuda` on a machine with an NVIDIA GPU, or use `cpu`"
                )
            })
        }
        _ => bail!("unknown device `{name}`: use `cpu`, `cuda` or `cuda:N`"),
    }
}

/// A GPU for a test. Where there is none this says so, and the test waits for a machine that has one.
#[cfg(all(test, feature = "cuda"))]
pub(crate) fn gpu() -> Option<Device> {
    let device = open("cuda");
    if let Err(error) = &device {
        println!("waiting: no GPU ({error:#})");
    }
    device.ok()
}

/// The number type called `name`.
///
/// # Errors
/// A type that training does not support.
pub fn dtype(name: &str) -> Result<DType> {
    match name {
        "f32" | "float32" => Ok(DType::F32),
        "f64" | "float64" => Ok(DType::F64),
        _ => bail!(
            "dtype = {name:?}: use \"f32\" or \"f64\" (weights stored in f16 or bf16 are converted on loading)"
        ),
    }
}
