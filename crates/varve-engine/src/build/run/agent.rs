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
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    io::Errno,
};
use varve_types::limits;

use super::keys;
use crate::build::SshSource;

/// Requests that are passed on (draft-miller-ssh-agent).
pub(super) const IDENTITIES: u8 = 11;
pub(super) const SIGN: u8 = 13;
/// How long it is before a connection is asked for again that could not be had.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// The answer to the others: one byte, a failure.
const REFUSAL: [u8; 5] = [0, 0, 0, 1, 5];

/// A socket that stands for an agent.
pub(super) struct Agent {
    listener: UnixListener,
    /// Who has the keys.
    source: SshSource,
    /// Whoever serves looks at one end; the other is closed at the end.
    stopping: UnixStream,
    stop: UnixStream,
}

impl Agent {
    /// Listens at a name in a directory.
    pub(super) fn listen(directory: &Path, name: &str, source: &SshSource) -> io::Result<Self> {
        // An address holds 107 bytes, and a path may be longer.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        let place = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
        let listener = UnixListener::bind(place)?;
        listener.set_nonblocking(true)?;
        let (stopping, stop) = UnixStream::pair()?;
        Ok(Self { listener, source: source.clone(), stopping, stop })
    }

    /// Serves whoever connects until [`stop`](Self::stop).
    pub(super) fn serve(&self) {
        let connections = AtomicUsize::new(0);
        thread::scope(|scope| {
            while self.wait_for(&self.listener).is_ok() {
                let Ok((client, _)) = self.listener.accept() else {
                    // Whoever gave up is gone; without descriptors there may be some later.
                    self.pause();
                    continue;
                };
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
        let mut agent = match &self.source {
            SshSource::Socket(socket) => UnixStream::connect(socket)?,
            SshSource::Keys(keys) => loop {
                let request = self.read_message(client)?;
                let message = keys::answer(keys, &request[4..]);
                client.write_all(&message.unwrap_or(REFUSAL.to_vec()))?;
            },
        };
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

    /// Waits a moment, or until the end.
    fn pause(&self) {
        let mut polled = [PollFd::from_borrowed_fd(self.stopping.as_fd(), PollFlags::IN)];
        // Woken early, it is only tried again.
        let _ = poll(&mut polled, Some(&PAUSE));
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

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn message(kind: u8, rest: &[u8]) -> Vec<u8> {
        let length = 1 + rest.len() as u32;
        [&length.to_be_bytes(), &[kind][..], rest].concat()
    }

    /// An agent that answers one request with its own bytes.
    fn echo(listener: &UnixListener, count: usize) {
        let (mut client, _) = listener.accept().unwrap();
        for _ in 0..count {
            let mut length = [0; 4];
            client.read_exact(&mut length).unwrap();
            let mut rest = vec![0; u32::from_be_bytes(length) as usize];
            client.read_exact(&mut rest).unwrap();
            client.write_all(&[&length[..], &rest].concat()).unwrap();
        }
    }

    fn ask(client: &mut UnixStream, request: &[u8]) -> Vec<u8> {
        client.write_all(request).unwrap();
        let mut length = [0; 4];
        client.read_exact(&mut length).unwrap();
        let mut rest = vec![0; u32::from_be_bytes(length) as usize];
        client.read_exact(&mut rest).unwrap();
        [&length[..], &rest].concat()
    }

    #[test]
    fn only_lists_and_signatures_reach_the_agent() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("own");
        let listener = UnixListener::bind(&own).unwrap();
        let agent =
            Agent::listen(directory.path(), "shown", &SshSource::Socket(own.clone())).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| echo(&listener, 2));
            scope.spawn(|| agent.serve());
            let mut client = UnixStream::connect(directory.path().join("shown")).unwrap();
            let list = message(IDENTITIES, b"");
            assert_eq!(ask(&mut client, &list), list);
            // Add a key, remove all, lock; an extension; and nothing at all.
            for kind in [17, 19, 22, 27] {
                assert_eq!(ask(&mut client, &message(kind, b"x")), REFUSAL);
            }
            assert_eq!(ask(&mut client, &[0; 4]), REFUSAL);
            let sign = message(SIGN, b"something");
            assert_eq!(ask(&mut client, &sign), sign);
            agent.stop();
        });
    }

    #[test]
    fn messages_without_an_end_and_agents_that_are_gone_end_the_connection() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("own");
        let listener = UnixListener::bind(&own).unwrap();
        let agent =
            Agent::listen(directory.path(), "shown", &SshSource::Socket(own.clone())).unwrap();
        let is_closed = |request: &[u8]| {
            let mut client = UnixStream::connect(directory.path().join("shown")).unwrap();
            // It may be closed before all is written.
            let _ = client.write_all(request);
            !matches!(client.read(&mut [0; 1]), Ok(1..))
        };
        thread::scope(|scope| {
            scope.spawn(|| agent.serve());
            assert!(is_closed(&[0xff; 5]));
            drop(listener);
            assert!(is_closed(&message(IDENTITIES, b"")));
            agent.stop();
        });
    }

    #[test]
    fn whoever_is_connected_is_let_go_of_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("own");
        let _listener = UnixListener::bind(&own).unwrap();
        let agent =
            Agent::listen(directory.path(), "shown", &SshSource::Socket(own.clone())).unwrap();
        let mut client = UnixStream::connect(directory.path().join("shown")).unwrap();
        client.write_all(&message(IDENTITIES, b"")).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| agent.serve());
            // The agent never answers.
            agent.stop();
        });
    }
}
