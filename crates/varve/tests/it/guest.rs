//! An image to run: the machine's busybox, which must need no other file.

use std::{os::unix::fs::symlink, process::Command};

use varve_testkit::guard;

use crate::sandbox::Sandbox;

const APPLETS: [&str; 14] = [
    "cat", "echo", "grep", "head", "id", "kill", "ls", "pwd", "sh", "sleep", "stty", "touch",
    "true", "tty",
];

/// A sandbox with the image `guest:1`; `None` where the test must be skipped.
pub(crate) fn guest() -> Option<Sandbox> {
    let busybox = guard::tool("busybox")?;
    let tar = guard::tool("tar")?;
    let sandbox = Sandbox::below(env!("CARGO_TARGET_TMPDIR"));
    let root = sandbox.path("rootfs");
    for directory in ["bin", "etc", "tmp"] {
        std::fs::create_dir_all(root.join(directory)).expect("a directory");
    }
    std::fs::copy(busybox, root.join("bin/busybox")).expect("a copy");
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).expect("a link");
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").expect("a file");
    let packed = Command::new(tar).arg("-C").arg(&root).args(["-cf", "-", "."]).output();
    let ran = sandbox.run_with(&["import", "-", "guest:1"], &packed.expect("a tar").stdout);
    assert_eq!(ran.code, 0, "{ran:?}");
    Some(sandbox)
}

/// `run` of that image, with a network of its own: the machine's is not the test's.
pub(crate) fn run(sandbox: &Sandbox, flags: &[&str], command: &[&str]) -> Command {
    let line: Vec<&str> = [&["run", "--network", "none"], flags, &["guest:1"], command].concat();
    sandbox.command(&line)
}
