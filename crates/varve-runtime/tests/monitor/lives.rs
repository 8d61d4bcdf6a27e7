//! Lives of containers: how they start, end, are started again, and what is left of them.

use std::{fs, time::Duration};

use varve_runtime::{
    attach::{Attached, Client, ClientError, Condition, Pace, Signal},
    monitor::{Ended, Foreground, HealthCheck, Mode, MonitorError, run},
    state::{self, Status},
};
use varve_types::{config::Healthcheck, container::HealthStatus};

use crate::{
    machine::{Machine, Now},
    world::{Container, eventually, listen},
};

#[test]
fn an_exit_code_is_kept_and_everything_is_given_back() {
    let mut container = Container::shell("echo out; echo err >&2; exit 3");
    let state = container.start().end();
    assert_eq!((state.status, state.exit_code), (Status::Exited, 3));
    assert!(state.started_at.unwrap() <= state.finished_at.unwrap());
    assert!(state.process.is_none() && state.monitor.is_none());
    let mut log: Vec<String> = container.log().lines().map(str::to_owned).collect();
    log.sort();
    assert_eq!(log, ["err", "out"]);
    assert_eq!(container.notes(), "prepared\nreleased exited\n");
    container.expect_clean();
    assert_eq!(fs::read_dir(&container.config.run_dir).unwrap().count(), 0);
}

#[test]
fn an_exit_code_is_told_before_what_nobody_sees_is_finished() {
    let mut container = Container::shell("read -r line; exit 3");
    container.config.open_stdin = true;
    let held = container.config.dir.join("held");
    fs::write(&held, "").unwrap();
    let mut client = container.start_attached();
    client.input(b"\n").unwrap();
    let exit = loop {
        if let Attached::Exit(exit) = client.hear().unwrap() {
            break exit;
        }
    };
    assert_eq!(exit.exit_code, 3);
    assert!(!state::is_watched(&container.config.dir).unwrap());
    assert_eq!(container.notes(), "prepared\nreleased exited\n");
    fs::remove_file(&held).unwrap();
    container.end();
    assert_eq!(container.notes(), "prepared\nreleased exited\nfinished\n");
}

#[test]
fn a_signal_ends_it_with_128_and_its_number_and_is_remembered() {
    let mut container = Container::shell("exec sleep 100");
    container.start();
    assert_eq!(container.state().status, Status::Running);
    container.signal(15);
    let state = container.end();
    assert_eq!((state.exit_code, state.stopped_by_hand), (143, true));
    container.expect_clean();
}

#[test]
fn a_real_time_signal_arrives() {
    let mut container = Container::shell("exec sleep 100");
    container.start();
    container.signal(37);
    assert_eq!(container.end().exit_code, 128 + 37);
}

#[test]
fn what_the_runtime_refuses_comes_back_with_its_words_and_code() {
    let mut container = Container::new(&["refuse"], |_| {});
    let refused = container.try_start().unwrap().unwrap_err();
    assert_eq!(refused.exit_code, 127);
    assert!(refused.message.contains("not found in $PATH"), "{}", refused.message);
    let state = container.end();
    assert_eq!((state.status, state.exit_code), (Status::Created, 127));
    assert_eq!(state.error, refused.message);
    container.expect_clean();
}

#[test]
fn a_container_has_one_monitor_at_a_time() {
    let mut container = Container::shell("exec sleep 100");
    container.start();
    let mut again = Container::shell("true");
    again.config = container.config.clone();
    assert!(matches!(again.try_start(), Err(MonitorError::Watched)));
    container.signal(9);
    container.end();
    again.start();
    again.signal(9);
    assert_eq!(again.end().exit_code, 137);
}

#[test]
fn failures_are_tried_again_as_often_as_allowed() {
    let mut container = Container::new(&["/bin/sh", "-c", "echo again; exit 1"], |config| {
        config.restart = "on-failure:2".parse().unwrap();
    });
    let state = container.start().end();
    assert_eq!((state.status, state.exit_code, state.restart_count), (Status::Exited, 1, 2));
    assert_eq!(container.log(), "again\n".repeat(3));
    assert_eq!(
        container.notes(),
        "prepared\nreleased restarting\nprepared\nreleased restarting\nprepared\nreleased exited\n"
    );
}

#[test]
fn a_stop_ends_the_restarts_also_while_it_waits_for_the_next() {
    let mut container = Container::new(&["/bin/sh", "-c", "exit 7"], |config| {
        config.restart = "always".parse().unwrap();
    });
    container.start();
    eventually(|| container.state().restart_count >= 2);
    let signal = Signal { number: 15, ends: true };
    // Between two runs there may be nobody to send it to; that it ends is what counts.
    let _ = Client::signal(&container.config.run_dir, signal);
    let state = container.end();
    assert_eq!(state.status, Status::Exited);
    container.expect_clean();
}

/// A container with a stop signal of its own and a policy, which does something at each start.
fn restarting(policy: &str, line: &str) -> Container {
    let mut container = Container::new(&["/bin/sh", "-c", line], |config| {
        config.restart = policy.parse().unwrap();
        "SIGQUIT".clone_into(&mut config.stop_signal);
    });
    container.start();
    container
}

fn send(container: &Container, number: i32) {
    Client::signal(&container.config.run_dir, Signal { number, ends: false }).unwrap();
}

#[test]
fn a_container_with_a_stop_signal_of_its_own_is_started_again_after_another_one() {
    let mut container = restarting("always", "exec sleep 100");
    send(&container, 15);
    eventually(|| container.state().restart_count == 1);
    eventually(|| container.state().status == Status::Running);
    send(&container, 3);
    let state = container.end();
    assert_eq!((state.exit_code, state.restart_count), (131, 1));
    container.expect_clean();
}

#[test]
fn a_signal_of_any_kind_ends_the_restarts_unless_stopped() {
    let mut container = restarting("unless-stopped", "exec sleep 100");
    send(&container, 15);
    let state = container.end();
    assert_eq!((state.exit_code, state.restart_count), (143, 0));
}

#[test]
fn waiters_hear_of_each_end_or_of_the_last() {
    let mut container = Container::new(&["/bin/sh", "-c", "sleep 0.3; exit 4"], |config| {
        config.restart = "on-failure:1".parse().unwrap();
    });
    container.start();
    let dir = container.config.run_dir.clone();
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let dir = dir.clone();
            std::thread::spawn(move || Client::wait(&dir, Condition::NextExit).unwrap().unwrap())
        })
        .collect();
    for waiter in waiters {
        assert_eq!(waiter.join().unwrap().exit_code, 4);
    }
    assert_eq!(container.end().restart_count, 1);
    assert_eq!(Client::wait(&dir, Condition::NotRunning).unwrap(), None);
}

#[test]
fn a_container_is_frozen_as_long_as_who_asked_for_it_is_there() {
    let mut container = Container::shell("exec sleep 100");
    container.start();
    let dir = container.config.run_dir.clone();
    let freezing = Client::freeze(&dir).unwrap();
    assert_eq!(container.state().status, Status::Paused);
    assert!(matches!(Client::freeze(&dir), Err(ClientError::Refused(_))));
    freezing.leave().unwrap();
    assert_eq!(container.state().status, Status::Running);
    // One that is cut off goes without a word.
    drop(Client::freeze(&dir).unwrap());
    eventually(|| container.state().status == Status::Running);
    let notes = container.notes();
    assert_eq!(notes, "prepared\nfrozen\nthawed\nfrozen\nthawed\n");
    // What others said last, counts.
    let freezing = Client::freeze(&dir).unwrap();
    Client::paused(&dir, false).unwrap();
    Client::paused(&dir, true).unwrap();
    freezing.leave().unwrap();
    assert_eq!(container.state().status, Status::Paused);
    container.signal(9);
    assert_eq!(container.end().exit_code, 137);
    container.expect_clean();
}

#[test]
fn a_container_that_is_to_be_removed_stays_where_somebody_keeps_it() {
    let mut container = Container::new(&["/bin/sh", "-c", "exec sleep 100"], |config| {
        config.auto_remove = true;
    });
    container.start();
    drop(Client::keep(&container.config.run_dir).unwrap());
    let kept = Client::keep(&container.config.run_dir).unwrap();
    container.signal(9);
    assert_eq!(container.end().exit_code, 137);
    drop(kept);
    assert_eq!(container.state().status, Status::Exited);
}

#[test]
fn a_container_that_is_removed_at_its_end_leaves_nothing() {
    let mut container = Container::new(&["true"], |config| config.auto_remove = true);
    container.start();
    eventually(|| !container.config.dir.exists());
    assert_eq!(state::read(&container.config.dir).unwrap_err().kind(), varve_types::Kind::NotFound);
}

#[test]
fn health_checks_judge_and_keep_five_results() {
    let process = r#"["/bin/sh","-c","echo checked; test -e \"$VARVE_TEST_CONTAINER/ok\""]"#;
    let mut container = Container::new(&["sleep", "100"], |config| {
        let process = serde_json::value::RawValue::from_string(process.to_owned()).unwrap();
        let check = Healthcheck { interval: 20_000_000, retries: 2, ..Healthcheck::default() };
        config.health = Some(HealthCheck { check, process });
    });
    container.start();
    let health = |container: &Container| container.state().health.unwrap();
    eventually(|| health(&container).status == HealthStatus::Unhealthy);
    fs::write(container.config.dir.join("ok"), "").unwrap();
    eventually(|| health(&container).status == HealthStatus::Healthy);
    eventually(|| health(&container).log.len() == 5);
    let last = health(&container).log.pop().unwrap();
    assert_eq!((last.exit_code, last.output.as_str()), (0, "checked\n"));
    container.signal(9);
    container.end();
    container.expect_clean();
}

#[test]
fn a_check_that_takes_too_long_is_killed_and_says_so() {
    let mut container = Container::new(&["sleep", "100"], |config| {
        let words = r#"["/bin/sh","-c","echo begun; exec sleep 100"]"#.to_owned();
        let process = serde_json::value::RawValue::from_string(words).unwrap();
        let check = Healthcheck {
            interval: 10_000_000,
            timeout: 200_000_000,
            retries: 1,
            ..Healthcheck::default()
        };
        config.health = Some(HealthCheck { check, process });
    });
    container.start();
    eventually(|| container.state().health.unwrap().status == HealthStatus::Unhealthy);
    let result = container.state().health.unwrap().log.remove(0);
    assert_eq!(result.exit_code, -1);
    assert_eq!(result.output, "Health check exceeded timeout (200ms): begun\n");
    container.signal(9);
    container.end();
    container.expect_clean();
}

#[test]
fn processes_beside_the_command_are_counted_while_they_run() {
    let mut container = Container::shell("exec sleep 100");
    container.start();
    let pid = container.exec("exec sleep 0.3", false, None).granted().pid.unwrap();
    assert_eq!(container.state().execs[0].process.pid, pid);
    eventually(|| container.state().execs.is_empty());
    container.signal(9);
    container.end();
}

#[test]
fn the_kernels_verdict_about_memory_is_kept() {
    let mut container = Container::shell("touch \"$VARVE_TEST_CONTAINER/oom\"; kill -9 $$");
    let state = container.start().end();
    assert_eq!((state.exit_code, state.oom_killed), (137, true));
}

#[test]
fn a_monitor_is_small_has_one_thread_and_nothing_of_its_starter() {
    let mut container = Container::shell("exec sleep 100");
    container.start();
    let pid = container.state().monitor.unwrap().pid;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    // The harness of these tests is heavier than the program, and has a thread for the test.
    assert!(field("RssAnon:") <= 3 << 10, "{status}");
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    for stdio in 0..3 {
        let link = fs::read_link(format!("/proc/{pid}/fd/{stdio}")).unwrap();
        assert_eq!(link.to_str(), Some("/dev/null"));
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, pid.to_string());
    container.signal(9);
    container.end();
}

/// The loop in the starting command itself: its streams are the container's.
#[test]
fn a_foreground_command_is_its_own_monitor() {
    if std::env::var_os("VARVE_TEST_FOREGROUND").is_none() {
        // It adopts orphans and waits for every child, so it gets a process of its own.
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["lives::a_foreground_command_is_its_own_monitor", "--exact", "--nocapture"])
            .arg("--test-threads=1")
            .env("VARVE_TEST_FOREGROUND", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let container = Container::new(&["/bin/sh", "-c", "cat; echo err >&2; exit 5"], |config| {
        (config.open_stdin, config.stdin_once) = (true, true);
    });
    let lock = state::lock(&container.config.dir).unwrap();
    let (stdin, input) = std::io::pipe().unwrap();
    let (mut output, stdout) = std::io::pipe().unwrap();
    let writer = std::thread::spawn(move || {
        let mut input = input;
        std::io::Write::write_all(&mut input, &b"x".repeat(300_000)).unwrap();
    });
    let reader = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut output, &mut all).unwrap();
        all.len()
    });
    let streams = Foreground {
        stdin: Some(stdin.into()),
        stdout: Some(stdout.into()),
        ..Foreground::default()
    };
    let (mut host, mut executor) =
        (Machine::new(&container.config.dir, false), Machine::new(&container.config.dir, false));
    let mode = Mode::Foreground(streams);
    let ended = run(container.config.clone(), mode, lock, &mut host, &mut executor, &Now).unwrap();
    let Ended::Ran(state) = ended else { panic!("{ended:?}") };
    assert_eq!(state.exit_code, 5);
    writer.join().unwrap();
    assert_eq!(reader.join().unwrap(), 300_000);
    assert_eq!(container.log().len(), 300_004);
    container.expect_clean();
}

#[test]
fn a_terminal_has_the_size_it_was_given_and_hears_of_a_new_one() {
    if !crate::world::has("setsid") {
        return;
    }
    use varve_runtime::attach::Size;
    let mut container = Container::new(&["/bin/sh", "-c", "read a; stty size; exit 0"], |config| {
        (config.tty, config.open_stdin) = (true, true);
        config.size = Some(Size { width: 80, height: 24 });
    });
    container.start();
    let mut client = container.attach(Pace::Wait);
    assert!(client.granted().tty);
    client.set_size(Size { width: 100, height: 40 }).unwrap();
    client.input(b"go\n").unwrap();
    let (out, _, exit) = listen(&mut client);
    assert!(out.contains("40 100\r\n"), "{out:?}");
    assert_eq!(exit.exit_code, 0);
}
