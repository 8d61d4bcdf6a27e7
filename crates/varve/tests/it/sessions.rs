//! A user at a container: `run`, `start -a`, `attach`, `exec` and `logs`, by the built program, with
//! pipes and at a terminal.

use std::{
    io::{Read as _, Write as _},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use varve_testkit::namespace::alone;

use crate::{
    guest::{guest, run},
    pty::Terminal,
    sandbox::Sandbox,
};

const MEBIBYTE: usize = 1 << 20;

/// Runs a container of the test's image; `--network none`, as the machine's is not the test's.
fn start(sandbox: &Sandbox, flags: &[&str], command: &[&str]) -> Child {
    run(sandbox, flags, command).spawn().expect("varve starts")
}

#[track_caller]
fn eventually(mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < until, "it did not come true in half a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(child: &Child, number: i32) {
    let pid = rustix::process::Pid::from_child(child);
    let signal = rustix::process::Signal::from_named_raw(number).expect("a signal");
    rustix::process::kill_process(pid, signal).expect("a process");
}

#[test]
fn streams_are_kept_apart_and_the_exit_code_is_the_programs() {
    alone("sessions::streams_are_kept_apart_and_the_exit_code_is_the_programs", || {
        let Some(sandbox) = guest() else { return };
        let command = ["sh", "-c", "echo out; echo err >&2; exit 3"];
        for _ in 0..5 {
            let output = start(&sandbox, &["--rm"], &command).wait_with_output().unwrap();
            assert_eq!(output.stdout, b"out\n");
            assert_eq!(output.stderr, b"err\n");
            assert_eq!(output.status.code(), Some(3));
        }
        let killed = start(&sandbox, &["--rm"], &["sh", "-c", "kill -9 $$"]);
        // The first process of a namespace cannot kill itself.
        assert_eq!(killed.wait_with_output().unwrap().status.code(), Some(0));
        assert_eq!(sandbox.run(&["ps", "-aq"]).stdout, "");
    });
}

#[test]
fn ten_megabytes_go_in_and_come_out_whole() {
    alone("sessions::ten_megabytes_go_in_and_come_out_whole", || {
        let Some(sandbox) = guest() else { return };
        let bytes: Vec<u8> = (0..10 * MEBIBYTE).map(|at| (at * 31 % 251) as u8).collect();
        let mut child = start(&sandbox, &["--rm", "-i"], &["cat"]);
        let mut input = child.stdin.take().unwrap();
        let writer = std::thread::spawn({
            let bytes = bytes.clone();
            move || input.write_all(&bytes).unwrap()
        });
        // A reader that comes late holds up the container, and loses nothing.
        std::thread::sleep(Duration::from_millis(300));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout == bytes);
    });
}

#[test]
fn signals_go_to_the_container_whose_end_tells_of_them() {
    alone("sessions::signals_go_to_the_container_whose_end_tells_of_them", || {
        let Some(sandbox) = guest() else { return };
        let line = "trap 'echo term; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
        let mut child = start(&sandbox, &["--rm"], &["sh", "-c", line]);
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        signal(&child, 15);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.stdout, b"term\n");
        assert_eq!(output.status.code(), Some(7));
    });
}

#[test]
fn a_killed_client_leaves_the_container_and_the_next_one_attaches() {
    alone("sessions::a_killed_client_leaves_the_container_and_the_next_one_attaches", || {
        let Some(sandbox) = guest() else { return };
        let line = "while read -r line; do echo got $line; done; exit 4";
        let mut child = start(&sandbox, &["-i", "--name", "box"], &["sh", "-c", line]);
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"one\n").unwrap();
        eventually(|| sandbox.run(&["logs", "box"]).stdout == "got one\n");
        child.kill().unwrap();
        child.wait().unwrap();
        // Input of `run -i` closes with the one who gave it.
        eventually(|| sandbox.run(&["wait", "box"]).stdout == "4\n");
        let again = sandbox.run_with(&["start", "-ai", "box"], b"two\n");
        assert_eq!((again.stdout.as_str(), again.code), ("got two\n", 4));
        let stopped = sandbox.run(&["attach", "box"]);
        assert_eq!(stopped.code, 1);
        assert_eq!(stopped.stderr, "You cannot attach to a stopped container, start it first\n");
        assert_eq!(sandbox.run(&["logs", "box"]).stdout, "got one\ngot two\n");
        assert_eq!(sandbox.run(&["rm", "box"]).code, 0);
    });
}

#[test]
fn a_terminal_is_the_containers_until_its_end() {
    alone("sessions::a_terminal_is_the_containers_until_its_end", || {
        let Some(sandbox) = guest() else { return };
        let mut terminal = Terminal::open(100, 30);
        let before = terminal.modes();
        let command = [
            "sh",
            "-c",
            "stty size; read -r line; echo got $line; \
                   until stty size | grep -q '20 70'; do sleep 0.05; done; stty size; exit 5",
        ];
        let mut child = terminal.spawn(&mut run(&sandbox, &["--rm", "-it"], &command));
        terminal.expect("30 100\r\n");
        assert_ne!(terminal.modes(), before, "raw while the container has it");
        terminal.resize(70, 20);
        signal(&child, 28);
        terminal.write(b"hello\r");
        terminal.expect("got hello\r\n");
        terminal.expect("20 70\r\n");
        assert_eq!(child.wait().unwrap().code(), Some(5));
        assert_eq!(terminal.modes(), before);
    });
}

#[test]
fn keys_leave_a_container_which_goes_on() {
    alone("sessions::keys_leave_a_container_which_goes_on", || {
        let Some(sandbox) = guest() else { return };
        let mut terminal = Terminal::open(80, 24);
        let before = terminal.modes();
        let mut flags = run(&sandbox, &["-it", "--name", "box"], &["cat"]);
        let mut child = terminal.spawn(&mut flags);
        terminal.write(b"one\r");
        terminal.expect("one\r\none\r\n");
        terminal.write(b"\x10\x11");
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(terminal.modes(), before);
        let mut attach = sandbox.command(&["attach", "--detach-keys", "a,b", "box"]);
        let mut child = terminal.spawn(&mut attach);
        terminal.write(b"two\r");
        terminal.expect("two\r\ntwo\r\n");
        terminal.write(b"ab");
        assert_eq!(child.wait().unwrap().code(), Some(0));
        terminal.expect("read escape sequence");
        assert_eq!(terminal.modes(), before);
        let listed = sandbox.run(&["ps", "--format", "{{.Names}} {{.State}}"]);
        assert_eq!(listed.stdout, "box running\n");
        assert_eq!(sandbox.run(&["rm", "-f", "box"]).code, 0);
    });
}

#[test]
fn the_terminal_is_put_back_by_a_client_that_is_ended() {
    alone("sessions::the_terminal_is_put_back_by_a_client_that_is_ended", || {
        let Some(sandbox) = guest() else { return };
        for number in [1, 15] {
            let mut terminal = Terminal::open(80, 24);
            let before = terminal.modes();
            let flags = ["-it", "--sig-proxy=false", "--name", "box"];
            let mut child = terminal.spawn(&mut run(&sandbox, &flags, &["cat"]));
            terminal.write(b"one\r");
            terminal.expect("one\r\none\r\n");
            signal(&child, number);
            assert_eq!(child.wait().unwrap().code(), Some(128 + number));
            assert_eq!(terminal.modes(), before);
            assert_eq!(sandbox.run(&["rm", "-f", "box"]).code, 0);
        }
    });
}

#[test]
fn further_processes_run_beside_the_first() {
    alone("sessions::further_processes_run_beside_the_first", || {
        let Some(sandbox) = guest() else { return };
        let started = start(&sandbox, &["-d", "--name", "box", "-e", "A=1"], &["sleep", "1000"]);
        assert!(started.wait_with_output().unwrap().status.success());
        let ran = sandbox.run_with(
            &["exec", "-i", "-e", "B=2", "box", "sh", "-c", "cat; echo $A$B; exit 6"],
            b"in\n",
        );
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str(), ran.code), ("in\n12\n", "", 6));
        let missing = sandbox.run(&["exec", "box", "nosuch"]);
        let words = "OCI runtime exec failed: exec failed: unable to start container process: \
                     exec: \"nosuch\": executable file not found in $PATH: unknown\r\n";
        assert_eq!((missing.stdout.as_str(), missing.code), (words, 126));
        let ran = sandbox.run(&[
            "exec",
            "-u",
            "1:7",
            "-w",
            "/tmp",
            "box",
            "sh",
            "-c",
            "id -u; id -g; pwd",
        ]);
        assert_eq!(ran.stdout, "1\n7\n/tmp\n");
        let ran =
            sandbox.run(&["exec", "--privileged", "box", "grep", "CapEff", "/proc/self/status"]);
        // Every one that this machine lets anybody have.
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let bounds = status.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap();
        assert_eq!(ran.stdout, format!("CapEff:\t{bounds}\n"));
        assert_eq!(sandbox.run(&["exec", "-d", "box", "touch", "/mark"]).code, 0);
        eventually(|| sandbox.run(&["exec", "box", "ls", "/mark"]).code == 0);
        let mut terminal = Terminal::open(90, 33);
        let mut child =
            terminal.spawn(&mut sandbox.command(&["exec", "-it", "box", "stty", "size"]));
        terminal.expect("33 90\r\n");
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let paused = sandbox.run(&["pause", "box"]);
        assert_eq!(paused.stdout, "box\n", "{paused:?}");
        let refused = sandbox.run(&["exec", "box", "true"]);
        let words = "Error response from daemon: Container box is paused, unpause the container before exec\n";
        assert_eq!((refused.stderr.as_str(), refused.code), (words, 1));
        assert_eq!(sandbox.run(&["unpause", "box"]).code, 0);
        let table = sandbox.run(&["top", "box", "-o", "pid,comm"]).stdout;
        assert_eq!(table.lines().count(), 2, "{table}");
        assert!(table.trim_end().ends_with("sleep"), "{table}");
        assert_eq!(sandbox.run(&["rm", "-f", "box"]).code, 0);
        let refused = sandbox.run(&["exec", "box", "true"]);
        assert_eq!(refused.stderr, "Error response from daemon: No such container: box\n");
    });
}

#[test]
fn a_reader_that_goes_away_ends_the_client_only() {
    alone("sessions::a_reader_that_goes_away_ends_the_client_only", || {
        let Some(sandbox) = guest() else { return };
        let line = "while :; do echo line; sleep 0.01; done";
        let mut command = run(&sandbox, &["--name", "box"], &["sh", "-c", line]);
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let mut some = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
        drop(child.stdout.take());
        // As a program that a closed pipe ended.
        assert_eq!(child.wait().unwrap().code(), Some(141));
        let listed = sandbox.run(&["ps", "--format", "{{.State}}"]);
        assert_eq!(listed.stdout, "running\n");
        assert_eq!(sandbox.run(&["rm", "-f", "box"]).code, 0);
    });
}
