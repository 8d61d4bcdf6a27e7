//! Monitors and first processes that are killed at any moment, and machines that go down.

use std::{fs, time::Duration};

use varve_runtime::state::{self, Recovered, Status};

use crate::world::{Container, eventually, has};

/// A small generator, so that a seed tells a whole run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn a_killed_monitor_takes_its_container_with_it_once_somebody_asks() {
    let mut container = Container::shell("exec sleep 100");
    container.start();
    let init = container.state().process.unwrap();
    container.kill_monitor();
    let state = container.state();
    assert_eq!((state.status, state.exit_code), (Status::Exited, 137));
    assert!(state::is_alive(&init).unwrap(), "reading changes nothing");
    assert!(matches!(container.recover(), Recovered::Mended(state) if state.exit_code == 137));
    eventually(|| !state::is_alive(&init).unwrap());
    assert!(matches!(container.recover(), Recovered::Sound(_)));
    assert!(container.notes().ends_with("released exited\n"));
    container.expect_clean();
}

#[test]
fn a_monitor_that_dies_before_it_answers_is_missed_and_the_next_one_starts() {
    let mut container = Container::shell("exec sleep 100");
    let program = std::path::Path::new("/bin/false");
    let started =
        varve_runtime::monitor::Starter::new(program, Vec::new()).start(&container.config);
    assert!(matches!(started, Err(varve_runtime::monitor::MonitorError::Gone)), "{started:?}");
    container.start();
    container.signal(9);
    container.end();
    container.expect_clean();
}

#[test]
fn starting_again_after_a_killed_monitor_puts_things_in_order_first() {
    let mut container = Container::shell("exec sleep 100");
    container.start();
    let init = container.state().process.unwrap();
    container.kill_monitor();
    container.start();
    assert!(!state::is_alive(&init).unwrap());
    assert_eq!(container.state().status, Status::Running);
    container.signal(9);
    container.end();
    container.expect_clean();
}

#[test]
fn what_ran_when_the_machine_went_down_ended_with_255() {
    let mut container = Container::shell("exec sleep 100");
    container.start();
    let path = container.config.dir.join(state::STATE_FILE);
    let text = fs::read_to_string(&path).unwrap();
    container.signal(9);
    container.end();
    let other = text.replace(&state::boot_id().unwrap(), "00000000-0000-0000-0000-000000000000");
    assert_ne!(other, text);
    // A record that a person changed has no sum.
    let mut other: serde_json::Value = serde_json::from_str(&other).unwrap();
    other.as_object_mut().unwrap().remove("sum").expect("states carry their sum");
    fs::write(&path, other.to_string()).unwrap();
    let state = container.state();
    assert_eq!((state.status, state.exit_code), (Status::Exited, 255));
    assert!(state.finished_at.is_some() && state.process.is_none());
    // Power was lost before the file was on the disk.
    fs::write(&path, "").unwrap();
    assert_eq!(container.state().exit_code, 255);
    assert!(matches!(container.recover(), Recovered::Mended(state) if state.exit_code == 255));
    assert_eq!(container.state().status, Status::Exited);
}

#[test]
fn a_state_that_is_none_is_said_to_be_none() {
    let container = Container::shell("true");
    assert_eq!(container.state(), state::State::default());
    fs::write(container.config.dir.join(state::STATE_FILE), "nonsense").unwrap();
    let error = state::read(&container.config.dir).unwrap_err();
    assert_eq!(error.kind(), varve_types::Kind::Corrupt);
}

/// A hundred times, from a seed: the monitor is killed some moment after it was executed, or the
/// first process some moment after it was started. Then the state is right, and nothing is left.
#[test]
fn killed_at_any_moment_the_state_is_right_and_nothing_is_left() {
    if !has("timeout") {
        return;
    }
    let mut random = Random(0x5eed_5eed);
    let (mut not_started, mut killed, mut ended) = (0, 0, 0);
    for round in 0..100 {
        let mut container = Container::shell("seq 1 500; sleep 0.02; seq 1 500; exit 3");
        let kill_monitor = random.below(3) > 0;
        if kill_monitor {
            let seconds = format!("0.{:04}", random.below(900) + 1);
            container.before =
                ["timeout", "--foreground", "-s", "KILL", &seconds].map(str::to_owned).into();
        }
        let started = container.try_start().is_ok_and(|answer| answer.is_ok());
        if started && !kill_monitor {
            std::thread::sleep(Duration::from_micros(random.below(40_000)));
            let init = container.state().process;
            if let Some(handle) = init.and_then(|init| state::open(&init).unwrap()) {
                let _ = rustix::process::pidfd_send_signal(handle, rustix::process::Signal::KILL);
            }
        }
        container.end();
        container.recover();
        let state = container.state();
        match (state.status, state.exit_code) {
            (Status::Created, 0 | 128) if !started => not_started += 1,
            (Status::Exited, 137) => killed += 1,
            (Status::Exited, 3) => {
                assert_eq!(container.log().lines().count(), 1_000, "round {round}");
                ended += 1;
            }
            other => panic!("round {round}: {other:?}, started: {started}"),
        }
        container.log();
        container.expect_clean();
    }
    assert!(not_started > 0 && killed > 0 && ended > 0, "{not_started} {killed} {ended}");
}
