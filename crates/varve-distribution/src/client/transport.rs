//! Connections: TCP, through a proxy where the environment names one, TLS where the URL says so.
//!
//! `ureq` speaks HTTP over what this module connects. It is our own so that errors keep their
//! facts, waiting has a limit for each read, and certificates are chosen for each host.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use ureq::{
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport},
    },
};

use super::{
    error::Reason,
    proxy::{Proxies, Proxy},
    tls::{self, Tls},
    url::{Scheme, Url},
};
use crate::hosts::HostsConfig;

/// Bytes that a proxy may answer before it lets us through.
const PROXY_ANSWER_SIZE_BYTES_MAX: usize = 16 << 10;

/// Fewer bytes than these while twice the idle time was waited for them is no progress.
const PROGRESS_SIZE_BYTES: u64 = 4 << 10;

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    pub(crate) connect: Duration,
    pub(crate) idle: Duration,
}

/// Makes connections.
#[derive(Debug)]
pub(crate) struct Dialer {
    pub(crate) hosts: Arc<HostsConfig>,
    pub(crate) proxies: Proxies,
    pub(crate) tls: Tls,
    pub(crate) waits: Waits,
}

impl Connector for Dialer {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails,
        _: Option<()>,
    ) -> Result<Option<Connection>, ureq::Error> {
        let connection = self.dial(details).map_err(|reason| ureq::Error::Other(reason.into()))?;
        Ok(Some(connection))
    }
}

impl Dialer {
    fn dial(&self, details: &ConnectionDetails) -> Result<Connection, Reason> {
        let text = details.uri.to_string();
        let url: Url = text.parse().map_err(|_| Reason::Location(text))?;
        let proxy = self.proxies.choose(&url).map_err(Reason::Proxy)?;
        let tcp = match proxy {
            None => self.tcp(url.host(), url.port())?,
            Some(proxy) => self
                .tcp(proxy.url.host(), proxy.url.port())
                .map_err(|reason| Reason::Proxy(reason.to_string()))?,
        };
        let socket = tcp.try_clone().map_err(Reason::Broken)?;
        let mut stream: Box<dyn Duplex> = Box::new(tcp);
        if let Some(proxy) = proxy {
            if proxy.url.scheme() == Scheme::Https {
                stream = self.wrap(&proxy.url, stream)?;
            }
            if url.scheme() == Scheme::Https {
                tunnel(&mut stream, &url, proxy)?;
            }
        }
        let secure = url.scheme() == Scheme::Https;
        if secure {
            stream = self.wrap(&url, stream)?;
        }
        let forward = proxy.filter(|_| !secure).map(|proxy| Forward {
            origin: format!("http://{}", url.authority()),
            authorization: proxy.authorization.clone(),
            at_head: true,
        });
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let (idle, pace) = (self.waits.idle, Pace::default());
        Ok(Connection { buffers, stream, socket, secure, forward, idle, pace })
    }

    fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, Reason> {
        let addresses: Vec<SocketAddr> = (host, port)
            .to_socket_addrs()
            .map_err(|_| Reason::Lookup { host: host.to_owned() })?
            .collect();
        let mut last = Reason::Lookup { host: host.to_owned() };
        for address in addresses {
            match TcpStream::connect_timeout(&address, self.waits.connect) {
                Ok(stream) => {
                    let wait = Some(self.waits.idle);
                    stream.set_nodelay(true).map_err(Reason::Broken)?;
                    stream.set_read_timeout(wait).map_err(Reason::Broken)?;
                    stream.set_write_timeout(wait).map_err(Reason::Broken)?;
                    return Ok(stream);
                }
                Err(source) => last = Reason::Dial { address: address.to_string(), source },
            }
        }
        Err(last)
    }

    fn wrap(&self, url: &Url, mut stream: Box<dyn Duplex>) -> Result<Box<dyn Duplex>, Reason> {
        let verified = !self.hosts.is_insecure(&url.authority());
        let config = self.tls.config(&url.authority(), verified)?;
        let name = ServerName::try_from(url.host().to_owned())
            .map_err(|error| Reason::Tls(error.to_string()))?;
        let mut connection = ClientConnection::new(config, name).map_err(tls::reason)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).map_err(|error| self.handshake_reason(error))?;
        }
        Ok(Box::new(StreamOwned::new(connection, stream)))
    }

    fn handshake_reason(&self, error: io::Error) -> Reason {
        let kind = error.kind();
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => tls::reason(error.clone()),
            None if is_timeout(kind) => Reason::Idle { seconds: self.waits.idle.as_secs() },
            None if kind == io::ErrorKind::UnexpectedEof => Reason::Tls("handshake: EOF".into()),
            None => Reason::Broken(error),
        }
    }
}

/// Asks a proxy for a connection to the host of `url`.
fn tunnel(stream: &mut Box<dyn Duplex>, url: &Url, proxy: &Proxy) -> Result<(), Reason> {
    let target = url.host_and_port();
    let authorization = proxy.authorization.as_ref();
    let authorization =
        authorization.map_or(String::new(), |value| format!("Proxy-Authorization: {value}\r\n"));
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
    let broken = |error: io::Error| Reason::Proxy(Reason::Broken(error).to_string());
    stream.write_all(head.as_bytes()).and_then(|()| stream.flush()).map_err(broken)?;

    // Byte by byte: what follows the answer's head belongs to TLS.
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == PROXY_ANSWER_SIZE_BYTES_MAX {
            return Err(Reason::Proxy("the answer has no end".into()));
        }
        stream.read_exact(&mut byte).map_err(broken)?;
        answer.push(byte[0]);
    }
    let line = String::from_utf8_lossy(answer.split(|b| *b == b'\r').next().unwrap_or_default());
    match line.split_once(' ') {
        Some((version, rest)) if version.starts_with("HTTP/1.") && rest.starts_with('2') => Ok(()),
        Some((_, rest)) => Err(Reason::Proxy(varve_types::Printable(rest).to_string())),
        None => Err(Reason::Proxy("the answer is not HTTP".into())),
    }
}

/// A stream of bytes in both directions.
trait Duplex: Read + Write + Send + Sync {}

impl<T: Read + Write + Send + Sync> Duplex for T {}

/// Requests for plain http go to the proxy itself, with the whole URL in their first line.
struct Forward {
    origin: String,
    authorization: Option<String>,
    /// The next bytes to send are the head of a request.
    at_head: bool,
}

/// One connection, as `ureq` uses it.
pub(crate) struct Connection {
    buffers: LazyBuffers,
    stream: Box<dyn Duplex>,
    /// The same socket, for what only a socket can do.
    socket: TcpStream,
    secure: bool,
    forward: Option<Forward>,
    idle: Duration,
    pace: Pace,
}

/// How much came lately, and how long was waited for it. Time that the reader of the bytes
/// takes does not count.
#[derive(Debug, Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({:?})", self.socket.peer_addr().ok())
    }
}

impl Connection {
    fn failed(&self, error: io::Error) -> ureq::Error {
        if is_timeout(error.kind()) {
            return ureq::Error::Other(Reason::Idle { seconds: self.idle.as_secs() }.into());
        }
        ureq::Error::Io(error)
    }
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        self.pace = Pace::default();
        let output = &self.buffers.output()[..amount];
        let sent = match &mut self.forward {
            Some(forward) if forward.at_head => {
                forward.at_head = false;
                let head = whole_url_head(output, forward);
                self.stream.write_all(&head)
            }
            _ => self.stream.write_all(output),
        };
        sent.and_then(|()| self.stream.flush()).map_err(|error| self.failed(error))
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        if let Some(forward) = &mut self.forward {
            forward.at_head = true;
        }
        let input = self.buffers.input_append_buf();
        let begun = Instant::now();
        let amount = loop {
            match self.stream.read(input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let amount = amount.map_err(|error| self.failed(error))?;
        self.buffers.input_appended(amount);
        self.pace.bytes += amount as u64;
        self.pace.waited += begun.elapsed();
        if self.pace.bytes >= PROGRESS_SIZE_BYTES {
            self.pace = Pace::default();
        } else if self.pace.waited >= self.idle * 2 {
            let (bytes, seconds) = (self.pace.bytes, self.pace.waited.as_secs());
            return Err(ureq::Error::Other(Reason::Slow { bytes, seconds }.into()));
        }
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // Nothing may be waiting on an idle connection but, in TLS 1.3, late tickets; those
        // cannot be told from a closing alert here, so such a connection is not used again.
        let mut byte = [0];
        if self.socket.set_nonblocking(true).is_err() {
            return false;
        }
        let silent = matches!(
            self.socket.peek(&mut byte),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock
        );
        self.socket.set_nonblocking(false).is_ok() && silent
    }

    fn is_tls(&self) -> bool {
        self.secure
    }
}

/// The head of a request with the whole URL in its first line, as a proxy wants it.
fn whole_url_head(head: &[u8], forward: &Forward) -> Vec<u8> {
    let Some(space) = head.iter().position(|byte| *byte == b' ') else { return head.to_vec() };
    let (method, rest) = head.split_at(space + 1);
    let mut whole = [method, forward.origin.as_bytes(), rest].concat();
    let end = whole.windows(2).position(|pair| pair == b"\r\n");
    if let (Some(value), Some(end)) = (&forward.authorization, end) {
        let header = format!("\r\nProxy-Authorization: {value}");
        whole.splice(end..end, header.into_bytes());
    }
    whole
}

fn is_timeout(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// Leaves names alone: [`Dialer`] looks them up, where an error can say which name it was.
#[derive(Debug)]
pub(crate) struct Unresolved;

impl Resolver for Unresolved {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// What went wrong below HTTP.
pub(crate) fn reason(error: ureq::Error) -> Reason {
    match error {
        ureq::Error::Other(inner) => match inner.downcast::<Reason>() {
            Ok(reason) => *reason,
            Err(inner) => Reason::Protocol(inner.to_string()),
        },
        ureq::Error::Io(error) => reason_of_io(error),
        ureq::Error::Timeout(_) => Reason::Broken(io::ErrorKind::TimedOut.into()),
        other => Reason::Protocol(other.to_string()),
    }
}

/// What went wrong while a body was read.
pub(crate) fn reason_of_io(error: io::Error) -> Reason {
    match error.downcast::<ureq::Error>() {
        Ok(error) => reason(error),
        Err(error) => Reason::Broken(error),
    }
}
