//! What runs again when the machine was started.

use std::{fs, io, path::PathBuf, process::Command, thread, time::Duration};

use varve_testkit::namespace::alone;

use crate::{
    guest::{guest, run},
    sandbox::Sandbox,
};

/// A container that runs with a restart policy.
fn start(sandbox: &Sandbox, name: &str, policy: &str) {
    let flags = ["-d", "--name", name, "--restart", policy];
    let ran = run(sandbox, &flags, &["sleep", "1000"]).output().expect("varve ends");
    assert!(ran.status.success(), "{ran:?}");
}

/// Ends all processes at once, as a machine does that loses its power, and lets what the store says
/// be of a boot before this one.
fn lose_power(sandbox: &Sandbox) {
    let script = "for p in /proc/[0-9]*; do p=${p#/proc/}; \
                  [ $p != $$ ] && [ $p != $0 ] && [ $p != 1 ] && kill -9 $p; done; true";
    let me = std::process::id().to_string();
    let _ = Command::new("sh").args(["-c", script, &me]).status().expect("sh starts");
    let this_boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot");
    let containers = sandbox.path("../store/varve/containers");
    for container in fs::read_dir(containers).expect("containers") {
        let path = container.expect("an entry").path().join("state.json");
        // One that never ran has none.
        let Ok(state) = fs::read_to_string(&path) else { continue };
        let state = state.replace(this_boot.trim(), "of-another-boot");
        let mut state: serde_json::Value = serde_json::from_str(&state).expect("a state");
        // One without a sum is believed.
        state.as_object_mut().expect("an object").remove("sum");
        fs::write(&path, state.to_string()).expect("written");
    }
    remove_groups(sandbox);
}

/// What ends with a machine and here does not: the groups of its containers.
fn remove_groups(sandbox: &Sandbox) {
    let containers = fs::read_dir(sandbox.path("../store/varve/containers")).expect("containers");
    let ids: Vec<_> = containers.map(|entry| entry.expect("an entry").file_name()).collect();
    let top = PathBuf::from("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(&top).into_iter().flatten().flatten();
    for hierarchy in hierarchies.map(|entry| entry.path()).chain([top]) {
        for id in &ids {
            let group = hierarchy.join("varve").join(id);
            // The processes that were killed may take a moment.
            for _ in 0..1000 {
                match fs::remove_dir(&group) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        thread::sleep(Duration::from_millis(5));
                    }
                    _ => break,
                }
            }
        }
    }
}

fn states(sandbox: &Sandbox) -> Vec<String> {
    let ran = sandbox.run(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
    let mut lines: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn containers_run_again_after_a_boot_as_their_policies_say() {
    alone("boot::containers_run_again_after_a_boot_as_their_policies_say", || {
        let Some(sandbox) = guest() else { return };
        for name in ["always", "always-stopped", "unless", "unless-stopped", "failing", "none"] {
            let policy = match name.split('-').next() {
                Some("always") => "always",
                Some("unless") => "unless-stopped",
                Some("failing") => "on-failure",
                _ => "no",
            };
            start(&sandbox, name, policy);
        }
        let never_run = ["create", "--name", "new", "--restart", "always", "guest:1", "true"];
        assert_eq!(sandbox.run(&never_run).code, 0);
        let stopped = sandbox.run(&["stop", "-t", "0", "always-stopped", "unless-stopped"]);
        assert_eq!(stopped.code, 0, "{stopped:?}");
        lose_power(&sandbox);
        let code = sandbox.run(&["inspect", "-f", "{{.State.ExitCode}}", "always"]);
        assert_eq!(code.stdout, "255\n");

        let started = sandbox.run(&["system", "start"]);
        let expected = "always\nalways-stopped\nunless\n";
        assert_eq!((started.stdout.as_str(), started.stderr.as_str()), (expected, ""));
        let expected = [
            "always running",
            "always-stopped running",
            "failing exited",
            "new created",
            "none exited",
            "unless running",
            "unless-stopped exited",
        ];
        assert_eq!(states(&sandbox), expected);
        // A second one finds nothing to do.
        assert_eq!(sandbox.run(&["system", "start"]).stdout, "");
        sandbox.run(&["rm", "-f", "always", "always-stopped", "unless"]);
    });
}
