//! What commands that were killed left, put in order by the ones that everybody types.

use std::{fs, path::PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use varve_testkit::namespace::alone;

use crate::{
    guest::{guest, run},
    sandbox::Sandbox,
};

/// Makes what `create` has made when it is killed before it writes the record.
fn half_made(sandbox: &Sandbox, digit: char) -> [PathBuf; 2] {
    let store = sandbox.path("../store/varve");
    let id = digit.to_string().repeat(64);
    let (directory, name) =
        (store.join("containers").join(&id), store.join("names").join(format!("half-{digit}")));
    fs::create_dir_all(directory.join("upper")).expect("a directory");
    fs::create_dir_all(store.join("names")).expect("a directory");
    fs::write(&name, format!("{id}\n")).expect("a file");
    [directory, name]
}

#[test]
fn what_create_left_half_made_is_taken_away_by_ps_run_and_rm() {
    alone("cut_off::what_create_left_half_made_is_taken_away_by_ps_run_and_rm", || {
        let Some(sandbox) = guest() else { return };
        let lines: [&[&str]; 4] = [
            &["ps"],
            &["run", "--rm", "--network", "none", "guest:1", "true"],
            &["create", "--name", "other", "guest:1", "true"],
            &["rm", "other"],
        ];
        for (line, digit) in lines.iter().zip('a'..) {
            let left = half_made(&sandbox, digit);
            let ran = sandbox.run(line);
            assert_eq!(ran.code, 0, "{ran:?}");
            for path in left {
                assert!(!path.exists(), "{line:?}: {}", path.display());
            }
        }
    });
}

#[test]
fn container_that_goes_with_its_end_goes_although_its_restart_was_killed() {
    alone("cut_off::container_that_goes_with_its_end_goes_although_its_restart_was_killed", || {
        let Some(sandbox) = guest() else { return };
        let script =
            "trap 'echo asked; sleep 1; exit 0' TERM; echo ready; while :; do sleep 1; done";
        let flags = ["-d", "--rm", "--name", "box", "-v", "/anonymous"];
        let ran = run(&sandbox, &flags, &["sh", "-c", script]).output().expect("varve ends");
        assert!(ran.status.success(), "{ran:?}");
        let logs = || sandbox.run(&["logs", "box"]).stdout;
        while logs() != "ready\n" {}
        let mut restart = sandbox.command(&["restart", "box"]).spawn().expect("varve starts");
        let pid = Pid::from_child(&restart);
        while !logs().contains("asked") {}
        // It sleeps between the end of the container and its start.
        kill_process(pid, Signal::STOP).expect("a process");
        let state = || sandbox.run(&["inspect", "-f", "{{.State.Status}}", "box"]);
        while state().stdout == "running\n" {}
        // As long as it is there, the container is its own.
        assert_eq!(sandbox.run(&["ps", "-aq"]).stdout.lines().count(), 1);
        kill_process(pid, Signal::KILL).expect("a process");
        restart.wait().expect("a process");
        // Its monitor may still be at the end of it.
        while !sandbox.run(&["ps", "-aq"]).stdout.is_empty() {}
        assert_eq!(sandbox.run(&["volume", "ls", "-q"]).stdout, "");
    });
}
