//! A program that runs: what it writes is told as it comes, until its end.

use std::{
    collections::VecDeque,
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

/// Bytes of output of one program that are told, as in docker (`BUILDKIT_STEP_LOG_MAX_SIZE`).
pub const LOG_SIZE_BYTES_MAX: i64 = 2 << 20;
/// Bytes of what is not told that are kept, to be told when the program fails.
const TAIL_SIZE_BYTES: usize = 64 << 10;

/// How much a program may write until no more of it is told.
#[derive(Debug, Default)]
pub(super) struct Clip {
    /// `None`: anything.
    limit: Option<u64>,
    told: u64,
    tail: VecDeque<u8>,
}

impl Clip {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Tells of these bytes what may be told.
    pub(super) fn pass(&mut self, bytes: &[u8], mut tell: impl FnMut(&[u8])) {
        let Some(limit) = self.limit else { return tell(bytes) };
        let left = limit.saturating_sub(self.told);
        let (passed, rest) = bytes.split_at(bytes.len().min(left.try_into().unwrap_or(usize::MAX)));
        if !passed.is_empty() {
            self.told += passed.len() as u64;
            tell(passed);
        }
        if rest.is_empty() {
            return;
        }
        if self.told == limit {
            // Told once.
            self.told = limit.saturating_add(1);
            let size = mebibytes(limit);
            tell(format!("\n[output clipped, log limit {size} reached]\n").as_bytes());
        }
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL_SIZE_BYTES);
        self.tail.drain(..over);
    }

    /// Tells the end of what was not told: that of a program that failed says why.
    pub(super) fn end(&mut self, tell: impl FnOnce(&[u8])) {
        if !self.tail.is_empty() {
            tell(self.tail.make_contiguous());
        }
    }
}

/// A size as docker writes it: `2MiB`, `1.5KiB`, `10B`.
fn mebibytes(size_bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| size_bytes >> shift > 0) {
        Some((unit, shift)) => {
            let tenths = size_bytes.saturating_mul(10) >> shift;
            match tenths % 10 {
                0 => format!("{}{unit}", tenths / 10),
                rest => format!("{}.{rest}{unit}", tenths / 10),
            }
        }
        None => format!("{size_bytes}B"),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of these pieces, and at the end.
    fn told(limit: Option<u64>, pieces: &[&[u8]]) -> (String, String) {
        let (mut clip, mut told, mut end) = (Clip::new(limit), Vec::new(), Vec::new());
        for piece in pieces {
            clip.pass(piece, |bytes| told.extend_from_slice(bytes));
        }
        clip.end(|bytes| end.extend_from_slice(bytes));
        (String::from_utf8(told).unwrap(), String::from_utf8(end).unwrap())
    }

    #[test]
    fn what_is_written_beyond_the_limit_is_told_at_the_end() {
        let clipped = "\n[output clipped, log limit 4B reached]\n";
        let of = |told: &str, end: &str| (told.to_owned(), end.to_owned());
        assert_eq!(told(None, &[b"abc", b"defg"]), of("abcdefg", ""));
        assert_eq!(told(Some(4), &[b"abc", b"d"]), of("abcd", ""));
        assert_eq!(told(Some(4), &[b"abcd", b"e", b"f"]), of(&format!("abcd{clipped}"), "ef"));
        assert_eq!(told(Some(4), &[b"abcdef", b"gh"]), of(&format!("abcd{clipped}"), "efgh"));
        let long = vec![b'x'; TAIL_SIZE_BYTES + 10];
        assert_eq!(told(Some(0), &[&long, b"y"]).1.len(), TAIL_SIZE_BYTES);
        assert!(told(Some(0), &[&long, b"y"]).1.ends_with("xy"));
    }

    #[test]
    fn limits_are_written_as_docker_does() {
        let sizes = [10, 1536, LOG_SIZE_BYTES_MAX as u64, 3 << 30].map(mebibytes);
        assert_eq!(sizes, ["10B", "1.5KiB", "2MiB", "3GiB"]);
    }
}
