//! Machines whose control groups are of one version only, in a mount namespace that shows them so.

use std::{path::Path, process::Command};

use varve_testkit::{guard, namespace::alone};

use crate::{guest::guest, sandbox::Sandbox};

const UNIFIED: &str = "umount -R -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup";
const OLD: &str = "umount -l /sys/fs/cgroup/unified 2>/dev/null || \
                   ! grep -q ' - cgroup2 ' /proc/self/mountinfo";

fn remount(script: &str) {
    let done = Command::new("sh").args(["-c", script]).status().expect("sh starts");
    assert!(done.success(), "{script}");
}

#[track_caller]
fn succeed(sandbox: &Sandbox, line: &[&str]) -> String {
    let ran = sandbox.run(line);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{line:?}");
    ran.stdout
}

/// Lets a container live through what needs its groups: freezing, its processes, device rules.
#[track_caller]
fn lives(sandbox: &Sandbox) -> String {
    let run = ["run", "-d", "--name", "box", "--network", "none", "guest:1", "sleep", "1000"];
    let id = succeed(sandbox, &run).trim().to_owned();
    let status = || succeed(sandbox, &["inspect", "-f", "{{.State.Status}}", "box"]);
    succeed(sandbox, &["pause", "box"]);
    assert_eq!(status(), "paused\n");
    succeed(sandbox, &["unpause", "box"]);
    assert_eq!(status(), "running\n");
    assert!(succeed(sandbox, &["top", "box"]).contains("sleep 1000"));
    assert!(succeed(sandbox, &["stats", "--no-stream", "box"]).contains("box"));
    // The kernel's log is a device that no rule allows; zeros are one that has a rule.
    let devices = "busybox mknod /tmp/log c 1 11; busybox mknod /tmp/zero c 1 5; \
                   head -c 1 /tmp/log 2>/dev/null && echo read; head -c 1 /tmp/zero | busybox wc -c";
    assert_eq!(succeed(sandbox, &["exec", "box", "sh", "-c", devices]), "1\n");
    id
}

#[test]
fn containers_live_on_a_machine_with_version_2_alone() {
    alone("control_groups::containers_live_on_a_machine_with_version_2_alone", || {
        let Some(sandbox) = guest() else { return };
        remount(UNIFIED);
        let id = lives(&sandbox);
        let group = Path::new("/sys/fs/cgroup/varve").join(&id);
        assert!(group.is_dir());
        let shown = succeed(&sandbox, &["exec", "box", "grep", " cgroup", "/proc/mounts"]);
        assert!(shown.contains(" /sys/fs/cgroup cgroup2 ro,"), "{shown}");
        assert_eq!(shown.lines().count(), 1, "{shown}");
        succeed(&sandbox, &["kill", "box"]);
        succeed(&sandbox, &["rm", "box"]);
        assert!(!group.exists());
    });
}

#[test]
fn containers_live_on_a_machine_with_version_1_alone() {
    alone("control_groups::containers_live_on_a_machine_with_version_1_alone", || {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        if !guard::found("cgroup-v1", mounts.contains(" - cgroup cgroup ")) {
            return;
        }
        let Some(sandbox) = guest() else { return };
        remount(OLD);
        let id = lives(&sandbox);
        let groups = succeed(&sandbox, &["exec", "box", "cat", "/proc/self/cgroup"]);
        let own = groups.lines().filter(|line| line.ends_with(&format!(":/varve/{id}"))).count();
        let hierarchies = mounts.matches(" - cgroup cgroup ").count();
        assert_eq!(own, hierarchies, "{groups}");
        succeed(&sandbox, &["rm", "-f", "box"]);
    });
}
