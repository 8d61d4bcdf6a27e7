//! An HTTP server whose every answer is scripted by a test.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names are in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// `GET /v2/`
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What to do with a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Said instead of the body's own size.
    length: Option<u64>,
    end: End,
}

/// What to do after the body.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum End {
    #[default]
    KeepAlive,
    Close,
    /// Say no more, but keep the connection.
    Stall,
    /// Send what is promised one byte at a time, with pauses.
    Dribble,
    /// Send the body again and again.
    Repeat,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    pub(crate) fn redirect(to: impl Into<String>) -> Self {
        Self::status(307).header("Location", to)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Promises `length` bytes, sends the body, and hangs up.
    pub(crate) fn cut(mut self, length: u64) -> Self {
        (self.length, self.end) = (Some(length), End::Close);
        self
    }

    /// Promises `length` bytes, sends the body, and falls silent.
    pub(crate) fn stall(mut self, length: u64) -> Self {
        (self.length, self.end) = (Some(length), End::Stall);
        self
    }

    /// Sends the body one byte at a time, never quite silent.
    pub(crate) fn dribble(mut self) -> Self {
        self.end = End::Dribble;
        self
    }

    /// Promises nothing and sends the body for ever.
    pub(crate) fn endless(mut self) -> Self {
        self.end = End::Repeat;
        self
    }

    /// Hangs up without an answer.
    pub(crate) fn hang_up() -> Self {
        Self::status(0)
    }
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;
/// Says after how many bytes of a request's body to hang up.
type Impatience = dyn Fn(&Request) -> Option<usize> + Send + Sync;

/// The server. It ends with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    secure: bool,
    seen: Arc<Mutex<Vec<Request>>>,
    stopped: Arc<AtomicBool>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

impl Server {
    /// Answers every request by `script`; the version check needs no case of its own.
    pub(crate) fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(None, |_| None, script)
    }

    /// The same over TLS.
    pub(crate) fn start_tls(
        config: Arc<ServerConfig>,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(Some(config), |_| None, script)
    }

    /// Hangs up in the middle of requests that `impatience` names.
    pub(crate) fn start_impatient(
        impatience: impl Fn(&Request) -> Option<usize> + Send + Sync + 'static,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(None, impatience, script)
    }

    /// Answers at an address where another server was a moment ago.
    pub(crate) fn start_at(
        address: SocketAddr,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        loop {
            if let Ok(listener) = TcpListener::bind(address) {
                return Self::start_on(listener, None, |_| None, script);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn start_with(
        tls: Option<Arc<ServerConfig>>,
        impatience: impl Fn(&Request) -> Option<usize> + Send + Sync + 'static,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::start_on(listener, tls, impatience, script)
    }

    fn start_on(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        impatience: impl Fn(&Request) -> Option<usize> + Send + Sync + 'static,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let secure = tls.is_some();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stopped = Arc::new(AtomicBool::new(false));
        let server = Self { address, secure, seen: seen.clone(), stopped: stopped.clone() };
        let script: Arc<Script> = Arc::new(script);
        let impatience: Arc<Impatience> = Arc::new(impatience);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (seen, tls) = (seen.clone(), tls.clone());
                let (script, impatience) = (script.clone(), impatience.clone());
                thread::spawn(move || {
                    // A client that goes away ends its own thread only.
                    let _ = match tls {
                        None => serve(stream, &seen, &*script, &*impatience),
                        Some(config) => {
                            let connection = ServerConnection::new(config).unwrap();
                            let stream = StreamOwned::new(connection, stream);
                            serve(stream, &seen, &*script, &*impatience)
                        }
                    };
                });
            }
        });
        server
    }

    /// `127.0.0.1:port`
    pub(crate) fn domain(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:port` and a path.
    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests so far that are not the version check, as method and target.
    pub(crate) fn lines(&self) -> Vec<String> {
        let requests = self.requests();
        requests.iter().filter(|r| r.target != "/v2/").map(Request::line).collect()
    }
}

fn serve<S: Read + Write>(
    stream: S,
    seen: &Mutex<Vec<Request>>,
    script: &Script,
    impatience: &Impatience,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = read_head(&mut stream)? {
        let length = request.header("content-length").map_or(0, |text| text.parse().unwrap());
        let limit = impatience(&request);
        request.body = vec![0; limit.unwrap_or(length).min(length)];
        stream.read_exact(&mut request.body)?;
        seen.lock().unwrap().push(request.clone());
        if limit.is_some() {
            return Ok(());
        }
        let reply = script(&request);
        if reply.status == 0 || !send(stream.get_mut(), &request, &reply)? {
            return Ok(());
        }
    }
    Ok(())
}

fn read_head<S: Read>(stream: &mut BufReader<S>) -> io::Result<Option<Request>> {
    let mut request = Request::default();
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_owned();
    (request.method, request.target) = (word(), word());
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            None => return Ok(Some(request)),
        }
    }
}

/// Sends a reply; tells whether the connection may go on.
fn send(stream: &mut impl Write, request: &Request, reply: &Reply) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    if reply.end == End::Repeat {
        head.push_str("Connection: close\r\n");
    } else if !matches!(reply.status, 100..=199 | 204) {
        let length = reply.length.unwrap_or(reply.body.len() as u64);
        let own = reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if !own {
            head.extend(["Content-Length: ", &length.to_string(), "\r\n"]);
        }
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        stream.flush()?;
        return Ok(true);
    }
    if reply.end == End::Dribble {
        for byte in &reply.body {
            stream.write_all(&[*byte])?;
            stream.flush()?;
            thread::sleep(Duration::from_millis(50));
        }
        return Ok(true);
    }
    stream.write_all(&reply.body)?;
    stream.flush()?;
    match reply.end {
        End::KeepAlive | End::Dribble => Ok(true),
        End::Close => Ok(false),
        End::Stall => {
            thread::sleep(Duration::from_secs(20));
            Ok(false)
        }
        End::Repeat => loop {
            stream.write_all(&reply.body)?;
        },
    }
}
