//! The machine's memory: what is free, and the most that this process has used.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Bytes that this process may still take: what the machine has left, and its control group where that is
/// less. `None` where the system does not say.
pub fn available() -> Option<u64> {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory);
    let machine = Some(system.available_memory()).filter(|&bytes| bytes > 0)?;
    Some(system.cgroup_limits().map_or(machine, |group| machine.min(group.free_memory)))
}

/// The most bytes that this process has had in memory at once. `None` elsewhere than on Linux.
pub fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// Bytes in words, such as `1.5 GiB`.
///
/// ```
/// assert_eq!(ldyn::memory::text(3 << 29), "1.5 GiB");
/// assert_eq!(ldyn::memory::text(5 << 20), "5.0 MiB");
/// assert_eq!(ldyn::memory::text(535), "0.5 KiB");
/// ```
pub fn text(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 0.1 {
        return format!("{:.1} KiB", bytes as f64 / 1024.0);
    }
    if mib < 1000.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_shows_in_the_peak() {
        let before = peak().unwrap();
        let buffer = vec![1u8; (before as usize).max(64 << 20)];
        assert!(peak().unwrap() >= buffer.len() as u64);
        assert!(available().unwrap() > 1 << 20);
    }
}
