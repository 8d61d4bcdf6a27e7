//! One request after the other on a connection: the handler's answer, with the faults on top.

use std::{
    io::{self, Read},
    thread,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use varve_distribution::server::{Body, RequestBody};

use super::{Shared, lock};
use crate::{
    connection::{Connection, Incoming},
    fault::Fault,
    log::Entry,
};

/// What of a request's body is read for nothing rather than closing the connection.
const DRAIN_SIZE_BYTES_MAX: u64 = 1 << 20;

/// How a response's body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Whole,
    /// So many bytes, then the end of the connection.
    Cut(u64),
    /// So many bytes, then silence.
    Stall(u64, Duration),
    Endless,
}

impl Shared {
    pub(super) fn serve(&self, connection: &Connection) -> io::Result<()> {
        while let Some(request) = connection.next()? {
            if !self.serve_one(connection, request)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Answers one request; returns whether the connection can be used again.
    fn serve_one(&self, connection: &Connection, request: Request<Incoming>) -> io::Result<bool> {
        let at = self.begin(&request);
        let incoming = request.body().clone();
        let outcome = self.answer(connection, request, at);
        lock(&self.log)[at].bytes_received = incoming.received();
        if !outcome? {
            return Ok(false);
        }
        io::copy(&mut incoming.clone().take(DRAIN_SIZE_BYTES_MAX), &mut io::sink())?;
        Ok(incoming.is_drained())
    }

    fn begin(&self, request: &Request<Incoming>) -> usize {
        let text = |name: header::HeaderName| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let mut log = lock(&self.log);
        log.push(Entry {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            range: text(header::RANGE),
            content_range: text(header::CONTENT_RANGE),
            authorization: text(header::AUTHORIZATION),
            user_agent: text(header::USER_AGENT),
            ..Entry::default()
        });
        log.len() - 1
    }

    fn faults(&self, method: &str, path: &str) -> Vec<Fault> {
        lock(&self.rules).iter_mut().filter_map(|rule| rule.take(method, path)).collect()
    }

    fn answer(
        &self,
        connection: &Connection,
        mut request: Request<Incoming>,
        at: usize,
    ) -> io::Result<bool> {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let faults = self.faults(&method, &path);
        let mut manner = Manner::Whole;
        let mut instead = None;
        for fault in &faults {
            match fault {
                Fault::Hangup => return Ok(false),
                Fault::Delay(delay) => self.sleep(*delay),
                Fault::CutRequest(bytes) => request.body().cut_after(*bytes),
                Fault::IgnoreRange => {
                    request.headers_mut().remove(header::RANGE);
                }
                Fault::WrongRange(bytes) => shift_range(request.headers_mut(), *bytes),
                Fault::CutBody(bytes) => manner = Manner::Cut(*bytes),
                Fault::Stall(bytes, time) => manner = Manner::Stall(*bytes, *time),
                Fault::Endless => manner = Manner::Endless,
                Fault::Respond(status, headers, body) => {
                    instead = Some(canned(*status, headers, body.clone()));
                }
                Fault::Redirect(origin) => instead = Some(redirect(origin, &request)),
                Fault::RedirectLoop => instead = Some(redirect(&self.origin, &request)),
                _ => {}
            }
        }
        let cuts_request = faults.iter().any(|fault| matches!(fault, Fault::CutRequest(_)));
        let mut response = match instead {
            Some(response) => response,
            None => self.handle(request)?,
        };
        if cuts_request {
            return Ok(false);
        }
        let head = method == "HEAD";
        for fault in faults {
            // A response to HEAD has no bytes to change, only headers.
            if !head || matches!(fault, Fault::Header(..)) {
                damage(&mut response, fault)?;
            }
        }
        self.send(connection, response, head, manner, at)
    }

    /// The answer without faults.
    fn handle(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        if let Some(tokens) = &self.tokens {
            if request.uri().path() == "/token" {
                let mut form = String::new();
                request.body().clone().take(DRAIN_SIZE_BYTES_MAX).read_to_string(&mut form)?;
                let (status, body) = tokens.give(request.headers(), &form);
                let kind = ("Content-Type".to_owned(), "application/json".to_owned());
                return Ok(canned(status, &[kind], body.into_bytes()));
            }
            if !tokens.allow(request.headers()) {
                let challenge = tokens.challenge(request.method().as_str(), request.uri().path());
                let body =
                    r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
                let headers = [("WWW-Authenticate".to_owned(), challenge)];
                return Ok(canned(401, &headers, body.as_bytes().to_vec()));
            }
        }
        Ok(self.registry.answer(request.map(|body| Box::new(body) as RequestBody)))
    }

    fn send(
        &self,
        connection: &Connection,
        response: Response<Body>,
        head: bool,
        manner: Manner,
        at: usize,
    ) -> io::Result<bool> {
        let (mut parts, body) = response.into_parts();
        if manner == Manner::Endless {
            parts.headers.remove(header::CONTENT_LENGTH);
            parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut lines = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
        for (name, value) in &parts.headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                lines.extend_from_slice(part);
            }
        }
        lines.extend_from_slice(b"\r\n");
        lock(&self.log)[at].status = parts.status.as_u16();
        connection.write_all(&lines)?;
        if head {
            return Ok(true);
        }
        let limit = match manner {
            Manner::Whole => u64::MAX,
            Manner::Cut(bytes) | Manner::Stall(bytes, _) => bytes,
            Manner::Endless => return self.send_zeros(connection, at),
        };
        let mut reader = body.into_reader()?.take(limit);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            connection.write_all(&buffer[..count])?;
            lock(&self.log)[at].bytes_sent += count as u64;
        }
        if let Manner::Stall(_, time) = manner {
            self.sleep(time);
        }
        Ok(manner == Manner::Whole)
    }

    fn send_zeros(&self, connection: &Connection, at: usize) -> io::Result<bool> {
        let mut chunk = b"10000\r\n".to_vec();
        chunk.resize(chunk.len() + 0x10000, 0);
        chunk.extend_from_slice(b"\r\n");
        while !self.stopping.load(std::sync::atomic::Ordering::SeqCst) {
            connection.write_all(&chunk)?;
            lock(&self.log)[at].bytes_sent += 0x10000;
        }
        Ok(false)
    }

    /// Sleeps, but not longer than the registry lives.
    fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.stopping.load(std::sync::atomic::Ordering::SeqCst) {
            thread::sleep(
                end.saturating_duration_since(Instant::now()).min(Duration::from_millis(20)),
            );
        }
    }
}

fn canned(status: u16, headers: &[(String, String)], body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    for (name, value) in headers {
        set(&mut response, name, value);
    }
    set(&mut response, "Content-Length", &body.len().to_string());
    *response.body_mut() = Body::Bytes(body);
    response
}

fn set(response: &mut Response<Body>, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
    response
        .headers_mut()
        .insert(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header's value"));
}

fn redirect(origin: &str, request: &Request<Incoming>) -> Response<Body> {
    let target = format!("{origin}{}", request.uri());
    canned(307, &[("Location".to_owned(), target)], Vec::new())
}

/// Lets a `Range` begin earlier than the client asked.
fn shift_range(headers: &mut HeaderMap, bytes: u64) {
    let first = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("bytes="))
        .and_then(|value| value.split('-').next())
        .and_then(|first| first.parse::<u64>().ok());
    if let Some(first) = first {
        let range = format!("bytes={}-", first.saturating_sub(bytes));
        headers.insert(header::RANGE, HeaderValue::from_str(&range).expect("a range"));
    }
}

/// Changes what the response says.
fn damage(response: &mut Response<Body>, fault: Fault) -> io::Result<()> {
    if let Fault::Header(name, value) = &fault {
        set(response, name, value);
        return Ok(());
    }
    if !matches!(fault, Fault::Corrupt | Fault::Shorten(_) | Fault::Lengthen(_)) {
        return Ok(());
    }
    let body = std::mem::replace(response.body_mut(), Body::Empty);
    let mut bytes = Vec::new();
    body.into_reader()?.read_to_end(&mut bytes)?;
    match fault {
        Fault::Corrupt => {
            if let Some(byte) = bytes.last_mut() {
                *byte ^= 1;
            }
        }
        Fault::Shorten(size_bytes) => bytes.truncate(size_bytes as usize),
        Fault::Lengthen(more) => bytes.extend_from_slice(&more),
        _ => {}
    }
    set(response, "Content-Length", &bytes.len().to_string());
    *response.body_mut() = Body::Bytes(bytes);
    Ok(())
}
