//! The system calls of this crate that the compiler cannot judge.
#![allow(unsafe_code)]

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{AsFd, FromRawFd, OwnedFd, RawFd},
};

use rustix::process::Signal;

/// Signals of which the C library keeps two for itself (32 and 33) go up to this one.
pub(crate) const SIGNAL_MAX: i32 = 64;

/// Closes every descriptor from 3 on, except `kept`.
///
/// For a process that was just executed and has opened nothing but `kept`: what else is open was
/// left open by whoever started it (a pipe of a shell, say), and would stay open as long as it runs.
pub(crate) fn close_inherited(kept: &[RawFd]) -> io::Result<()> {
    let mut open = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        open.extend(number);
    }
    // The descriptor that listed the others is closed again by now.
    for number in open.into_iter().filter(|number| *number > 2 && !kept.contains(number)) {
        if fs::read_link(format!("/proc/self/fd/{number}")).is_ok() {
            // SAFETY: the number is open, it is not one of `kept`, and nothing else in this
            // process owns a descriptor yet; that is the contract of this function.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
    Ok(())
}

/// Sends a signal by number, real-time ones too, to the process that `pidfd` stands for.
pub(crate) fn send_signal(pidfd: impl AsFd, number: i32) -> io::Result<()> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let signal = match Signal::from_named_raw(number) {
        Some(signal) => signal,
        // SAFETY: the number is a real-time signal that the C library does not use itself, and it
        // is only sent to another process.
        None if (34..=SIGNAL_MAX).contains(&number) => unsafe {
            Signal::from_raw_unchecked(number)
        },
        None => return Err(invalid()),
    };
    Ok(rustix::process::pidfd_send_signal(pidfd, signal)?)
}
