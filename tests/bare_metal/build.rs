//! How the program is linked: without libc on Linux, by the board's memory map on bare metal.

fn main() {
    let arguments: &[&str] = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux") => &["-nostdlib", "-nostartfiles", "-static", "-no-pie"],
        _ => &["-Tlink.x"],
    };
    for argument in arguments {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rustc-link-search={}", std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    println!("cargo:rerun-if-changed=memory.x");
}
