//! A program that runs: what it writes is told as it comes, until its end.

use std::{
    fs::File,
    io::{self, Read as _},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid},
};
use varve_build::solve::Stream;

const PIECE_SIZE_BYTES: usize = 1 << 16;
/// How often it is looked whether the build is over.
const LOOK_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// What keeps the streams open after the end is not the program's any more.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);
/// A process that was killed by a signal ends with this and the signal's number.
const SIGNALLED: i32 = 128;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With this code.
    Code(i32),
    /// For want of memory.
    Memory,
    /// Because the build is over.
    Canceled,
}

/// Tells what a process writes, to one stream for both or to two, and waits for its end. `None`: `kill` was called, because `is_over`.
pub(super) fn follow(
    pid: i32,
    (output, error): (File, Option<File>),
    mut tell: impl FnMut(Stream, &[u8]),
    is_over: impl Fn() -> bool,
    kill: impl Fn(),
) -> io::Result<Option<i32>> {
    let process = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    let handle = pidfd_open(process, PidfdFlags::empty())?;
    let mut streams = [(Stream::Output, Some(output)), (Stream::Error, error)];
    let mut piece = vec![0; PIECE_SIZE_BYTES];
    let (mut code, mut was_killed, mut until) = (None, false, None);
    loop {
        let open = streams.iter().any(|(_, file)| file.is_some());
        if code.is_some() && (!open || until.is_some_and(|until| Instant::now() >= until)) {
            return Ok(code.filter(|_| !was_killed));
        }
        if !was_killed && is_over() {
            was_killed = true;
            kill();
        }
        wait(&streams, &handle, code.is_none())?;
        for (stream, file) in &mut streams {
            if !read_piece(file, &mut piece, |bytes| tell(*stream, bytes))? {
                *file = None;
            }
        }
        if code.is_none()
            && let Some((_, status)) = waitpid(Some(process), WaitOptions::NOHANG)?
        {
            let signalled = status.terminating_signal().map(|signal| SIGNALLED + signal);
            code = status.exit_status().or(signalled).or(Some(SIGNALLED));
            until = Some(Instant::now() + DRAIN_TIME_MAX);
        }
    }
}

/// Waits until there is something to read, the process ended, or it is time to look.
fn wait(
    streams: &[(Stream, Option<File>); 2],
    handle: &rustix::fd::OwnedFd,
    runs: bool,
) -> io::Result<()> {
    let mut polled: Vec<PollFd<'_>> = streams
        .iter()
        .filter_map(|(_, file)| Some(PollFd::new(file.as_ref()?, PollFlags::IN)))
        .collect();
    if runs {
        polled.push(PollFd::new(handle, PollFlags::IN));
    }
    match poll(&mut polled, Some(&LOOK_INTERVAL)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads what is there. `false`: there will be no more.
fn read_piece(
    file: &mut Option<File>,
    piece: &mut [u8],
    tell: impl FnOnce(&[u8]),
) -> io::Result<bool> {
    let Some(file) = file else { return Ok(false) };
    match file.read(piece) {
        Ok(0) => Ok(false),
        Ok(count) => {
            tell(&piece[..count]);
            Ok(true)
        }
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
        {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}
