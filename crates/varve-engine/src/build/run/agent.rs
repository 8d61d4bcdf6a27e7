//! The socket of an agent of SSH keys, as a program of a build sees it.
//!
//! A program may ask which keys there are and have things signed. Anything else (adding, removing
//! or locking keys) is answered with a failure and does not reach the agent.

use std::{
    io::{self, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags},
    io::Errno,
};
use varve_types::limits;

/// Requests that are passed on (draft-miller-ssh-agent).
const IDENTITIES: u8 = 11;
const SIGN: u8 = 13;
/// The answer to the others: one byte, a failure.
const REFUSAL: [u8; 5] = [0, 0, 0, 1, 5];

/// A socket that stands for an agent.
pub(super) struct Agent {
    listener: UnixListener,
    /// The agent's own.
    socket: PathBuf,
    /// Whoever serves looks at one end; the other is closed at the end.
    stopping: UnixStream,
    stop: UnixStream,
}

impl Agent {
    /// Listens at a name in a directory.
    pub(super) fn listen(directory: &Path, name: &str, socket: &Path) -> io::Result<Self> {
        // An address holds 107 bytes, and a path may be longer.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        let place = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
        let listener = UnixListener::bind(place)?;
        listener.set_nonblocking(true)?;
        let (stopping, stop) = UnixStream::pair()?;
        Ok(Self { listener, socket: socket.to_owned(), stopping, stop })
    }

    /// Serves whoever connects until [`stop`](Self::stop).
    pub(super) fn serve(&self) {
        let connections = AtomicUsize::new(0);
        thread::scope(|scope| {
            while self.wait_for(&self.listener).is_ok() {
                let Ok((client, _)) = self.listener.accept() else { continue };
                // One too many is closed.
                if connections.load(Ordering::Acquire) >= limits::AGENT_CONNECTIONS_MAX {
                    continue;
                }
                connections.fetch_add(1, Ordering::AcqRel);
                let connections = &connections;
                scope.spawn(move || {
                    // Whoever is not served sees that the connection ends.
                    let _ = self.serve_one(&client);
                    connections.fetch_sub(1, Ordering::AcqRel);
                });
            }
        });
    }

    /// Ends [`serve`](Self::serve).
    pub(super) fn stop(&self) {
        let _ = self.stop.shutdown(std::net::Shutdown::Both);
    }

    fn serve_one(&self, mut client: &UnixStream) -> io::Result<()> {
        let mut agent = UnixStream::connect(&self.socket)?;
        loop {
            let request = self.read_message(client)?;
            if !matches!(request.get(4), Some(&(IDENTITIES | SIGN))) {
                client.write_all(&REFUSAL)?;
                continue;
            }
            agent.write_all(&request)?;
            client.write_all(&self.read_message(&agent)?)?;
        }
    }

    /// A message with its length before it.
    fn read_message(&self, from: &UnixStream) -> io::Result<Vec<u8>> {
        let mut message = vec![0; 4];
        self.read(from, &mut message)?;
        let length = u32::from_be_bytes([message[0], message[1], message[2], message[3]]) as usize;
        if length > limits::AGENT_MESSAGE_SIZE_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        message.resize(4 + length, 0);
        self.read(from, &mut message[4..])?;
        Ok(message)
    }

    fn read(&self, from: &UnixStream, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            self.wait_for(from)?;
            let count = rustix::io::read(from, &mut *buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer = &mut buffer[count..];
        }
        Ok(())
    }

    /// Waits until there is something to read; an error at the end.
    fn wait_for(&self, file: impl AsFd) -> io::Result<()> {
        loop {
            let mut polled = [
                PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.stopping.as_fd(), PollFlags::IN),
            ];
            match poll(&mut polled, None) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) if !polled[1].revents().is_empty() => {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                Ok(_) => return Ok(()),
            }
        }
    }
}
