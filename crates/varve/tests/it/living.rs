//! What is taken from a container that runs, and given to it, by the built program.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use varve_testkit::{guard, namespace::alone};

use crate::{
    guest::{guest, run},
    sandbox::Sandbox,
};

const MEBIBYTE: usize = 1 << 20;

/// A container called `box` that runs.
fn living(command: &[&str]) -> Option<Sandbox> {
    let sandbox = guest()?;
    let started = run(&sandbox, &["-d", "--name", "box"], command).output().expect("varve ends");
    assert!(started.status.success(), "{started:?}");
    Some(sandbox)
}

/// A container that writes a line to `/a`, then one to `/z`, without end. Between them lies what
/// takes a while to read.
fn busy() -> Option<Sandbox> {
    let line = "while :; do echo x >> /a; echo x >> /z; done";
    let sandbox = living(&["sh", "-c", line])?;
    fs::write(sandbox.path("m"), vec![b'm'; 32 * MEBIBYTE]).expect("a file");
    succeed(&sandbox, &["cp", "-q", "m", "box:/m"]);
    Some(sandbox)
}

#[track_caller]
fn succeed(sandbox: &Sandbox, line: &[&str]) -> String {
    let ran = sandbox.run(line);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{line:?}");
    ran.stdout
}

fn status(sandbox: &Sandbox) -> String {
    succeed(sandbox, &["inspect", "-f", "{{.State.Status}}", "box"])
}

/// How many lines of an image's `/a` have none in its `/z`.
fn torn(sandbox: &Sandbox, image: &str) -> i64 {
    let line = ["run", "--rm", "--network", "none", image, "grep", "-c", "x", "/a", "/z"];
    let counted = succeed(sandbox, &line);
    let mut counts = counted.lines().map(|line| {
        let (_, count) = line.split_once(':').expect("a path and a count");
        count.parse::<i64>().expect("a count")
    });
    let (a, z) = (counts.next().expect("that of /a"), counts.next().expect("that of /z"));
    a - z
}

#[test]
fn commit_pauses_a_container_that_runs_and_lets_it_go_on() {
    alone("living::commit_pauses_a_container_that_runs_and_lets_it_go_on", || {
        let Some(sandbox) = busy() else { return };
        for name in ["whole:1", "whole:2"] {
            succeed(&sandbox, &["commit", "box", name]);
            assert_eq!(status(&sandbox), "running\n");
            let torn = torn(&sandbox, name);
            assert!((0..=1).contains(&torn), "{torn} lines of one moment are missing");
        }
        // Who asks for no pause gets files of several moments, sooner or later.
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            succeed(&sandbox, &["commit", "-p=false", "box", "torn:1"]);
            if !(0..=1).contains(&torn(&sandbox, "torn:1")) {
                break;
            }
            assert!(Instant::now() < until, "it was paused all the same");
        }
        // One that somebody else paused stays so.
        succeed(&sandbox, &["pause", "box"]);
        succeed(&sandbox, &["commit", "box", "whole:3"]);
        assert_eq!(status(&sandbox), "paused\n");
        succeed(&sandbox, &["rm", "-f", "box"]);
    });
}

#[test]
fn commit_that_is_interrupted_or_killed_leaves_no_container_frozen() {
    alone("living::commit_that_is_interrupted_or_killed_leaves_no_container_frozen", || {
        let Some(sandbox) = busy() else { return };
        for signal in [rustix::process::Signal::INT, rustix::process::Signal::KILL] {
            let until = Instant::now() + Duration::from_mins(1);
            let mut was_paused = false;
            while !was_paused {
                assert!(Instant::now() < until, "it was never seen paused");
                let mut commit = sandbox.command(&["commit", "box", "app:1"]);
                let mut commit = commit.stdin(Stdio::null()).spawn().expect("varve starts");
                while !was_paused && commit.try_wait().expect("a process").is_none() {
                    was_paused = status(&sandbox) == "paused\n";
                }
                if was_paused {
                    let pid = rustix::process::Pid::from_child(&commit);
                    rustix::process::kill_process(pid, signal).expect("a process");
                }
                commit.wait().expect("a process");
                // The monitor hears of a death, and nobody waits for that.
                while signal == rustix::process::Signal::KILL && status(&sandbox) == "paused\n" {
                    assert!(Instant::now() < until, "it stays paused");
                }
                assert_eq!(status(&sandbox), "running\n");
                succeed(&sandbox, &["exec", "box", "true"]);
            }
        }
        succeed(&sandbox, &["rm", "-f", "box"]);
    });
}

#[test]
fn a_container_that_is_removed_at_its_end_is_restarted_all_the_same() {
    alone("living::a_container_that_is_removed_at_its_end_is_restarted_all_the_same", || {
        let Some(sandbox) = living(&["sleep", "1000"]) else { return };
        succeed(&sandbox, &["rm", "-f", "box"]);
        let line = "echo start; echo x >> /count; exec sleep 1000";
        let mut run = run(&sandbox, &["-d", "--rm", "--name", "box"], &["sh", "-c", line]);
        assert!(run.output().expect("varve ends").status.success());
        // Each has written before it is killed.
        let counted = || succeed(&sandbox, &["exec", "box", "sh", "-c", "cat /count || :"]);
        for times in 1..3 {
            while counted() != "x\n".repeat(times) {}
            succeed(&sandbox, &["restart", "-t", "0", "box"]);
        }
        assert_eq!(status(&sandbox), "running\n");
        while counted() != "x\nx\nx\n" {}
        assert_eq!(succeed(&sandbox, &["logs", "box"]), "start\nstart\nstart\n");
        succeed(&sandbox, &["stop", "-t", "0", "box"]);
        assert_eq!(succeed(&sandbox, &["ps", "-aq"]), "");
    });
}

#[test]
fn files_are_copied_out_of_a_container_that_runs_and_into_it() {
    alone("living::files_are_copied_out_of_a_container_that_runs_and_into_it", || {
        let Some(sandbox) = living(&["sleep", "1000"]) else { return };
        succeed(&sandbox, &["exec", "box", "sh", "-c", "echo inner > /tmp/inner"]);
        succeed(&sandbox, &["cp", "-q", "box:/tmp/inner", "out"]);
        assert_eq!(fs::read(sandbox.path("out")).unwrap(), b"inner\n");
        fs::write(sandbox.path("in"), "outer\n").unwrap();
        succeed(&sandbox, &["cp", "-q", "in", "box:/tmp/outer"]);
        assert_eq!(succeed(&sandbox, &["exec", "box", "cat", "/tmp/outer"]), "outer\n");
        // Written anew over what it has read, and beside it.
        fs::write(sandbox.path("in"), "again\n").unwrap();
        succeed(&sandbox, &["cp", "-q", "in", "box:/tmp/outer"]);
        assert_eq!(succeed(&sandbox, &["exec", "box", "cat", "/tmp/outer"]), "again\n");
        assert_eq!(succeed(&sandbox, &["diff", "box"]).matches("A /tmp/").count(), 2);
        succeed(&sandbox, &["rm", "-f", "box"]);
    });
}

#[test]
fn container_that_runs_is_exported_with_what_it_wrote() {
    alone("living::container_that_runs_is_exported_with_what_it_wrote", || {
        let Some(tar) = guard::tool("tar") else { return };
        let Some(sandbox) = living(&["sleep", "1000"]) else { return };
        succeed(&sandbox, &["exec", "box", "sh", "-c", "echo inner > /tmp/inner"]);
        succeed(&sandbox, &["export", "-o", "all.tar", "box"]);
        let read = |flags: &str, member: Option<&str>| {
            let mut command = Command::new(&tar);
            command.arg(flags).arg(sandbox.path("all.tar")).args(member);
            let output = command.output().expect("tar ends");
            let _ = std::io::stderr().write_all(&output.stderr);
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).expect("UTF-8")
        };
        assert_eq!(read("-xOf", Some("tmp/inner")), "inner\n");
        let members = read("-tf", None);
        assert!(members.lines().any(|member| member == "bin/busybox"), "{members}");
        let of_kernel = members.lines().find(|member| member.starts_with("proc/1"));
        assert_eq!(of_kernel, None, "what is mounted there is not its own");
        assert_eq!(status(&sandbox), "running\n");
        succeed(&sandbox, &["rm", "-f", "box"]);
    });
}
