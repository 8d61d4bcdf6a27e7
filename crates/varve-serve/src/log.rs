//! One line a request.

use std::{
    fmt::{self, Write as _},
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Request, header};
use varve_types::Printable;

use crate::crowd::Busy;

/// Where the lines go; nowhere by default.
#[derive(Clone, Default)]
pub(crate) struct Log(Option<Arc<Mutex<Box<dyn Write + Send>>>>);

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    pub(crate) fn new(writer: Option<Box<dyn Write + Send>>) -> Self {
        Self(writer.map(|writer| Arc::new(Mutex::new(writer))))
    }

    fn write(&self, line: &str) {
        if let Some(writer) = &self.0 {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            // A log that cannot be written must not stop the registry.
            let _ = writer.write_all(line.as_bytes()).and_then(|()| writer.flush());
        }
    }
}

/// What is known of a request; written down when its response has ended, one way or the other.
#[derive(Debug)]
pub(crate) struct Record {
    log: Log,
    method: String,
    target: String,
    range: Option<String>,
    pub(crate) status: u16,
    pub(crate) sent_bytes: u64,
    pub(crate) failure: Option<String>,
    /// Whether all of the body was handed over.
    pub(crate) whole: bool,
    /// Until the response has ended, the connection is not still.
    _busy: Busy,
}

impl Record {
    pub(crate) fn new<T>(log: &Log, request: &Request<T>, busy: Busy) -> Self {
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let range = text(header::RANGE).or_else(|| text(header::CONTENT_RANGE));
        Self {
            log: log.clone(),
            method: request.method().to_string(),
            target: request.uri().to_string(),
            range: range.map(str::to_owned),
            status: 0,
            sent_bytes: 0,
            failure: None,
            whole: false,
            _busy: busy,
        }
    }
}

impl Drop for Record {
    /// `GET /v2/app/blobs/sha256:… 206 sent=1234 range=bytes=5-`, and behind it `cut` when the
    /// client went away and `failure=…` when the registry failed. The bytes are those given to
    /// the kernel's send queue or about to be: never fewer than the client got.
    fn drop(&mut self) {
        let mut line = format!(
            "{} {} {} sent={}",
            Printable(&self.method),
            Printable(&self.target),
            self.status,
            self.sent_bytes
        );
        if let Some(range) = &self.range {
            let range = range.replace(' ', "");
            // Writing to a string does not fail.
            let _ = write!(line, " range={}", Printable(&range));
        }
        if !self.whole {
            line.push_str(" cut");
        }
        if let Some(failure) = &self.failure {
            // Writing to a string does not fail.
            let _ = write!(line, " failure={:?}", Printable(failure).to_string());
        }
        line.push('\n');
        self.log.write(&line);
    }
}
