//! What the program was built from and runs on, as far as numbers or speed depend on it.

use serde::{Deserialize, Serialize};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Build and machine, as `ldyn env` prints them and a run's manifest keeps them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// Features that it was built with.
    pub features: Vec<String>,
    /// The compiler.
    pub rustc: String,
    /// What it was built for, such as `x86_64-unknown-linux-gnu`.
    pub target: String,
    /// Whether it was built with debug assertions: slow.
    pub debug: bool,
    /// Operating system and kernel.
    pub os: String,
    /// The processor's name; blank where the system does not say.
    pub cpu: String,
    /// Logical cores that it may use.
    pub cores: usize,
    /// Vector instructions that the processor has.
    pub cpu_features: Vec<String>,
    /// The set of them that the program's own loops use.
    pub simd: String,
    /// The machine's main memory in bytes.
    pub memory: u64,
}

impl Environment {
    /// Of this program on this machine.
    ///
    /// ```
    /// let here = ldyn::environment::Environment::here();
    /// assert!(here.rustc.starts_with("rustc ") && here.cores > 0);
    /// ```
    pub fn here() -> Self {
        let kinds = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
        let system = System::new_with_specifics(kinds.with_memory(MemoryRefreshKind::nothing().with_ram()));
        let os = [System::long_os_version(), System::kernel_version()];
        let cpu = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned());
        Self {
            features: if cfg!(feature = "cuda") { vec!["cuda".into()] } else { Vec::new() },
            rustc: env!("LDYN_RUSTC").into(),
            target: env!("LDYN_TARGET").into(),
            debug: cfg!(debug_assertions),
            os: os.into_iter().flatten().collect::<Vec<_>>().join(", "),
            cpu: cpu.unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu_features: cpu_features().into_iter().map(str::to_owned).collect(),
            simd: simd(),
            memory: system.total_memory(),
        }
    }
}

/// Vector instructions that the processor has.
fn cpu_features() -> Vec<&'static str> {
    macro_rules! found {
        ($detected:ident: $($name:tt)*) => { [$(($name, std::arch::$detected!($name))),*] };
    }
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let known = found!(is_x86_feature_detected:
        "sse4.2" "avx" "avx2" "fma" "f16c" "avx512f" "avx512bw" "avx512vl" "avx512dq" "avx512bf16" "avx512fp16");
    #[cfg(target_arch = "aarch64")]
    let known = found!(is_aarch64_feature_detected: "neon" "fp16" "bf16" "dotprod" "i8mm" "sve");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    let known = [("", false)];
    known.into_iter().filter(|(_, detected)| *detected).map(|(name, _)| name).collect()
}

/// The name of the instruction set that `pulp` has chosen, such as `V3`.
fn simd() -> String {
    let text = format!("{:?}", pulp::Arch::new());
    text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}
