//! A web server on a loopback address, for files that builds fetch.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// What is answered: status, headers, body.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the length is left out, and the connection's end is the body's.
    pub(crate) is_endless: bool,
}

impl Answer {
    pub(crate) fn file(body: &str) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into(), is_endless: false }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

type Pages = Arc<Mutex<HashMap<String, Answer>>>;

/// A web server. Where a request has the file's `ETag`, or its time, it answers with 304.
pub(crate) struct Web {
    pages: Pages,
    log: Arc<Mutex<Vec<String>>>,
    address: String,
}

impl Web {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (pages, log) = (Pages::default(), Arc::new(Mutex::new(Vec::new())));
        let (its_pages, its_log) = (pages.clone(), log.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that goes away is its own business.
                let _ = answer(&stream, &its_pages, &its_log);
            }
        });
        Self { pages, log, address }
    }

    pub(crate) fn put(&self, path: &str, answer: Answer) {
        self.pages.lock().unwrap().insert(path.to_owned(), answer);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// What was asked since the last time, with what was answered: `/a 200`.
    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

fn answer(mut stream: &TcpStream, pages: &Pages, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let missing = Answer { status: 404, ..Answer::file("no such file") };
    let mut answer = pages.lock().unwrap().get(&path).cloned().unwrap_or(missing);
    let has = |asked: &str, name: &str| {
        let value = answer.headers.iter().find(|(known, _)| *known == name);
        value.is_some_and(|(_, value)| headers.get(asked) == Some(value))
    };
    if has("if-none-match", "etag") || has("if-modified-since", "last-modified") {
        answer.status = 304;
        answer.body.clear();
    }
    log.lock().unwrap().push(format!("{path} {}", answer.status));
    write!(stream, "HTTP/1.1 {} Told\r\nconnection: close\r\n", answer.status)?;
    for (name, value) in &answer.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    if !answer.is_endless {
        write!(stream, "content-length: {}\r\n", answer.body.len())?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&answer.body)
}
