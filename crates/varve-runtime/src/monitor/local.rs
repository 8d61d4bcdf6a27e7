//! The monitor as the foreground command: its own streams, and the signals it is sent.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::io::Errno;
use signal_hook::iterator::{backend::SignalDelivery, exfiltrator::SignalOnly};

use crate::{attach::Size, logs::Stream};

/// Bytes that may wait for one of the command's outputs; then the container waits, as any program
/// does whose reader is slow.
const HELD_SIZE_BYTES: usize = 256 << 10;
/// What can be written to a pipe that says it can be written to, without waiting: one page. The
/// descriptors are not ours alone, so they are not made non-blocking.
const WRITE_SIZE_BYTES: usize = 4096;

/// The streams of a foreground command. What it does not want is `None`.
#[derive(Debug, Default)]
pub struct Foreground {
    /// Where the container's input comes from.
    pub stdin: Option<OwnedFd>,
    /// Where its output goes.
    pub stdout: Option<OwnedFd>,
    /// Where its error output goes.
    pub stderr: Option<OwnedFd>,
    /// Signals that are passed on to the container (`--sig-proxy`), and `SIGWINCH`.
    pub signals: Option<Signals>,
}

/// Signals that arrive where one can poll for them.
pub struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signals")
    }
}

impl Signals {
    /// Catches these signals from now on, in the whole process. Those that cannot be caught are an
    /// error.
    pub fn catch(numbers: &[i32]) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, numbers)?;
        Ok(Self { delivery })
    }

    /// What arrived since the last time.
    pub fn arrived(&mut self) -> Vec<i32> {
        self.delivery.pending().collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

/// The command's own streams while the container runs.
#[derive(Debug, Default)]
pub(super) struct Local {
    pub(super) streams: Foreground,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Local {
    pub(super) fn new(streams: Foreground) -> Self {
        Self { streams, ..Self::default() }
    }

    fn side(&mut self, stream: Stream) -> (&mut Option<OwnedFd>, &mut Vec<u8>) {
        match stream {
            Stream::Stdout => (&mut self.streams.stdout, &mut self.stdout),
            Stream::Stderr => (&mut self.streams.stderr, &mut self.stderr),
        }
    }

    /// Takes output of the container.
    pub(super) fn send(&mut self, stream: Stream, bytes: &[u8]) {
        let (out, waiting) = self.side(stream);
        if out.is_some() {
            waiting.extend_from_slice(bytes);
        }
    }

    /// The output, when something waits to be written to it.
    pub(super) fn waiting(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        let (out, waiting) = match stream {
            Stream::Stdout => (&self.streams.stdout, &self.stdout),
            Stream::Stderr => (&self.streams.stderr, &self.stderr),
        };
        out.as_ref().filter(|_| !waiting.is_empty()).map(AsFd::as_fd)
    }

    /// Whether the container must wait.
    pub(super) fn holds_up(&self) -> bool {
        self.stdout.len().max(self.stderr.len()) > HELD_SIZE_BYTES
    }

    /// Writes once to an output that can be written to.
    pub(super) fn write(&mut self, stream: Stream) {
        let (out, waiting) = self.side(stream);
        let Some(to) = out else { return };
        match rustix::io::write(to, &waiting[..waiting.len().min(WRITE_SIZE_BYTES)]) {
            Ok(size) => drop(waiting.drain(..size)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Whoever read it has gone; the container and its log go on.
            Err(_) => {
                *out = None;
                waiting.clear();
            }
        }
    }

    /// The size of the command's terminal.
    pub(super) fn terminal_size(&self) -> Option<Size> {
        [&self.streams.stdin, &self.streams.stdout].into_iter().flatten().find_map(|fd| {
            let size = rustix::termios::tcgetwinsize(fd).ok()?;
            Some(Size { width: size.ws_col, height: size.ws_row })
        })
    }
}
