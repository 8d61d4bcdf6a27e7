//! Netlink: requests made of attributes, and the kernel's answers. Blocking, and enough for links,
//! addresses, routes and nf_tables.
//!
//! The kernel does what a request asks before the call that sends it returns, so answers are read
//! without waiting: one that is not there will never come.

use std::{io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::{self, SocketAddrNetlink},
        recv, sendto, socket_with, sockopt,
    },
};

/// Asks for something.
pub(crate) const REQUEST: u16 = 1;
/// Wants to hear that it was done.
pub(crate) const ACK: u16 = 4;
/// Must not be there yet.
pub(crate) const EXCL: u16 = 0x200;
/// Makes it when it is not there.
pub(crate) const CREATE: u16 = 0x400;
/// Goes behind what is there.
pub(crate) const APPEND: u16 = 0x800;
const DUMP: u16 = 0x300;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER_SIZE: usize = 16;
const NESTED: u16 = 0x8000;
/// Room for one read; the kernel's answers to dumps come in pieces of at most 32 KiB.
const READ_SIZE: usize = 64 << 10;
/// Room for one batch of rules; the kernel may grant less.
const SEND_SIZE: usize = 4 << 20;
/// Times a list is asked for again because it changed while it was read.
const DUMP_TRIES_MAX: usize = 10;
/// The list changed while it was read.
const DUMP_INTERRUPTED: u16 = 0x10;

/// Attributes, one behind the other, each padded to four bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn bytes(mut self, kind: u16, payload: &[u8]) -> Self {
        let length = u16::try_from(4 + payload.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(&payload[..usize::from(length) - 4]);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// A number in the machine's byte order, as rtnetlink has them.
    pub(crate) fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// A number in the network's byte order, as netfilter has them.
    pub(crate) fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn text(self, kind: u16, text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    pub(crate) fn nest(self, kind: u16, inner: &Attributes) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }

    /// Bytes that stand before inner attributes (`ifinfomsg` inside `VETH_INFO_PEER`).
    pub(crate) fn nest_behind(self, kind: u16, header: &[u8], inner: &Attributes) -> Self {
        let mut bytes = header.to_vec();
        bytes.extend(&inner.0);
        self.bytes(kind | NESTED, &bytes)
    }
}

/// One request: its kind, flags, fixed header and attributes.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) header: Vec<u8>,
    pub(crate) attributes: Attributes,
}

impl Request {
    fn encode(&self, flags: u16, sequence: u32, into: &mut Vec<u8>) {
        let body = self.header.len() + self.attributes.0.len();
        into.extend(((HEADER_SIZE + body) as u32).to_ne_bytes());
        into.extend(self.kind.to_ne_bytes());
        into.extend((self.flags | flags).to_ne_bytes());
        into.extend(sequence.to_ne_bytes());
        into.extend(0_u32.to_ne_bytes());
        into.extend(&self.header);
        into.extend(&self.attributes.0);
        into.resize(into.len().next_multiple_of(4), 0);
    }
}

/// One answer: its kind and what follows the netlink header.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) kind: u16,
    flags: u16,
    sequence: u32,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The attributes behind a fixed header of `header_size` bytes.
    pub(crate) fn attributes(&self, header_size: usize) -> Vec<(u16, &[u8])> {
        attributes(self.body.get(header_size.next_multiple_of(4)..).unwrap_or_default())
    }

    /// The code of an error or acknowledgement: zero for success.
    fn errno(&self) -> Option<i32> {
        let bytes = self.body.get(..4)?.try_into().ok()?;
        Some(-i32::from_ne_bytes(bytes))
    }
}

/// Reads attributes; stops where they make no sense.
pub(crate) fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let [a, b, c, d, ..] = *bytes {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let kind = u16::from_ne_bytes([c, d]) & 0x3fff;
        let Some(payload) = bytes.get(4..length) else { break };
        found.push((kind, payload));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The payload of one attribute of a list.
pub(crate) fn find<'a>(list: &[(u16, &'a [u8])], kind: u16) -> Option<&'a [u8]> {
    list.iter().find(|(found, _)| *found == kind).map(|(_, payload)| *payload)
}

/// Which part of the kernel is spoken to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subsystem {
    Route,
    Netfilter,
}

/// A netlink socket. It belongs to the network namespace it was opened in, whoever uses it later.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    pub(crate) fn open(subsystem: Subsystem) -> io::Result<Self> {
        let protocol = match subsystem {
            // Number zero, which is what asking for none gives.
            Subsystem::Route => None,
            Subsystem::Netfilter => Some(netlink::NETFILTER),
        };
        let kind = SocketType::RAW;
        let fd = socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, protocol)?;
        bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        if let Subsystem::Netfilter = subsystem {
            // Beyond what others may set, which is fine: a batch that does not fit is an error.
            let _ = sockopt::set_socket_send_buffer_size(&fd, SEND_SIZE);
        }
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends one request and waits until it is done.
    pub(crate) fn ask(&mut self, request: &Request) -> io::Result<()> {
        self.send(&[(request, REQUEST | ACK)])?;
        self.answers(&[self.sequence])
    }

    /// Sends requests that the kernel does together or not at all, between `begin` and `end`.
    pub(crate) fn ask_together(
        &mut self,
        begin: &Request,
        requests: &[Request],
        end: &Request,
    ) -> io::Result<()> {
        let Some((last, others)) = requests.split_last() else { return Ok(()) };
        let first = self.sequence + 1;
        let mut batch = vec![(begin, REQUEST)];
        batch.extend(others.iter().map(|request| (request, REQUEST)));
        batch.push((last, REQUEST | ACK));
        batch.push((end, REQUEST));
        self.send(&batch)?;
        // The last request is acknowledged; where batches are not known, their beginning is refused.
        self.answers(&[self.sequence - 1, first])
    }

    /// Sends one request for a list and returns it.
    pub(crate) fn list(&mut self, request: &Request) -> io::Result<Vec<Answer>> {
        for _ in 0..DUMP_TRIES_MAX {
            self.send(&[(request, REQUEST | DUMP)])?;
            if let Some(answers) = self.dump()? {
                return Ok(answers);
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    fn dump(&mut self) -> io::Result<Option<Vec<Answer>>> {
        let (mut found, mut whole) = (Vec::new(), true);
        loop {
            for answer in self.read()? {
                if answer.sequence != self.sequence {
                    continue;
                }
                whole &= answer.flags & DUMP_INTERRUPTED == 0;
                match (answer.kind, answer.errno()) {
                    (DONE, _) | (ERROR, Some(0)) => return Ok(whole.then_some(found)),
                    (ERROR, code) => return Err(os_error(code)),
                    _ => found.push(answer),
                }
            }
        }
    }

    /// Sends one request and returns the one thing it asks for.
    pub(crate) fn get(&mut self, request: &Request) -> io::Result<Answer> {
        self.send(&[(request, REQUEST)])?;
        loop {
            for answer in self.read()? {
                if answer.sequence != self.sequence {
                    continue;
                }
                match answer.kind {
                    ERROR => return Err(os_error(answer.errno())),
                    _ => return Ok(answer),
                }
            }
        }
    }

    fn send(&mut self, requests: &[(&Request, u16)]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (request, flags) in requests {
            self.sequence += 1;
            request.encode(*flags, self.sequence, &mut bytes);
        }
        sendto(&self.fd, &bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        Ok(())
    }

    /// Reads until one of `last` is answered; the first error is the result.
    fn answers(&mut self, last: &[u32]) -> io::Result<()> {
        let mut first_error = None;
        loop {
            let answers = match self.read() {
                // Nothing more comes: the acknowledgement was lost behind an error.
                Err(_) if first_error.is_some() => return Err(os_error(first_error)),
                other => other?,
            };
            for answer in answers.iter().filter(|answer| answer.kind == ERROR) {
                match answer.errno() {
                    Some(0) => {}
                    code => {
                        let code = code.unwrap_or(Errno::IO.raw_os_error());
                        first_error = first_error.or(Some(code));
                    }
                }
                if last.contains(&answer.sequence) {
                    return first_error.map_or(Ok(()), |code| Err(os_error(Some(code))));
                }
            }
        }
    }

    fn read(&mut self) -> io::Result<Vec<Answer>> {
        let mut buffer = vec![0; READ_SIZE];
        let (length, _) = loop {
            match recv(&self.fd, &mut buffer, RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        let mut rest = buffer.get(..length).ok_or(Errno::MSGSIZE)?;
        let mut answers = Vec::new();
        while let Some(header) = rest.get(..HEADER_SIZE) {
            let number = |at: usize| {
                u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
            };
            let length = number(0) as usize;
            let Some(body) = rest.get(HEADER_SIZE..length) else { break };
            answers.push(Answer {
                kind: u16::from_ne_bytes([header[4], header[5]]),
                flags: u16::from_ne_bytes([header[6], header[7]]),
                sequence: number(8),
                body: body.to_vec(),
            });
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(answers)
    }
}

fn os_error(code: Option<i32>) -> io::Error {
    io::Error::from_raw_os_error(code.unwrap_or(Errno::IO.raw_os_error()))
}
