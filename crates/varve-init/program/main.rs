//! `docker-init -- COMMAND [ARG...]`: starts the command, passes every signal on to it, reaps what
//! nobody else waits for, and ends as the command ends.
//!
//! Signals are blocked and waited for, so there is no handler and nothing can be missed. The
//! command gets a process group of its own, and the terminal when there is one.
//!
//! Exit codes: the command's, 128 and the signal that ended it, 127 when it is not there, 126 when
//! it cannot be executed.

#![no_std]
#![no_main]
// Loops are not to become calls of a C library's memcpy, which is not there.
#![no_builtins]

mod sys;

use sys::{Ended, Text, Words};

const SIGCHLD: i32 = 17;
const ENOENT: i32 = 2;
const ENOTDIR: i32 = 20;
const PATH_SIZE_MAX: usize = 4096;
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the program does; returns its exit code.
fn run(arguments: Words, environment: Words) -> i32 {
    let first = match arguments.get(1) {
        Some(word) if word.bytes() == b"--" => 2,
        _ => 1,
    };
    let command = arguments.skip(first);
    let Some(name) = command.get(0) else { return 127 };
    sys::block_signals();
    let child = sys::fork();
    if child == 0 {
        sys::own_process_group();
        sys::unblock_signals();
        let errno = execute(name, command, environment);
        complain(name, errno);
        return if is_missing(errno) { 127 } else { 126 };
    }
    if child < 0 {
        complain(name, -child);
        return 126;
    }
    loop {
        let signal = sys::wait_for_signal();
        if signal != SIGCHLD {
            sys::kill(child, signal);
            continue;
        }
        while let Some((process, ended)) = sys::reap() {
            match ended {
                _ if process != child => {}
                Ended::Exited(code) => return code,
                Ended::Killed(signal) => return 128 + signal,
            }
        }
    }
}

/// Executes the command, found as a shell finds it. Returns only with the error's number.
fn execute(name: Text, command: Words, environment: Words) -> i32 {
    if name.bytes().contains(&b'/') {
        return sys::execute(name.with_end(), command, environment);
    }
    let mut kept = ENOENT;
    for directory in path(environment).split(|byte| *byte == b':') {
        let mut buffer = [0; PATH_SIZE_MAX];
        let mut length = 0;
        let parts = [if directory.is_empty() { b"." } else { directory }, b"/", name.bytes()];
        for byte in parts.into_iter().flatten() {
            // The last byte stays the end.
            if length + 1 < PATH_SIZE_MAX {
                buffer[length] = *byte;
                length += 1;
            }
        }
        let errno = sys::execute(&buffer, command, environment);
        if !is_missing(errno) {
            kept = errno;
        }
    }
    kept
}

fn path(environment: Words) -> &'static [u8] {
    let mut at = 0;
    while let Some(variable) = environment.get(at) {
        if let Some(value) = variable.bytes().strip_prefix(b"PATH=") {
            return value;
        }
        at += 1;
    }
    DEFAULT_PATH
}

fn is_missing(errno: i32) -> bool {
    errno == ENOENT || errno == ENOTDIR
}

fn complain(name: Text, errno: i32) {
    let reason: &[u8] = match errno {
        _ if is_missing(errno) => b"No such file or directory",
        8 => b"Exec format error",
        13 => b"Permission denied",
        _ => b"the kernel refused",
    };
    for part in [b"[FATAL docker-init] exec ", name.bytes(), b" failed: ", reason, b"\n"] {
        sys::write_error(part);
    }
}
