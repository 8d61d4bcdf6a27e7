//! TCP connections taken on one side and carried to the other.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
};

use rustix::{
    event::PollFlags,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt},
};
use varve_types::limits;

use super::Watched;

const CHUNK_SIZE: usize = 64 << 10;

/// Listening sockets and the connections that came of them.
#[derive(Debug, Default)]
pub(super) struct Relays {
    listeners: Vec<(TcpListener, SocketAddr)>,
    open: Vec<Relay>,
}

#[derive(Debug)]
struct Relay {
    client: TcpStream,
    server: TcpStream,
    connecting: bool,
    /// From client to server.
    there: Way,
    /// From server to client.
    back: Way,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Way {
    /// Read and not yet written.
    pending: Vec<u8>,
    /// Nothing more comes.
    ended: bool,
    /// The other side was told so.
    told: bool,
}

impl Relays {
    pub(super) fn listen(&mut self, listener: TcpListener, target: SocketAddr) {
        self.listeners.push((listener, target));
    }

    /// Connects a client with a server, to whom `first` is said before anything else.
    pub(super) fn begin(&mut self, client: TcpStream, server: SocketAddr, first: Vec<u8>) {
        if self.open.len() >= limits::RELAYED_CONNECTIONS_MAX {
            return;
        }
        let Ok(server) = start_connecting(server) else { return };
        let there = Way { pending: first, ..Way::default() };
        self.open.push(Relay { client, server, connecting: true, there, back: Way::default() });
    }

    pub(super) fn watch<'a>(&'a self, into: &mut Vec<Watched<'a>>) {
        let has_room = self.open.len() < limits::RELAYED_CONNECTIONS_MAX;
        let listens = if has_room { PollFlags::IN } else { PollFlags::empty() };
        into.extend(self.listeners.iter().map(|(listener, _)| (listener.as_fd(), listens)));
        for relay in &self.open {
            let (client, server) = if relay.connecting {
                (PollFlags::empty(), PollFlags::OUT)
            } else {
                (wanted(&relay.there, &relay.back), wanted(&relay.back, &relay.there))
            };
            into.push((relay.client.as_fd(), client));
            into.push((relay.server.as_fd(), server));
        }
    }

    pub(super) fn turn(&mut self, ready: &[PollFlags]) {
        let (listening, connections) = ready.split_at(self.listeners.len());
        // The resolver may have handed over connections since the wait: those come last, and
        // have no events yet.
        let mut events = connections.chunks(2);
        self.open.retain_mut(|relay| {
            let ready = events.next().is_some_and(|two| two.iter().any(|one| !one.is_empty()));
            !ready || relay.turn().unwrap_or(false)
        });
        let mut accepted = Vec::new();
        for ((listener, target), ready) in self.listeners.iter().zip(listening) {
            if !ready.is_empty()
                && let Ok((client, _)) = listener.accept()
                && client.set_nonblocking(true).is_ok()
            {
                accepted.push((client, *target));
            }
        }
        for (client, target) in accepted {
            self.begin(client, target, Vec::new());
        }
    }
}

/// What a side is waited for: to say something, if there is room for it, or to listen.
fn wanted(from: &Way, into: &Way) -> PollFlags {
    let mut events = PollFlags::empty();
    if !from.ended && from.pending.is_empty() {
        events |= PollFlags::IN;
    }
    if !into.pending.is_empty() {
        events |= PollFlags::OUT;
    }
    events
}

impl Relay {
    /// Carries what there is. False when both ways have ended.
    fn turn(&mut self) -> io::Result<bool> {
        if self.connecting {
            sockopt::socket_error(&self.server)?.map_err(io::Error::from)?;
            self.connecting = false;
        }
        self.there.carry(&mut self.client, &mut self.server)?;
        self.back.carry(&mut self.server, &mut self.client)?;
        Ok(!(self.there.told && self.back.told))
    }
}

impl Way {
    fn carry(&mut self, from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
        if self.pending.is_empty() && !self.ended {
            let mut buffer = vec![0; CHUNK_SIZE];
            match from.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(length) => {
                    buffer.truncate(length);
                    self.pending = buffer;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        while !self.pending.is_empty() {
            match to.write(&self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.pending = Vec::new();
        if self.ended && !self.told {
            self.told = true;
            // It may have closed by itself.
            let _ = to.shutdown(Shutdown::Write);
        }
        Ok(())
    }
}

fn start_connecting(server: SocketAddr) -> io::Result<TcpStream> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}
