//! The program that plays the hidden roles in this crate's tests, as `varve` does for users.

use std::process::ExitCode;

use varve_engine::container::Role;

struct NoClock;

impl varve_types::Clock for NoClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

fn main() -> ExitCode {
    let line: Vec<_> = std::env::args_os().collect();
    match Role::asked(&line) {
        Some(role) => role.play(&NoClock),
        None => ExitCode::FAILURE,
    }
}
