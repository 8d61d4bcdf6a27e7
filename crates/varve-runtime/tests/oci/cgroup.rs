//! Limits, what is counted, and a machine that has none of it.

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use varve_runtime::{
    cgroup::{Cgroup, Machine},
    oci::{Reach, Resources},
};
use varve_testkit::{guard, namespace::alone};

use crate::world::{Kind, World, for_each_runtime, nothing, wait};

for_each_runtime! {
    fn limits_are_in_force_and_counted(world) {
        world.configure(|config| {
            let busy = "while :; do :; done";
            config["process"]["args"] = json!(["/bin/sh", "-c", busy]);
            config["linux"]["resources"] = json!({
                "memory": {"limit": 64 << 20}, "pids": {"limit": 20},
                "cpu": {"quota": 50_000, "period": 100_000},
                "devices": [{"allow": false, "access": "rwm"}]});
        });
        let created = world.runtime.create(&world.id, &world.bundle, nothing()).unwrap();
        world.runtime.start(&world.id).unwrap();
        assert_eq!(created.unenforced, []);
        let counted = || world.runtime.stats(&world.id).unwrap();
        while counted().cpu.total == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let stats = counted();
        assert_eq!(stats.memory.limit, Some(64 << 20));
        assert_eq!(stats.pids.limit, Some(20));
        assert!(stats.pids.current >= 1, "{stats:?}");
        let more: Resources = serde_json::from_value(json!({"pids": {"limit": 30}})).unwrap();
        assert_eq!(world.runtime.update(&world.id, &more).unwrap(), []);
        assert_eq!(world.runtime.stats(&world.id).unwrap().pids.limit, Some(30));
    }

    fn a_device_that_no_rule_allows_is_refused(world) {
        // The machine's memory: /dev/mem by its numbers, which may be made but not opened.
        let line = "mknod /tmp/mem c 1 1 && (cat < /tmp/mem) 2>&1 | head -c 200; echo; \
                    echo x > /dev/null && echo null";
        let output = world.shell(line).output;
        assert!(output.contains("Operation not permitted") && output.ends_with("null\n"), "{output}");
    }

    fn want_of_memory_is_seen(world) {
        world.configure(|config| {
            config["process"]["args"] = json!(["/bin/sh", "-c", "tail /dev/zero"]);
            config["linux"]["resources"] = json!({"memory": {"limit": 16 << 20}});
        });
        let created = world.runtime.create(&world.id, &world.bundle, nothing()).unwrap();
        assert_eq!(world.runtime.oom_kills(&world.id).unwrap(), 0);
        world.runtime.start(&world.id).unwrap();
        let (code, signal) = wait(created.pid);
        assert!(code == Some(137) || signal == Some(9), "{code:?} {signal:?}");
        assert!(world.runtime.oom_kills(&world.id).unwrap() > 0);
    }
}

#[test]
fn a_machine_without_control_groups_says_so_once() {
    let (group, unenforced) = Cgroup::create(&Machine::default(), "/varve-test/x").unwrap();
    assert!(group.is_empty());
    let texts: Vec<&str> = unenforced.iter().map(|one| one.why.as_str()).collect();
    assert_eq!(texts, ["no control groups are mounted"]);
    assert_eq!(group.pids().unwrap(), Vec::<i32>::new());
    group.delete().unwrap();
}

#[test]
fn a_path_that_leaves_the_hierarchies_is_refused() {
    for path in ["/../x", "/a//b", "", "/varve/.."] {
        assert!(Cgroup::create(&Machine::default(), path).is_err(), "{path:?}");
    }
}

/// Whoever was killed over writing a path has left an empty one. The group of that name is
/// the one of all processes of the machine, and what is found is killed.
#[test]
fn the_group_of_all_processes_is_never_found() {
    let machine = Machine::detect().unwrap();
    for path in ["", "/", "//", "/.", "/..", "/varve/..", "/varve-test/../.."] {
        assert!(Cgroup::find(&machine, path).is_empty(), "{path:?}");
    }
}

/// As on a machine that has nothing else: the first process is born there, and so is a later one.
#[test]
fn processes_are_in_their_group_of_version_2() {
    alone("cgroup::processes_are_in_their_group_of_version_2", || {
        if !guard::root() || !guard::path("/sys/fs/cgroup").is_some_and(|path| path.is_dir()) {
            return;
        }
        let done = |words: &[&str]| {
            let status = std::process::Command::new(words[0]).args(&words[1..]).status();
            assert!(status.unwrap().success(), "{words:?}");
        };
        done(&["umount", "--recursive", "--lazy", "/sys/fs/cgroup"]);
        done(&["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"]);
        let Some(mut world) = World::new(Kind::Embedded) else { return };
        // Whoever is born in a group that was killed once is killed by some kernels.
        let before = Path::new("/sys/fs/cgroup/varve-test").join(&world.id);
        std::fs::create_dir_all(&before).unwrap();
        let _ = std::fs::write(before.join("cgroup.kill"), "1");
        let first = world.start(&["/bin/sleep", "1000"]).pid;
        let group = |pid: &str| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
            text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned).unwrap()
        };
        let theirs = group(&first.to_string());
        assert!(theirs.contains(&world.id), "{theirs}");
        let process = serde_json::from_str(r#"{"args":["/bin/sleep","1000"],"cwd":"/"}"#).unwrap();
        let second = world.runtime.exec(&world.id, &process, nothing()).unwrap().pid;
        assert_eq!(group(&second.to_string()), theirs);
        assert_ne!(group("self"), theirs);
        let pids = world.runtime.pids(&world.id).unwrap();
        assert!(pids.contains(&first) && pids.contains(&second), "{pids:?}");
        world.runtime.kill(&world.id, Signal::KILL, Reach::Init).unwrap();
        wait(first);
        wait(second);
        world.end();
    });
}

/// The kernel takes the program of device rules and obeys it, on version 2 alone.
#[test]
fn device_rules_hold_on_version_2() {
    use varve_runtime::cgroup::{Hierarchy, Version};
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let place = table.lines().find(|line| line.contains(" - cgroup2 "));
    let place = place.and_then(|line| line.split(' ').nth(4));
    let Some(mount) = place.and_then(|place| guard::path(place)).filter(|_| guard::root()) else {
        return;
    };
    let hierarchy = Hierarchy {
        mount,
        version: Version::V2,
        controllers: Vec::new(),
        delegated: std::path::PathBuf::new(),
    };
    let machine = Machine { hierarchies: vec![hierarchy] };
    let path = format!("/varve-test/devices-{}", std::process::id());
    let (group, _) = Cgroup::create(&machine, &path).unwrap();
    let rules = json!({"devices": [{"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "w"}]});
    let resources: Resources = serde_json::from_value(rules).unwrap();
    assert_eq!(group.apply(&resources), []);
    let mut shell = std::process::Command::new("sh")
        .args([
            "-c",
            "read go; for d in /dev/null /dev/kmsg /dev/mem; do \
                      if (: < $d) 2>/dev/null; then echo $d yes; else echo $d no; fi; done",
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    group.add(shell.id() as i32).unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), b"go\n").unwrap();
    let output = shell.wait_with_output().unwrap();
    group.delete().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(shown, "/dev/null yes\n/dev/kmsg no\n/dev/mem no\n");
}
