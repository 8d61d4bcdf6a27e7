//! Answers a container's questions for names: those of its networks from the records, others by
//! asking the upstream name servers.
//!
//! Each question that goes on gets a socket of its own, connected to the server, with a port and
//! an ID that nobody can predict; an answer counts if server, ID and question are right. So
//! nobody answers in the server's place without seeing the question. Nothing is cached.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use rustix::event::PollFlags;
use varve_types::limits;

use super::{
    Watched,
    message::{self, Code, Question, Record},
    relay::Relays,
    zone::Zones,
};

const PORT: u16 = 53;
const DATAGRAM_SIZE_MAX: usize = 65_535;
/// What every client takes without saying so (RFC 1035, 4.2.1).
const REPLY_SIZE_MAX: usize = 512;
/// How long one server may take before the next is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often servers are asked in all.
const TRIES_MAX: usize = 4;
/// How long a client may take to say its question over TCP.
const ASKING_MAX: Duration = Duration::from_secs(10);

/// The resolver of one container.
#[derive(Debug)]
pub(super) struct Resolver {
    udp: UdpSocket,
    tcp: TcpListener,
    zones: Zones,
    forwarded: Vec<Forwarded>,
    asking: Vec<Asking>,
}

/// A question that a server was asked.
#[derive(Debug)]
struct Forwarded {
    socket: UdpSocket,
    client: SocketAddr,
    query: Vec<u8>,
    question: Question,
    id: u16,
    tries: usize,
    until: Instant,
}

/// A client that has not said its question yet, over TCP.
#[derive(Debug)]
struct Asking {
    stream: TcpStream,
    bytes: Vec<u8>,
    until: Instant,
}

enum Decision {
    Reply(Vec<u8>),
    Forward(Question),
    Nothing,
}

impl Resolver {
    pub(super) fn new(udp: UdpSocket, tcp: TcpListener, zones: Zones) -> Self {
        Self { udp, tcp, zones, forwarded: Vec::new(), asking: Vec::new() }
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.forwarded.is_empty() || !self.asking.is_empty()
    }

    pub(super) fn watch<'a>(&'a self, into: &mut Vec<Watched<'a>>) {
        into.push((self.udp.as_fd(), PollFlags::IN));
        let has_room = self.asking.len() < limits::RESOLVER_QUERIES_MAX;
        into.push((self.tcp.as_fd(), if has_room { PollFlags::IN } else { PollFlags::empty() }));
        into.extend(self.forwarded.iter().map(|one| (one.socket.as_fd(), PollFlags::IN)));
        into.extend(self.asking.iter().map(|one| (one.stream.as_fd(), PollFlags::IN)));
    }

    pub(super) fn turn(&mut self, ready: &[PollFlags], now: Instant, relays: &mut Relays) {
        let (fixed, others) = ready.split_at(2);
        let (forwarded, asking) = others.split_at(self.forwarded.len());
        self.take_answers(forwarded, now);
        self.hear(asking, now, relays);
        if !fixed[0].is_empty() {
            self.take_questions(now);
        }
        if !fixed[1].is_empty()
            && let Ok((stream, _)) = self.tcp.accept()
            && stream.set_nonblocking(true).is_ok()
        {
            self.asking.push(Asking { stream, bytes: Vec::new(), until: now + ASKING_MAX });
        }
    }

    fn take_questions(&mut self, now: Instant) {
        let mut buffer = vec![0; DATAGRAM_SIZE_MAX];
        // A bound, so that one busy client does not keep the answers of others waiting.
        for _ in 0..limits::RESOLVER_QUERIES_MAX {
            let Ok((length, client)) = self.udp.recv_from(&mut buffer) else { return };
            let query = &buffer[..length];
            match self.decide(query, REPLY_SIZE_MAX) {
                Decision::Reply(reply) => {
                    let _ = self.udp.send_to(&reply, client);
                }
                Decision::Forward(question) => self.forward(query, question, client, now),
                Decision::Nothing => {}
            }
        }
    }

    fn decide(&mut self, query: &[u8], size_max: usize) -> Decision {
        let Some(question) = message::question(query) else { return Decision::Nothing };
        let records = match question.kind {
            message::PTR => {
                let address = message::reversed(&question.name);
                let name = address.and_then(|address| self.zones.name(address));
                name.map(|name| vec![Record::Name(name)])
            }
            kind => self.zones.addresses(&question.name).map(|addresses| {
                let wanted = |address: &IpAddr| match kind {
                    message::A => address.is_ipv4(),
                    message::AAAA => address.is_ipv6(),
                    _ => false,
                };
                let mut found: Vec<IpAddr> = addresses.into_iter().filter(wanted).collect();
                // Containers that share an alias take turns.
                let turn = usize::from(u16::from_be_bytes([query[0], query[1]]));
                let start = turn % found.len().max(1);
                found.rotate_left(start);
                found.into_iter().map(Record::Address).collect()
            }),
        };
        match records {
            Some(records) => {
                let code = Code::NoError;
                Decision::Reply(message::reply(query, &question, code, &records, size_max))
            }
            None => Decision::Forward(question),
        }
    }

    fn forward(&mut self, query: &[u8], question: Question, client: SocketAddr, now: Instant) {
        let upstreams = self.zones.upstreams();
        let query = query.to_vec();
        let sent = if self.forwarded.len() < limits::RESOLVER_QUERIES_MAX {
            send(&query, &upstreams, 0)
        } else {
            None
        };
        let until = now + PATIENCE;
        match sent {
            Some((socket, id, tries)) => {
                let one = Forwarded { socket, client, query, question, id, tries, until };
                self.forwarded.push(one);
            }
            None => self.fail(&query, &question, client),
        }
    }

    fn fail(&self, query: &[u8], question: &Question, client: SocketAddr) {
        let reply = message::reply(query, question, Code::ServerFailure, &[], REPLY_SIZE_MAX);
        let _ = self.udp.send_to(&reply, client);
    }

    fn take_answers(&mut self, ready: &[PollFlags], now: Instant) {
        let mut kept = Vec::new();
        let all = std::mem::take(&mut self.forwarded);
        for (mut one, ready) in all.into_iter().zip(ready) {
            let answer = if ready.is_empty() { Ok(None) } else { one.answer() };
            match answer {
                Ok(Some(answer)) => {
                    let _ = self.udp.send_to(&answer, one.client);
                }
                Ok(None) if now < one.until => kept.push(one),
                // Too late, or the server is not there.
                Ok(None) | Err(_) => match send(&one.query, &self.zones.upstreams(), one.tries) {
                    Some((socket, id, tries)) => {
                        (one.socket, one.id, one.tries) = (socket, id, tries);
                        one.until = now + PATIENCE;
                        kept.push(one);
                    }
                    None => self.fail(&one.query, &one.question, one.client),
                },
            }
        }
        self.forwarded = kept;
    }

    fn hear(&mut self, ready: &[PollFlags], now: Instant, relays: &mut Relays) {
        let mut kept = Vec::new();
        let all = std::mem::take(&mut self.asking);
        for (mut one, ready) in all.into_iter().zip(ready) {
            if !ready.is_empty() && !one.read() {
                continue;
            }
            let Some(query) = one.query() else {
                if now < one.until {
                    kept.push(one);
                }
                continue;
            };
            match self.decide(&query, DATAGRAM_SIZE_MAX) {
                Decision::Reply(reply) => {
                    let mut framed = (reply.len() as u16).to_be_bytes().to_vec();
                    framed.extend(reply);
                    // It fits into the socket's buffer, or the client does not read.
                    if matches!(one.stream.write(&framed), Ok(sent) if sent == framed.len()) {
                        one.bytes.drain(..2 + query.len());
                        kept.push(one);
                    }
                }
                // From here on the client talks to the server.
                Decision::Forward(_) => {
                    if let Some(server) = self.zones.upstreams().first() {
                        relays.begin(one.stream, SocketAddr::new(*server, PORT), one.bytes);
                    }
                }
                Decision::Nothing => {}
            }
        }
        self.asking = kept;
    }
}

impl Forwarded {
    /// The server's answer with the client's ID. What is not the answer is passed over.
    fn answer(&self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; DATAGRAM_SIZE_MAX];
        loop {
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
            if message::answers(&buffer[..length], self.id, &self.query, &self.question) {
                buffer.truncate(length);
                buffer[..2].copy_from_slice(&self.query[..2]);
                return Ok(Some(buffer));
            }
        }
    }
}

impl Asking {
    /// Reads what is there; false when the client is gone or says too much.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.bytes.extend(&buffer[..length]);
                self.bytes.len() <= 2 + DATAGRAM_SIZE_MAX
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    fn query(&self) -> Option<Vec<u8>> {
        let length = usize::from(u16::from_be_bytes([*self.bytes.first()?, *self.bytes.get(1)?]));
        self.bytes.get(2..2 + length).map(<[u8]>::to_vec)
    }
}

/// Asks the server whose turn it is; those that cannot be asked are passed over.
fn send(query: &[u8], upstreams: &[IpAddr], tries: usize) -> Option<(UdpSocket, u16, usize)> {
    if upstreams.is_empty() {
        return None;
    }
    (tries..TRIES_MAX).find_map(|tries| {
        let server = upstreams[tries % upstreams.len()];
        let (socket, id) = ask(query, server).ok()?;
        Some((socket, id, tries + 1))
    })
}

fn ask(query: &[u8], server: IpAddr) -> io::Result<(UdpSocket, u16)> {
    let any: IpAddr = match server {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect((server, PORT))?;
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    let mut sent = query.to_vec();
    sent[..2].copy_from_slice(&id);
    socket.send(&sent)?;
    Ok((socket, u16::from_be_bytes(id)))
}
