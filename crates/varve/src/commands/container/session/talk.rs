//! Bytes between the user's streams and a container's, until it ends or the user leaves.
//!
//! ```text
//! standard input ─▶ keys that leave ─▶ ┐            ┌ ─▶ standard output
//! signals ─────────────────────────────┤ monitor's  │
//! size of the terminal ────────────────┘  socket    └ ─▶ standard error
//! ```
//!
//! One `poll` and nothing else that waits: a container that waits for its output to be read takes
//! no input, so whoever waited to write one could not read the other.

use std::{collections::VecDeque, io};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fd::{AsFd as _, BorrowedFd},
    fs::FileType,
    io::Errno,
};
use varve_engine::container::{Attached, Client, DetachKeys, Exit, Signals, TerminalSize};

use crate::{
    error::CommandError,
    terminal_raw::RawTerminal,
    ui::{self, Ui},
};

use super::Attachment;

/// Bytes of input that may wait for the container.
const INPUT_SIZE_BYTES_MAX: usize = 256 << 10;
/// Bytes that may wait for an output; then the container waits.
const OUTPUT_SIZE_BYTES_MAX: usize = 256 << 10;
/// Bytes read at once.
const READ_SIZE_BYTES: usize = 64 << 10;
/// What can be written to a pipe that says it can be written to, without waiting: one page. The
/// descriptors are not ours alone, so they are not made non-blocking.
const PIPE_WRITE_SIZE_BYTES: usize = 4096;
const FILE_WRITE_SIZE_BYTES: usize = 256 << 10;

const SIGHUP: i32 = 1;
const SIGWINCH: i32 = 28;
/// What ends a program that does nothing about it, and comes from elsewhere. While the terminal is
/// raw these are taken, so that it is put back.
const ENDING: [i32; 6] = [SIGHUP, 2, 3, 10, 12, 15];
/// Signals of this process that are not the container's: what cannot be caught, what faults of
/// our own raise (4, 7, 8, 11, 31), ends of children and pipes (17, 13), job control of a reader
/// in the background (21, 22), and what only says something of us (23, and the size, 28).
const OWN: [i32; 14] = [4, 7, 8, 9, 11, 13, 17, 19, 21, 22, 23, SIGWINCH, 31, 5];
/// Real-time signals that the C library leaves.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// How a user's stay with a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The container, or the process, ended.
    Exited(Exit),
    /// The user typed the keys that leave it.
    Detached,
}

/// A user who is about to be attached: signals are caught from here on, so that none gets lost
/// while the container starts.
pub(crate) struct Session {
    keys: DetachKeys,
    gives_input: bool,
    tty: bool,
    forwards: bool,
    signals: Option<Signals>,
}

impl Session {
    /// Gets ready to be attached to a container, with a terminal of its own or without.
    pub(crate) fn prepare(attachment: &Attachment, tty: bool) -> Result<Self, CommandError> {
        let keys = DetachKeys::parse(&attachment.keys).map_err(|error| {
            let keys = &attachment.keys;
            CommandError::daemon(format_args!("Invalid detach keys ({keys}) provided: {error}"))
        })?;
        let gives_input = attachment.input;
        let forwards = attachment.forwards_signals;
        let mut numbers = Vec::new();
        if forwards {
            let of_containers = |number: &i32| !OWN.contains(number);
            numbers.extend((1..32).chain(REAL_TIME).filter(of_containers));
        } else if tty && gives_input {
            numbers.extend(ENDING);
        }
        if tty {
            numbers.push(SIGWINCH);
        }
        let signals = if numbers.is_empty() {
            None
        } else {
            let caught = Signals::catch(&numbers);
            Some(caught.map_err(|error| failed("catch signals", error))?)
        };
        Ok(Self { keys, gives_input, tty, forwards, signals })
    }

    /// Carries bytes until the end. The terminal is as before when this returns, however it does.
    pub(crate) fn talk(self, ui: &Ui, mut client: Client) -> Result<Ended, CommandError> {
        ui.flush()?;
        client.unblock().map_err(broken)?;
        let stdin = io::stdin();
        let raw = if self.tty && self.gives_input {
            let entered = RawTerminal::enter(stdin.as_fd());
            entered.map_err(|error| failed("make the terminal raw", error))?
        } else {
            None
        };
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let mut talk = Talk {
            client,
            stdin: self.gives_input.then(|| stdin.as_fd()),
            stdout: Outgoing::new(stdout.as_fd()),
            stderr: Outgoing::new(stderr.as_fd()),
            is_raw: raw.is_some(),
            exit: None,
            session: self,
        };
        talk.send_size()?;
        let ended = talk.run();
        drop(raw);
        ended
    }
}

/// A connection to a monitor that broke.
pub(crate) fn broken(error: varve_engine::container::ClientError) -> CommandError {
    CommandError::Own { error: Box::new(error), hint: None }
}

fn failed(action: &str, error: io::Error) -> CommandError {
    CommandError::plain(format!("cannot {action}: {error}"), 1)
}

/// Everything in hand while bytes are carried.
struct Talk<'a> {
    session: Session,
    client: Client,
    /// None once it has ended.
    stdin: Option<BorrowedFd<'a>>,
    stdout: Outgoing<'a>,
    stderr: Outgoing<'a>,
    is_raw: bool,
    /// The container's end, while what it wrote is still being written.
    exit: Option<Exit>,
}

/// Where something happened.
#[derive(Debug, Clone, Copy)]
enum Source {
    Client,
    Input,
    Output,
    Errors,
    Signals,
}

impl Talk<'_> {
    fn run(&mut self) -> Result<Ended, CommandError> {
        loop {
            if let Some(exit) = self.exit.filter(|_| self.is_written()) {
                return Ok(Ended::Exited(exit));
            }
            for (source, events) in self.happened()? {
                match source {
                    Source::Client => self.hear(events)?,
                    Source::Input => {
                        if self.read_input()? {
                            return Ok(Ended::Detached);
                        }
                    }
                    Source::Output => self.stdout.write().map_err(CommandError::Output)?,
                    Source::Errors => self.stderr.write().map_err(CommandError::Output)?,
                    Source::Signals => self.pass_signals()?,
                }
            }
        }
    }

    fn is_written(&self) -> bool {
        self.stdout.waiting.is_empty() && self.stderr.waiting.is_empty()
    }

    fn happened(&self) -> Result<Vec<(Source, PollFlags)>, CommandError> {
        let (mut sources, mut fds) = (Vec::new(), Vec::new());
        let mut add = |source, fd, events: PollFlags| {
            if !events.is_empty() {
                sources.push(source);
                fds.push(PollFd::from_borrowed_fd(fd, events));
            }
        };
        let when = |holds: bool, flag: PollFlags| if holds { flag } else { PollFlags::empty() };
        if self.exit.is_none() {
            let hears = self.stdout.has_room() && self.stderr.has_room();
            let unsent_bytes = self.client.unsent_bytes();
            let events = when(hears, PollFlags::IN) | when(unsent_bytes > 0, PollFlags::OUT);
            add(Source::Client, self.client.as_fd(), events);
            if let Some(stdin) = self.stdin {
                let has_room = unsent_bytes < INPUT_SIZE_BYTES_MAX;
                add(Source::Input, stdin, when(has_room, PollFlags::IN));
            }
        }
        for (source, out) in [(Source::Output, &self.stdout), (Source::Errors, &self.stderr)] {
            add(source, out.to, when(!out.waiting.is_empty(), PollFlags::OUT));
        }
        if let Some(signals) = &self.session.signals {
            add(Source::Signals, signals.as_fd(), PollFlags::IN);
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(failed("wait for the container", error.into())),
        }
        let happened = sources.into_iter().zip(&fds).map(|(source, fd)| (source, fd.revents()));
        Ok(happened.filter(|(_, events)| !events.is_empty()).collect())
    }

    fn hear(&mut self, events: PollFlags) -> Result<(), CommandError> {
        if events.contains(PollFlags::OUT) {
            self.client.flush().map_err(broken)?;
        }
        if !events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return Ok(());
        }
        for thing in self.client.arrived().map_err(broken)? {
            match thing {
                Attached::Stdout(bytes) => self.stdout.waiting.extend(bytes),
                Attached::Stderr(bytes) => self.stderr.waiting.extend(bytes),
                Attached::Exit(exit) => self.exit = Some(exit),
            }
        }
        Ok(())
    }

    /// Takes input; true when the keys that leave were typed.
    fn read_input(&mut self) -> Result<bool, CommandError> {
        let Some(stdin) = self.stdin else { return Ok(false) };
        let mut buffer = vec![0; READ_SIZE_BYTES];
        match rustix::io::read(stdin, &mut buffer) {
            Ok(0) | Err(Errno::IO) => {
                // EIO is how a terminal says that it hung up.
                self.stdin = None;
                self.client.close_input().map_err(broken)?;
            }
            // Only at a terminal somebody types; what is piped may hold any bytes.
            Ok(size) if self.is_raw => {
                let typed = self.session.keys.typed(&buffer[..size]);
                self.client.input(&typed.input).map_err(broken)?;
                return Ok(typed.detach);
            }
            Ok(size) => self.client.input(&buffer[..size]).map_err(broken)?,
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(failed("read standard input", error.into())),
        }
        Ok(false)
    }

    fn pass_signals(&mut self) -> Result<(), CommandError> {
        let Some(signals) = &mut self.session.signals else { return Ok(()) };
        for number in signals.arrived() {
            if number == SIGWINCH {
                self.send_size()?;
                continue;
            }
            if self.session.forwards {
                self.client.pass_signal(number).map_err(broken)?;
            }
            // A raw terminal that is gone shows nothing any more, and nobody types.
            let is_over = self.exit.is_some() || (number == SIGHUP && self.is_raw);
            if !self.session.forwards || is_over {
                let code = u8::try_from(128 + number).unwrap_or(u8::MAX);
                return Err(CommandError::Said { code });
            }
        }
        Ok(())
    }

    /// Tells the size of the user's terminal to the container's.
    fn send_size(&mut self) -> Result<(), CommandError> {
        let [height, width] = ui::console_size();
        if !self.session.tty || (width, height) == (0, 0) {
            return Ok(());
        }
        let side = |length: u32| u16::try_from(length).unwrap_or(u16::MAX);
        let size = TerminalSize { width: side(width), height: side(height) };
        self.client.set_size(size).map_err(broken)
    }
}

/// One of the user's outputs, and what waits to be written to it.
struct Outgoing<'a> {
    to: BorrowedFd<'a>,
    waiting: VecDeque<u8>,
    write_size_bytes: usize,
}

impl<'a> Outgoing<'a> {
    fn new(to: BorrowedFd<'a>) -> Self {
        let is_file = rustix::fs::fstat(to)
            .is_ok_and(|facts| FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile);
        let write_size_bytes = if is_file { FILE_WRITE_SIZE_BYTES } else { PIPE_WRITE_SIZE_BYTES };
        Self { to, waiting: VecDeque::new(), write_size_bytes }
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < OUTPUT_SIZE_BYTES_MAX
    }

    /// Writes once.
    fn write(&mut self) -> io::Result<()> {
        let bytes = self.waiting.as_slices().0;
        match rustix::io::write(self.to, &bytes[..bytes.len().min(self.write_size_bytes)]) {
            Ok(size) => drop(self.waiting.drain(..size)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
