//! Blobs on their way out: mounted from a neighbour, or uploaded and continued after a broken
//! connection.

use std::{
    cell::RefCell,
    io::{self, Read},
};

use ureq::http::Method;
use varve_types::{Descriptor, Digest, Repository};

use super::{
    Remote, Result,
    answer::Answer,
    error::{Error, Reason},
    exchange::{Request, Session},
    url::{Scheme, Url},
};

/// Bytes that must go between two failures for the first to be forgiven.
const PROGRESS_SIZE_BYTES: u64 = 256 << 10;

/// Gives a reader of what is to be uploaded, from an offset on.
pub type Open<'a> = dyn Fn(u64) -> io::Result<Box<dyn Read + Send>> + Sync + 'a;

impl Remote<'_> {
    /// Asks the registry to take a blob from another of its repositories; tells whether it did.
    pub fn mount_blob(&self, digest: &Digest, from: &Repository) -> Result<bool> {
        let session = self.session_with(&[format!("repository:{}:pull", from.path())])?;
        let url = session
            .host
            .url(&self.path("blobs/uploads/"))
            .with_query("mount", &digest.to_string())
            .with_query("from", from.path());
        let answer = session.send(&Request::new(Method::POST, url).body(&[]))?;
        match answer.status {
            201 => Ok(true),
            202 => {
                // The registry began an upload instead. It is not needed; if telling so fails,
                // the registry forgets it in time.
                if let Ok(upload) = self.location(&session, &answer) {
                    let _ = session.send(&Request::new(Method::DELETE, upload));
                }
                Ok(false)
            }
            // Some registries refuse rather than fall back (no right to read the other
            // repository, or no mounting at all); uploading may still work.
            400..=499 => Ok(false),
            _ => Err(answer.into_error()),
        }
    }

    /// Uploads a blob. `open` gives its bytes from an offset on, so that an upload continues
    /// where a broken connection left it; `progress` is told how many bytes have been sent.
    pub fn put_blob(
        &self,
        descriptor: &Descriptor,
        open: &Open<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<()> {
        let session = self.session()?;
        let policy = &self.client.policy;
        let (mut failures, mut best) = (0, 0);
        let mut upload = None;
        loop {
            let error = match self.advance(&session, &mut upload, descriptor, open, progress) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if matches!(error, Error::Content(_)) {
                return Err(error);
            }
            let sent = upload.as_ref().map_or(0, |upload: &Upload| upload.offset);
            if sent >= best + PROGRESS_SIZE_BYTES {
                (failures, best) = (0, sent);
            }
            failures += 1;
            // Without an upload to continue, the request for one has been repeated enough.
            if upload.is_none() || !is_worth_continuing(&error) || failures >= policy.tries_max {
                return Err(error);
            }
            self.client.wait_for_transfer(failures);
        }
    }

    /// Takes an upload as far as it goes: all the way, or to an error.
    fn advance(
        &self,
        session: &Session<'_>,
        state: &mut Option<Upload>,
        descriptor: &Descriptor,
        open: &Open<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<()> {
        let mut upload = match state.take() {
            None => self.begin(session)?,
            Some(known) => {
                // What the registry has may be more or less than what we saw leave.
                match self.find_again(session, &known, descriptor) {
                    Ok(Some(upload)) => upload,
                    Ok(None) => return Ok(()),
                    Err(error) => {
                        *state = Some(known);
                        return Err(error);
                    }
                }
            }
        };
        progress(upload.offset);
        if upload.offset < descriptor.size {
            match self.send_rest(session, &upload, descriptor, open, progress) {
                Ok(next) => {
                    progress(next.offset);
                    upload = next;
                }
                Err(error) => {
                    *state = Some(upload);
                    return Err(error);
                }
            }
        }
        let done = Self::commit(session, &upload, descriptor);
        if done.is_err() {
            *state = Some(upload);
        }
        done
    }

    /// Finds out how far a broken upload had come, or begins another; `None` when the blob is
    /// there by now.
    fn find_again(
        &self,
        session: &Session<'_>,
        known: &Upload,
        descriptor: &Descriptor,
    ) -> Result<Option<Upload>> {
        match self.blob_exists(&descriptor.digest) {
            Ok(true) => return Ok(None),
            Err(error) if error.is_worth_waiting_for() => return Err(error),
            Ok(false) | Err(_) => {}
        }
        match self.ask_status(session, known)? {
            Some(upload) if upload.offset <= descriptor.size => Ok(Some(upload)),
            _ => self.begin(session).map(Some),
        }
    }

    fn begin(&self, session: &Session<'_>) -> Result<Upload> {
        let url = session.host.url(&self.path("blobs/uploads/"));
        let answer = session.succeed(&Request::new(Method::POST, url).body(&[]))?;
        if answer.status != 202 {
            return Err(self.confused(format!("status {} to a new upload", answer.status)));
        }
        Ok(Upload { url: self.location(session, &answer)?, offset: 0 })
    }

    /// How much of an upload the registry has; `None` when it has forgotten it.
    fn ask_status(&self, session: &Session<'_>, upload: &Upload) -> Result<Option<Upload>> {
        let answer = session.send(&Request::new(Method::GET, upload.url.clone()))?;
        if !answer.is_success() {
            return Ok(None);
        }
        let Some(offset) = received(&answer) else { return Ok(None) };
        let url = self.location(session, &answer).unwrap_or_else(|_| upload.url.clone());
        Ok(Some(Upload { url, offset }))
    }

    /// Sends all bytes that the registry does not have yet.
    fn send_rest(
        &self,
        session: &Session<'_>,
        upload: &Upload,
        descriptor: &Descriptor,
        open: &Open<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<Upload> {
        let size = descriptor.size - upload.offset;
        let mut request = Request::new(Method::PATCH, upload.url.clone())
            .header("content-type", "application/octet-stream".to_owned());
        if upload.offset > 0 {
            let range = format!("{}-{}", upload.offset, descriptor.size - 1);
            request = request.header("content-range", range);
        }
        let failed = |reason| session.host.failure("Patch", &upload.url, reason);
        let authorization = session.authorization(&request)?;
        // An upload may continue at another host; our credentials may not.
        let value = authorization.value.filter(|_| upload.url.same_origin(session.host.base()));
        let content = open(upload.offset).map_err(Error::Content)?;
        let failure = RefCell::new(None);
        let mut body =
            Outgoing { content, left: size, at: upload.offset, progress, failure: &failure };
        let answer = self.client.stream(&request, value.as_deref(), size, &mut body);
        if let Some(error) = failure.take() {
            return Err(Error::Content(error));
        }
        let answer = answer.map_err(failed)?;
        if answer.status == 401 && answer.url.same_origin(session.host.base()) {
            session.learn(&answer);
        }
        if !answer.is_success() {
            return Err(answer.into_error());
        }
        let url = self.location(session, &answer).unwrap_or_else(|_| upload.url.clone());
        match received(&answer) {
            Some(offset) if offset != descriptor.size => {
                Err(self.confused(format!("{offset} bytes are there of {}", descriptor.size)))
            }
            _ => Ok(Upload { url, offset: descriptor.size }),
        }
    }

    /// Ends an upload: the registry verifies the digest.
    fn commit(session: &Session<'_>, upload: &Upload, descriptor: &Descriptor) -> Result<()> {
        let url = upload.url.with_query("digest", &descriptor.digest.to_string());
        let request = Request::new(Method::PUT, url)
            .header("content-type", "application/octet-stream".to_owned())
            .body(&[]);
        session.succeed(&request).map(drop)
    }

    /// Where the registry wants the next request of an upload.
    fn location(&self, session: &Session<'_>, answer: &Answer) -> Result<Url> {
        let Some(text) = answer.header("location") else {
            return Err(self.confused("an answer names no location".to_owned()));
        };
        let refused = |reason| session.host.failure("Post", &answer.url, reason);
        let url = answer.url.join(text).map_err(|_| refused(Reason::Location(text.to_owned())))?;
        if answer.url.scheme() == Scheme::Https && url.scheme() == Scheme::Http {
            // Registries behind a proxy that ends TLS are known to forget the scheme.
            let mended = url.secured();
            if mended.same_origin(session.host.base()) {
                return Ok(mended);
            }
            return Err(refused(Reason::Downgrade(url.to_string())));
        }
        Ok(url)
    }

    fn confused(&self, reason: String) -> Error {
        Error::Upload { registry: self.repository.domain().to_owned(), reason }
    }
}

/// An upload that the registry knows of.
struct Upload {
    url: Url,
    /// How many bytes the registry has.
    offset: u64,
}

/// How many bytes an upload's `Range` header says are there: `0-N` names the last byte. An
/// empty upload is `0-0` in the field, which is the same as one byte; then begin again.
fn received(answer: &Answer) -> Option<u64> {
    let range = answer.header("range")?;
    let last: u64 =
        range.strip_prefix("bytes=").unwrap_or(range).strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}

/// Whether an upload that failed so may be continued or begun again.
fn is_worth_continuing(error: &Error) -> bool {
    match error {
        // The upload or its token is gone, or the registry has another idea of the offset.
        Error::Refused { status, .. } | Error::Unexplained { status, .. } => {
            matches!(status, 401 | 404 | 416) || error.is_worth_waiting_for()
        }
        Error::Upload { .. } => true,
        error => error.is_worth_waiting_for(),
    }
}

/// The rest of a blob as a request's body: exactly so many bytes, and an error of our own side
/// kept apart from one of the connection.
struct Outgoing<'a> {
    content: Box<dyn Read + Send>,
    left: u64,
    at: u64,
    progress: &'a dyn Fn(u64),
    failure: &'a RefCell<Option<io::Error>>,
}

impl Read for Outgoing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.progress)(self.at);
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let result = match self.content.read(&mut buffer[..most]) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        match result {
            Ok(count) => {
                self.left -= count as u64;
                self.at += count as u64;
                Ok(count)
            }
            Err(error) => {
                let kind = error.kind();
                self.failure.replace(Some(error));
                Err(kind.into())
            }
        }
    }
}
