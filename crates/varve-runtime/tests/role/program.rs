//! The program that plays the hidden role in this crate's tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    varve_runtime::role::play()
}
