//! The program by itself: what it starts, passes on and ends with.

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// The program as a file, and the directory that goes with it.
fn program() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("docker-init");
    fs::write(&path, varve_init::PROGRAM).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    (directory, path)
}

#[track_caller]
fn run(arguments: &[&str]) -> Output {
    let (_directory, path) = program();
    Command::new(path).arg("--").args(arguments).output().unwrap()
}

#[track_caller]
fn check(arguments: &[&str], code: i32, stdout: &str, stderr: &str) {
    let output = run(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&output.stderr), stderr);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(code), stdout));
}

#[test]
fn a_command_is_found_run_and_its_code_handed_on() {
    check(&["echo", "a b", ""], 0, "a b \n", "");
    check(&["/bin/sh", "-c", "exit 7"], 7, "", "");
    check(&["sh", "-c", "kill -KILL $$"], 137, "", "");
    check(&["sh", "-c", "echo $VARIABLE; kill -TERM $$"], 143, "\n", "");
}

#[test]
fn what_cannot_be_run_is_told_with_dockers_codes() {
    let missing = "[FATAL docker-init] exec nosuchcmd failed: No such file or directory\n";
    check(&["nosuchcmd"], 127, "", missing);
    let denied = "[FATAL docker-init] exec /etc/passwd failed: Permission denied\n";
    check(&["/etc/passwd"], 126, "", denied);
    check(&[], 127, "", "");
}

#[test]
fn signals_reach_the_command_and_stop_nothing_else() {
    let (_directory, path) = program();
    let script = "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.05; done";
    let mut child =
        Command::new(path).args(["--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let sent = Command::new("kill").args(["-USR1", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(lines.next().unwrap().unwrap(), "got");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

/// As first process of a namespace it inherits what nobody waits for; none of it may stay.
#[test]
fn orphans_are_reaped() {
    if !varve_testkit::guard::root() || !varve_testkit::guard::mount_namespace() {
        return;
    }
    let (_directory, path) = program();
    let script = "for i in 1 2 3; do (sleep 0 & exec sleep 0.01) & done; wait; sleep 0.3; \
                  cat /proc/[0-9]*/stat | grep -c ') Z ' ";
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(path)
        .args(["--", "sh", "-c", script])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{stderr}");
}
