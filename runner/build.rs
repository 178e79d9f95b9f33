//! Tells the program which compiler built it, and for what.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(compiler).arg("--version").output();
    let version = said.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    println!("cargo::rustc-env=LDYN_RUSTC={}", version.trim());
    println!("cargo::rustc-env=LDYN_TARGET={}", env::var("TARGET").unwrap_or_default());
}
