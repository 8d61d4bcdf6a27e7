//! The client's side of a monitor's socket.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::event::{PollFd, PollFlags, Timespec};
use serde::de::DeserializeOwned;
use varve_types::{Kind, container::RestartPolicy};

use super::{
    Answer, Attach, Condition, Exec, Exit, Granted, Refused, Request, SOCKET_FILE, Signal, Size,
    frame::{self, Decoder},
};

/// Why a monitor could not be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens: the container does not run.
    #[error("the container is not running")]
    NotRunning,
    /// The monitor refused, in docker's words.
    #[error("{}", _0.message)]
    Refused(Refused),
    /// This client did not read what the container wrote, and was let go. The log has it.
    #[error("the output was not read fast enough; the container's log has all of it")]
    TooSlow,
    /// The monitor ended without a word.
    #[error("the container's monitor ended unexpectedly")]
    Gone,
    /// The other side does not speak our protocol.
    #[error("the container's monitor sent what is not a frame")]
    Protocol,
    /// The operating system refused. `action` is a bare verb.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
}

impl ClientError {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotRunning | Self::Refused(_) => Kind::Conflict,
            Self::TooSlow => Kind::Exhausted,
            Self::Gone | Self::Io { .. } => Kind::Internal,
            Self::Protocol => Kind::Corrupt,
        }
    }
}

/// A monitor's socket by a name that is short enough: an address holds 107 bytes, a path 4095.
/// The name is good while the directory's handle is open.
pub fn socket(run_dir: &Path) -> io::Result<(File, PathBuf)> {
    let dir = File::open(run_dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET_FILE}", dir.as_raw_fd()));
    Ok((dir, path))
}

/// A connection to a container's monitor that has granted what was asked for.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    decoder: Decoder,
    granted: Granted,
    /// What waits to be sent, when nothing here may wait ([`unblock`](Self::unblock)).
    unsent: Option<VecDeque<u8>>,
}

/// What an attached client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attached {
    /// Bytes of standard output, or of the terminal.
    Stdout(Vec<u8>),
    /// Bytes of standard error.
    Stderr(Vec<u8>),
    /// The container, or the process of an exec, ended; nothing follows.
    Exit(Exit),
}

impl Client {
    /// Attaches to the container whose run directory this is.
    pub fn attach(run_dir: &Path, attach: Attach) -> Result<Self, ClientError> {
        Self::ask(run_dir, &Request::Attach(attach))
    }

    /// Waits for the end of the container. `None`: there is no monitor, the state on disk says all.
    pub fn wait(run_dir: &Path, condition: Condition) -> Result<Option<Exit>, ClientError> {
        let mut client = match Self::ask(run_dir, &Request::Wait(condition)) {
            Err(ClientError::NotRunning) => return Ok(None),
            other => other?,
        };
        loop {
            if let Attached::Exit(exit) = client.hear()? {
                return Ok(Some(exit));
            }
        }
    }

    /// Waits for the last end of the container, at most until `until`. Whether it came; also
    /// `true` when the monitor was killed.
    pub fn ends_before(run_dir: &Path, until: Instant) -> Result<bool, ClientError> {
        let client = Self::ask(run_dir, &Request::Wait(Condition::Removed))?;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).unwrap_or_default();
            // The last word, or the end of the connection: nothing else comes.
            let mut told = PollFd::new(&client.stream, PollFlags::IN);
            match rustix::event::poll(std::slice::from_mut(&mut told), Some(&timeout)) {
                Ok(happened) => return Ok(happened > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    let (path, source) = (run_dir.join(SOCKET_FILE), error.into());
                    return Err(ClientError::Io { action: "wait for", path, source });
                }
            }
        }
    }

    /// Sends a signal through the monitor, which knows its process: never to a stranger.
    pub fn signal(run_dir: &Path, signal: Signal) -> Result<(), ClientError> {
        Self::ask(run_dir, &Request::Signal(signal)).map(drop)
    }

    /// Tells that the container's processes were frozen or thawed.
    pub fn paused(run_dir: &Path, paused: bool) -> Result<(), ClientError> {
        Self::ask(run_dir, &Request::Paused(paused)).map(drop)
    }

    /// Freezes the container's processes until the connection that is returned ends, be it by the
    /// death of this process. [`ClientError::Refused`] of one that does not run or is frozen.
    pub fn freeze(run_dir: &Path) -> Result<Self, ClientError> {
        Self::ask(run_dir, &Request::Frozen)
    }

    /// Has a container that is to be removed with its end stay, if that comes as long as the
    /// connection that is returned is there.
    pub fn keep(run_dir: &Path) -> Result<Self, ClientError> {
        Self::ask(run_dir, &Request::Kept)
    }

    /// Ends a connection, and returns when the monitor has done what that means.
    pub fn leave(mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        io::copy(&mut self.stream, &mut io::sink()).map(drop)
    }

    /// Has the container started again by another policy from now on.
    pub fn restarts(run_dir: &Path, policy: RestartPolicy) -> Result<(), ClientError> {
        Self::ask(run_dir, &Request::Restarts(policy)).map(drop)
    }

    /// Gives the container's terminal another size.
    pub fn resize(run_dir: &Path, size: Size) -> Result<(), ClientError> {
        Self::ask(run_dir, &Request::Resize(size)).map(drop)
    }

    /// Runs a process in the container. The client hears of it as if it were a container, when
    /// it asked for that; else nothing follows the grant, which has the process's number.
    pub fn exec(run_dir: &Path, exec: Exec) -> Result<Self, ClientError> {
        Self::ask(run_dir, &Request::Exec(exec))
    }

    fn ask(run_dir: &Path, request: &Request) -> Result<Self, ClientError> {
        let io = |action| {
            move |source| ClientError::Io { action, path: run_dir.join(SOCKET_FILE), source }
        };
        let absent = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
        };
        let connected = socket(run_dir).and_then(|(_dir, path)| UnixStream::connect(path));
        let stream = match connected {
            Err(error) if absent(&error) => return Err(ClientError::NotRunning),
            other => other.map_err(io("connect to"))?,
        };
        Self::asked(stream, &frame::json(frame::REQUEST, request))
    }

    /// Sends a first frame over a connection and takes the answer.
    pub(crate) fn asked(stream: UnixStream, first: &[u8]) -> Result<Self, ClientError> {
        let (decoder, granted) = (Decoder::default(), Granted::default());
        let mut client = Self { stream, decoder, granted, unsent: None };
        client.send(first)?;
        match client.next_frame()? {
            Some((frame::ANSWER, content)) => match parse(&content)? {
                Answer::Ok(granted) => client.granted = granted,
                Answer::Error(refused) => return Err(ClientError::Refused(refused)),
            },
            // It was ending when we came.
            None => return Err(ClientError::NotRunning),
            Some(_) => return Err(ClientError::Protocol),
        }
        Ok(client)
    }

    /// What came with the grant.
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Waits for the next thing. [`ClientError::Gone`] when the monitor was killed.
    pub fn hear(&mut self) -> Result<Attached, ClientError> {
        let (kind, content) = self.next_frame()?.ok_or(ClientError::Gone)?;
        attached(kind, content)
    }

    /// From now on nothing waits: what cannot be sent is kept until [`flush`](Self::flush). For
    /// callers that poll the client's descriptor. A container that waits for its output to be
    /// read takes no input meanwhile, so whoever does both must wait for neither.
    pub fn unblock(&mut self) -> Result<(), ClientError> {
        self.unsent = Some(VecDeque::new());
        self.stream.set_nonblocking(true).map_err(|source| broken("unblock", source))
    }

    /// Bytes that are kept to be sent.
    pub fn unsent_bytes(&self) -> usize {
        self.unsent.as_ref().map_or(0, VecDeque::len)
    }

    /// Sends of what is kept as much as is taken.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        let Some(unsent) = &mut self.unsent else { return Ok(()) };
        while !unsent.is_empty() {
            match self.stream.write(unsent.as_slices().0) {
                Ok(size) => drop(unsent.drain(..size)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // It has ended, and what it said last is still to be read.
                Err(error) if is_closed(&error) => unsent.clear(),
                Err(error) => return Err(broken("write to", error)),
            }
        }
        Ok(())
    }

    /// What has arrived already, without waiting; for callers that poll the client's descriptor.
    /// What came before an error is told first.
    pub fn arrived(&mut self) -> Result<Vec<Attached>, ClientError> {
        let mut things = Vec::new();
        let received = self.receive();
        while let Some((kind, content)) =
            self.decoder.next_frame().map_err(|_| ClientError::Protocol)?
        {
            things.push(attached(kind, content)?);
        }
        if things.is_empty() {
            received?;
        }
        Ok(things)
    }

    /// Sends input.
    pub fn input(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        for part in bytes.chunks(frame::CONTENT_SIZE_BYTES_MAX) {
            let mut out = Vec::with_capacity(part.len() + frame::HEAD_SIZE_BYTES);
            frame::append(&mut out, frame::STDIN, part);
            self.send(&out)?;
        }
        Ok(())
    }

    /// Says that no more input comes.
    pub fn close_input(&mut self) -> Result<(), ClientError> {
        self.send(&frame::head(frame::CLOSE_STDIN, 0))
    }

    /// Sends the size of the client's terminal.
    pub fn set_size(&mut self, size: Size) -> Result<(), ClientError> {
        self.send(&frame::json(frame::RESIZE, &size))
    }

    /// Passes on a signal that the client was sent (`--sig-proxy`).
    pub fn pass_signal(&mut self, number: i32) -> Result<(), ClientError> {
        let signal = Signal { number, ends: false };
        self.send(&frame::json(frame::SIGNAL, &signal))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        if let Some(unsent) = &mut self.unsent {
            unsent.extend(bytes);
            return self.flush();
        }
        match self.stream.write_all(bytes) {
            // It has ended, and what it said last is still to be read.
            Err(error) if is_closed(&error) => Ok(()),
            other => other.map_err(|source| broken("write to", source)),
        }
    }

    fn next_frame(&mut self) -> Result<Option<(u8, Vec<u8>)>, ClientError> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(|_| ClientError::Protocol)? {
                return Ok(Some(frame));
            }
            if !self.receive_some()? {
                return Ok(None);
            }
        }
    }

    fn receive(&mut self) -> Result<(), ClientError> {
        if self.receive_some()? { Ok(()) } else { Err(ClientError::Gone) }
    }

    fn receive_some(&mut self) -> Result<bool, ClientError> {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(size) => {
                    self.decoder.feed(&buffer[..size]);
                    return Ok(size > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Only where nothing waits.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if is_closed(&error) => return Ok(false),
                Err(error) => return Err(broken("read from", error)),
            }
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn attached(kind: u8, content: Vec<u8>) -> Result<Attached, ClientError> {
    match kind {
        frame::STDOUT => Ok(Attached::Stdout(content)),
        frame::STDERR => Ok(Attached::Stderr(content)),
        frame::EXIT => Ok(Attached::Exit(parse(&content)?)),
        frame::TOO_SLOW => Err(ClientError::TooSlow),
        _ => Err(ClientError::Protocol),
    }
}

fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(content).map_err(|_| ClientError::Protocol)
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn broken(action: &'static str, source: io::Error) -> ClientError {
    ClientError::Io { action, path: PathBuf::from(SOCKET_FILE), source }
}
