//! Hidden roles of the program that uses this crate: what it does when it has started itself.
//!
//! A container's process is copied from one that has a single thread. A program with threads starts
//! itself again for that, under [`NAME`]; its `main` asks [`is_asked`] before any thread can exist
//! and hands over to [`play`].

use std::{ffi::OsStr, process::ExitCode};

use crate::{oci, sys};

/// What a program started in the role finds as its own name (the first argument).
pub const NAME: &str = "varve-oci";

/// Whether a program of this name is to play the role.
pub fn is_asked(own_name: &OsStr) -> bool {
    own_name == NAME
}

/// Plays the role: one order from standard input, one answer. Refused when there are threads.
pub fn play() -> ExitCode {
    if !sys::is_single_threaded() {
        return ExitCode::FAILURE;
    }
    match oci::serve() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever asked sees that no answer came.
        Err(_) => ExitCode::FAILURE,
    }
}
