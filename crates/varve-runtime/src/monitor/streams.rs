//! The monitor's ends of the container's pipes, or of its terminal.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::OFlags,
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    termios::Winsize,
};

use super::ProcessStdio;
use crate::{attach::Size, logs::Stream};

/// Bytes of input kept for a container that does not read; clients then wait.
const INPUT_SIZE_BYTES_MAX: usize = 64 << 10;

/// What reading brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Got {
    Bytes(usize),
    Nothing,
    End,
}

/// The monitor's side of a container's standard streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    input: Option<OwnedFd>,
    queue: VecDeque<u8>,
    /// The input is to be closed when the queue is empty.
    closing: bool,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    is_terminal: bool,
}

impl Streams {
    /// Asks for a terminal, whose other side is then to be given to [`terminal`](Self::terminal).
    pub(super) fn of_terminal(size: Option<Size>) -> (Self, ProcessStdio) {
        (Self::default(), ProcessStdio::Terminal(size))
    }

    /// Makes pipes; the input reads nothing when it is not `open`.
    pub(super) fn pipes(open: bool) -> io::Result<(Self, ProcessStdio)> {
        let (stdout, output) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, error) = pipe_with(PipeFlags::CLOEXEC)?;
        let (input, ours) = if open {
            let (input, ours) = pipe_with(PipeFlags::CLOEXEC)?;
            unblock(&ours)?;
            (input, Some(ours))
        } else {
            (File::open("/dev/null")?.into(), None)
        };
        unblock(&stdout)?;
        unblock(&stderr)?;
        let streams =
            Self { input: ours, stdout: Some(stdout), stderr: Some(stderr), ..Self::default() };
        Ok((streams, ProcessStdio::Descriptors { input, output, error }))
    }

    /// Takes the other side of the terminal.
    pub(super) fn terminal(&mut self, other_side: OwnedFd) -> io::Result<()> {
        unblock(&other_side)?;
        self.is_terminal = true;
        self.input = Some(other_side.try_clone()?);
        self.stdout = Some(other_side);
        Ok(())
    }

    pub(super) fn output(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        let output = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        output.as_ref().map(AsFd::as_fd)
    }

    /// Whether both outputs have ended.
    pub(super) fn are_drained(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// The input, when something waits to be written to it.
    pub(super) fn waiting_input(&self) -> Option<BorrowedFd<'_>> {
        let waits = !self.queue.is_empty();
        self.input.as_ref().filter(|_| waits).map(AsFd::as_fd)
    }

    /// Whether clients may send more input.
    pub(super) fn takes_input(&self) -> bool {
        self.queue.len() < INPUT_SIZE_BYTES_MAX
    }

    /// Reads what a stream has.
    pub(super) fn read(&mut self, stream: Stream, buffer: &mut [u8]) -> Got {
        let output = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let Some(from) = output else { return Got::End };
        match rustix::io::read(from, buffer) {
            Ok(size) if size > 0 => Got::Bytes(size),
            Err(Errno::AGAIN | Errno::INTR) => Got::Nothing,
            // EIO is how a terminal says that nobody has it open any more.
            Ok(_) | Err(_) => {
                *output = None;
                if self.is_terminal {
                    self.close_input();
                }
                Got::End
            }
        }
    }

    /// Takes input. Without an open input it goes nowhere.
    pub(super) fn push_input(&mut self, bytes: &[u8]) {
        if self.input.is_some() && !self.closing {
            self.queue.extend(bytes);
            self.write_input();
        }
    }

    /// Writes as much as the container takes.
    pub(super) fn write_input(&mut self) {
        while let Some(input) = self.input.as_ref().filter(|_| !self.queue.is_empty()) {
            match rustix::io::write(input, self.queue.as_slices().0) {
                Ok(size) => drop(self.queue.drain(..size)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Nobody reads any more.
                Err(_) => self.close_input(),
            }
        }
        if self.closing {
            self.close_input();
        }
    }

    /// Closes the input when what waits was written. A terminal has no end of input.
    pub(super) fn end_input(&mut self) {
        if !self.is_terminal {
            self.closing = true;
            self.write_input();
        }
    }

    fn close_input(&mut self) {
        self.input = None;
        self.queue.clear();
    }

    pub(super) fn resize(&self, size: Size) {
        if let Some(terminal) = self.input.as_ref().filter(|_| self.is_terminal) {
            let size =
                Winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
            // A terminal that is being closed has no size to care about.
            let _ = rustix::termios::tcsetwinsize(terminal, size);
        }
    }
}

/// Reads and writes of it return at once.
pub(super) fn unblock(fd: &impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}
