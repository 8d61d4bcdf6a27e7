//! Those who are connected to the monitor, and what waits to be sent to each.

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    rc::Rc,
};

use crate::attach::{
    Attach, BACKLOG_SIZE_BYTES_MAX, Condition, Pace,
    frame::{self, Decoder, TooLong},
};

/// Bytes that may wait for a client that the container waits for.
const HELD_SIZE_BYTES: usize = 256 << 10;

/// What a connection is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// It has not said yet.
    Unknown,
    Attached(Attach),
    Waiting(Condition),
    /// It hears of a process of its own in the container.
    Exec(Attach),
    /// The container is frozen as long as it is there.
    Freezing,
    /// The container stays at an end that comes as long as it is there.
    Keeping,
    /// It gets what is left and is closed.
    Closing,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) token: u64,
    pub(super) purpose: Purpose,
    stream: UnixStream,
    decoder: Decoder,
    backlog: VecDeque<Rc<[u8]>>,
    /// Bytes of the first frame of the backlog that were sent.
    sent_bytes: usize,
    backlog_bytes: usize,
    /// No more comes from it, or goes to it.
    gone: bool,
}

impl Client {
    pub(super) fn new(token: u64, stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            token,
            purpose: Purpose::Unknown,
            stream,
            decoder: Decoder::default(),
            backlog: VecDeque::new(),
            sent_bytes: 0,
            backlog_bytes: 0,
            gone: false,
        })
    }

    pub(super) fn attach(&self) -> Option<Attach> {
        match self.purpose {
            Purpose::Attached(attach) => Some(attach),
            _ => None,
        }
    }

    /// What it wants, whatever it is attached to.
    fn wants(&self) -> Option<Attach> {
        match self.purpose {
            Purpose::Attached(attach) | Purpose::Exec(attach) => Some(attach),
            _ => None,
        }
    }

    /// Whether so much waits for it that what it hears of must wait.
    pub(super) fn is_behind(&self) -> bool {
        self.backlog_bytes > HELD_SIZE_BYTES
            && self.wants().is_some_and(|attach| attach.pace == Pace::Wait)
    }

    /// Whether the container must wait for this one.
    pub(super) fn holds_up(&self) -> bool {
        self.attach().is_some() && self.is_behind()
    }

    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    pub(super) fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// Whether the connection is over.
    pub(super) fn is_done(&self) -> bool {
        self.gone || (matches!(self.purpose, Purpose::Closing) && self.backlog.is_empty())
    }

    /// Whether anything that it sends is still of interest.
    pub(super) fn is_heard(&self) -> bool {
        !matches!(self.purpose, Purpose::Closing)
    }

    /// Sends a frame, now or when there is room.
    pub(super) fn send(&mut self, frame: &Rc<[u8]>) {
        self.backlog.push_back(Rc::clone(frame));
        self.backlog_bytes += frame.len();
        self.flush();
        let drops = self.wants().is_some_and(|attach| attach.pace == Pace::Drop);
        if drops && self.backlog_bytes > BACKLOG_SIZE_BYTES_MAX {
            self.let_go();
        }
    }

    /// Sends a last frame.
    pub(super) fn send_last(&mut self, frame: &Rc<[u8]>) {
        self.purpose = Purpose::Closing;
        self.send(frame);
    }

    /// A client that does not read: what was begun is finished, the rest it does not get.
    fn let_go(&mut self) {
        self.backlog.truncate(usize::from(self.sent_bytes > 0));
        self.backlog_bytes = self.backlog.iter().map(|frame| frame.len()).sum::<usize>();
        self.backlog_bytes -= self.sent_bytes;
        self.send_last(&Rc::from(frame::head(frame::TOO_SLOW, 0)));
    }

    /// Sends what there is room for.
    pub(super) fn flush(&mut self) {
        while let Some(frame) = self.backlog.front() {
            match self.stream.write(&frame[self.sent_bytes..]) {
                Ok(size) => {
                    self.sent_bytes += size;
                    self.backlog_bytes -= size;
                    if self.sent_bytes == frame.len() {
                        self.backlog.pop_front();
                        self.sent_bytes = 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.gone = true;
                    self.backlog.clear();
                    self.backlog_bytes = 0;
                    return;
                }
            }
        }
    }

    /// Takes what arrived. Once, so that no client keeps the others waiting.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) {
        match self.stream.read(buffer) {
            Ok(0) => self.gone = true,
            Ok(size) => self.decoder.feed(&buffer[..size]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => self.gone = true,
        }
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<(u8, Vec<u8>)>, TooLong> {
        self.decoder.next_frame()
    }

    pub(super) fn close(&mut self) {
        self.gone = true;
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
