//! HTTP/1.1 over one connection, as plain as it gets: the test registry's front.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use rustls::{ServerConnection, StreamOwned};

/// Bytes and lines of one request's head.
const HEAD_SIZE_BYTES_MAX: u64 = 64 << 10;

/// A connection's bytes, through TLS or not.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A connection that requests are read from and responses written to. Shared with the body of
/// the request being answered.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Mutex<BufReader<Stream>>>);

impl Connection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self(Arc::new(Mutex::new(BufReader::new(stream))))
    }

    fn lock(&self) -> MutexGuard<'_, BufReader<Stream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        let mut guard = self.lock();
        guard.get_mut().write_all(bytes)?;
        guard.get_mut().flush()
    }

    fn line(&self, budget: &mut u64) -> io::Result<String> {
        let mut line = Vec::new();
        let count = (&mut *self.lock()).take(*budget).read_until(b'\n', &mut line)?;
        *budget -= count as u64;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_err(io::Error::other)
    }

    /// Reads the head of the next request; `None` when the client closed the connection.
    pub(crate) fn next(&self) -> io::Result<Option<Request<Incoming>>> {
        if self.lock().fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut budget = HEAD_SIZE_BYTES_MAX;
        let first = self.line(&mut budget)?;
        let mut words = first.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(io::Error::other)?;
        *request.uri_mut() = target.parse::<Uri>().map_err(io::Error::other)?;
        loop {
            let line = self.line(&mut budget)?;
            if line.is_empty() {
                break;
            }
            let (name, value) =
                line.split_once(':').ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
            let value = HeaderValue::from_str(value.trim()).map_err(io::Error::other)?;
            request.headers_mut().append(name, value);
        }
        let body = Incoming::new(self.clone(), request.headers());
        Ok(Some(request.map(|()| body)))
    }
}

/// How much of a request's body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remaining {
    Bytes(u64),
    /// So many bytes of the current chunk.
    Chunk(u64),
    /// The next thing is the line with a chunk's size; `true` before the first.
    ChunkHead(bool),
}

struct State {
    connection: Connection,
    remaining: Remaining,
    /// The client waits for `100 Continue` before it sends the body.
    expects: bool,
    received: u64,
    /// Where the connection breaks, for tests.
    cut_after: Option<u64>,
}

/// A request's body. Clones read the same bytes.
#[derive(Clone)]
pub(crate) struct Incoming(Arc<Mutex<State>>);

impl Incoming {
    fn new(connection: Connection, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let chunked = text("transfer-encoding").is_some_and(|value| value.contains("chunked"));
        let length = text("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        let remaining = if chunked { Remaining::ChunkHead(true) } else { Remaining::Bytes(length) };
        let expects =
            text("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        Self(Arc::new(Mutex::new(State {
            connection,
            remaining,
            expects,
            received: 0,
            cut_after: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cut_after(&self, bytes: u64) {
        self.lock().cut_after = Some(bytes);
    }

    pub(crate) fn received(&self) -> u64 {
        self.lock().received
    }

    /// Whether nothing of the body is left on the connection, so that it can be used again.
    pub(crate) fn is_drained(&self) -> bool {
        let state = self.lock();
        state.remaining == Remaining::Bytes(0)
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buffer)
    }
}

impl State {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.expects && self.remaining != Remaining::Bytes(0) {
            self.expects = false;
            self.connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if let Remaining::ChunkHead(first) = self.remaining {
            self.chunk_head(first)?;
        }
        let left = match self.remaining {
            Remaining::Bytes(left) | Remaining::Chunk(left) => left,
            Remaining::ChunkHead(_) => 0,
        };
        let mut room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if let Some(cut_after) = self.cut_after {
            let allowed = cut_after.saturating_sub(self.received);
            if allowed == 0 && room > 0 {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            room = room.min(allowed as usize);
        }
        if room == 0 {
            return Ok(0);
        }
        let count = self.connection.lock().read(&mut buffer[..room])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.received += count as u64;
        let left = left - count as u64;
        self.remaining = match self.remaining {
            Remaining::Chunk(_) if left == 0 => Remaining::ChunkHead(false),
            Remaining::Chunk(_) => Remaining::Chunk(left),
            _ => Remaining::Bytes(left),
        };
        Ok(count)
    }

    fn chunk_head(&mut self, first: bool) -> io::Result<()> {
        let mut budget = HEAD_SIZE_BYTES_MAX;
        if !first {
            self.connection.line(&mut budget)?;
        }
        let line = self.connection.line(&mut budget)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        if size > 0 {
            self.remaining = Remaining::Chunk(size);
            return Ok(());
        }
        while !self.connection.line(&mut budget)?.is_empty() {}
        self.remaining = Remaining::Bytes(0);
        Ok(())
    }
}
