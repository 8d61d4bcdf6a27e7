//! What a test needs and a machine may lack. A missing thing is said aloud; where `CI` is set it
//! fails the test unless `VARVE_TEST_MAY_LACK` lists it (names separated by commas).

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A program on the `PATH`; `None` when the test must be skipped.
#[track_caller]
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = env::split_paths(&path)
        .chain(sbin)
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        lacks(name);
    }
    found
}

/// Whether this process is root; nothing is skipped for it.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Whether this process is root, without whom the test is skipped.
#[track_caller]
pub fn root() -> bool {
    if !is_root() {
        lacks("root");
    }
    is_root()
}

/// Whether this process is *not* root, so that permissions mean something.
#[track_caller]
pub fn not_root() -> bool {
    if is_root() {
        lacks("not-root");
    }
    !is_root()
}

/// Whether a command may have a mount table of its own, by way of util-linux's `unshare`.
#[track_caller]
pub fn mount_namespace() -> bool {
    let mut command = std::process::Command::new("unshare");
    let output = command.args(["--map-root-user", "--mount", "true"]).output();
    let has = output.is_ok_and(|output| output.status.success());
    if !has {
        lacks("mount-namespace");
    }
    has
}

/// A file or directory that a test needs.
#[track_caller]
pub fn path(path: &str) -> Option<PathBuf> {
    let found = Path::new(path).exists().then(|| PathBuf::from(path));
    if found.is_none() {
        lacks(path);
    }
    found
}

/// Whether a file system may be mounted in a mount namespace of one's own.
#[track_caller]
pub fn mounts() -> bool {
    let may = Command::new("unshare")
        .args(["--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !may {
        lacks("mount");
    }
    may
}

/// What a test found out itself: whether the machine has `name`.
#[track_caller]
pub fn found(name: &str, found: bool) -> bool {
    if !found {
        lacks(name);
    }
    found
}

/// Whether network namespaces with interfaces and rules of their own can be made. The programs
/// `unshare` and `ip` come with every distribution.
#[track_caller]
pub fn network_namespace() -> bool {
    let may = Command::new("unshare")
        .args(["--net", "ip", "link", "add", "type", "veth"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !may {
        lacks("network-namespace");
    }
    may
}

#[track_caller]
fn lacks(name: &str) {
    let at = std::panic::Location::caller();
    // Straight to the terminal: the harness hides what a passing test prints.
    let _ = std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("SKIPPED {}:{}: this machine lacks {name}\n", at.file(), at.line()).as_bytes(),
    );
    // And for `cargo xtask test`, whose runner hides both streams of a passing test.
    if let Some(file) = env::var_os("VARVE_TEST_SKIPS") {
        let line = format!("{name}: this machine lacks it ({}:{})\n", at.file(), at.line());
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(file);
        let _ = opened.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()));
    }
    let listed = env::var("VARVE_TEST_MAY_LACK").unwrap_or_default();
    let allowed = listed.split(',').any(|allowed| allowed.trim() == name);
    let strict = env::var("CI").is_ok_and(|value| value == "true");
    assert!(allowed || !strict, "CI lacks {name}, and VARVE_TEST_MAY_LACK does not list it");
}
