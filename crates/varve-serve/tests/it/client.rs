//! A registry to ask, and a client that says exactly what it is told to.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write},
    net::TcpStream,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;
use varve_serve::{
    Running,
    registry::{Options, serve},
};
use varve_types::Ctx;

/// A log that tests can read.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A served registry.
pub(crate) struct Served {
    pub(crate) running: Running,
    pub(crate) directory: TempDir,
    log: Lines,
}

impl Served {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = Lines::default();
        let mut options = options(&directory.path().join("registry"));
        options.log = Some(Box::new(log.clone()));
        change(&mut options);
        let running = serve(options, &Ctx::for_test()).unwrap();
        Self { running, directory, log }
    }

    pub(crate) fn root(&self) -> std::path::PathBuf {
        self.directory.path().join("registry")
    }

    pub(crate) fn host(&self) -> String {
        self.running.local_addr().to_string()
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.running.local_addr())
    }
}

pub(crate) fn options(root: &Path) -> Options {
    Options { listen: "127.0.0.1:0".to_owned(), root: root.to_owned(), ..Options::default() }
}

/// One connection.
pub(crate) struct Connection(BufReader<TcpStream>);

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

impl Connection {
    pub(crate) fn open(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Reads one response's head.
    pub(crate) fn head(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "connection ended: {head}");
        }
        let head = head.replace("\r\n", "\n");
        let status = head[9..12].parse().unwrap();
        Answer { status, head, body: Vec::new() }
    }

    pub(crate) fn body(&mut self, answer: &mut Answer) {
        let length = ["content-length", "Content-Length"].iter().find_map(|n| answer.header(n));
        let length = length.unwrap_or("0").parse().unwrap();
        answer.body.resize(length, 0);
        self.0.read_exact(&mut answer.body).unwrap();
    }

    /// Sends a request and reads the response.
    pub(crate) fn ask(&mut self, head: &str, body: &[u8]) -> Answer {
        let mut lines = head.lines();
        let mut text = format!("{} HTTP/1.1\r\nHost: x\r\n", lines.next().unwrap());
        for line in lines {
            let _ = write!(text, "{line}\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n", body.len());
        self.write(&[text.as_bytes(), body].concat());
        let mut answer = self.head();
        if !head.starts_with("HEAD") {
            self.body(&mut answer);
        }
        answer
    }

    /// Whether the server closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.0.fill_buf(), Ok([]) | Err(_))
    }
}
