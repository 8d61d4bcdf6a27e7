//! Tests that mount, each in a mount namespace of its own.

use std::{env, process::Command};

const INSIDE: &str = "VARVE_TEST_INSIDE";

/// Runs a test by itself: the test program again, as the first process of new mount and process
/// namespaces. What it mounts is seen by nobody else and is gone with it, whatever becomes of it.
/// `name` is the test's full name.
#[track_caller]
pub fn alone(name: &str, body: impl FnOnce()) {
    inside(name, &[], body);
}

/// The same in a network namespace too, whose loopback works: bridges and addresses are seen by
/// nobody else either.
#[track_caller]
pub fn alone_with_network(name: &str, body: impl FnOnce()) {
    let is_inside = env::var(INSIDE).is_ok_and(|inside| inside == name);
    if !is_inside && !crate::guard::network_namespace() {
        return;
    }
    inside(name, &["--net"], || {
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.is_ok_and(|status| status.success()), "the loopback does not come up");
        body();
    });
}

#[track_caller]
fn inside(name: &str, more: &[&str], body: impl FnOnce()) {
    if env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return body();
    }
    if !crate::guard::root() || !crate::guard::mounts() {
        return;
    }
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"])
        .arg("--mount-proc")
        .args(more)
        .arg(env::current_exe().expect("a program"))
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, name)
        .output()
        .expect("unshare starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
