//! Compiles `program` for the target, without a standard library, as one static file.

use std::{env, ffi::OsString, fs, path::PathBuf, process::Command};

/// Architectures that `program/sys.rs` knows the system calls of.
const KNOWN: [&str; 2] = ["x86_64", "aarch64"];

fn main() {
    println!("cargo::rerun-if-changed=program");
    let variable = |name: &str| env::var_os(name).unwrap_or_default();
    let output = PathBuf::from(variable("OUT_DIR")).join("docker-init");
    let is_known = KNOWN.iter().any(|known| variable("CARGO_CFG_TARGET_ARCH") == *known);
    if !is_known || variable("CARGO_CFG_TARGET_OS") != "linux" {
        fs::write(output, "").expect("the output directory can be written");
        return;
    }
    let mut compiler = Command::new(variable("RUSTC"));
    compiler.args(["--edition=2024", "--crate-type=bin", "--crate-name=docker_init"]);
    compiler.arg("program/main.rs").arg("-o").arg(&output);
    compiler.arg("--target").arg(variable("TARGET"));
    for option in [
        "panic=abort",
        "opt-level=s",
        "relocation-model=static",
        "strip=symbols",
        "link-arg=-nostdlib",
        "link-arg=-nostartfiles",
        "link-arg=-static",
        "link-arg=-Wl,--build-id=none",
    ] {
        compiler.arg("-C").arg(option);
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = OsString::from("linker=");
        option.push(linker);
        compiler.arg("-C").arg(option);
    }
    let status = compiler.status().expect("the compiler can be started");
    assert!(status.success(), "docker-init does not compile: {status}");
}
