//! Blobs on their way in: read from an offset, continued after a broken connection.

use std::io::{self, Read};

use ureq::http::Method;
use varve_types::{Descriptor, media_type};

use super::{
    Client, Remote, Result,
    answer::Answer,
    error::{Error, Reason},
    exchange::{Request, Session},
    transport,
    url::Url,
};

/// Bytes that must come between two failures for the first to be forgiven.
const PROGRESS_SIZE_BYTES: u64 = 256 << 10;

impl<'c> Remote<'c> {
    /// A reader of a blob's bytes from `offset` on. It continues by itself after a broken
    /// connection, and returns exactly the promised number of bytes or an error
    /// ([`Error::inside`]); the digest is for the caller to verify.
    pub fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + 'c>> {
        if offset >= descriptor.size {
            return Ok(Box::new(io::empty()));
        }
        let found = self.ask_any(|session| {
            let origin = self.blob_origin(session, descriptor);
            let body = origin.open(descriptor, offset)?;
            Ok((origin, body))
        });
        let (origin, body) = match found {
            Err(error) if error.is_not_found() && !descriptor.urls.is_empty() => {
                self.foreign(descriptor, offset).ok_or(error)?
            }
            other => other?,
        };
        let descriptor = descriptor.clone();
        let body = Some(body);
        let (failures, forgiven_at) = (0, offset);
        let (remote, at) = (self.clone(), offset);
        let reader = BlobReader { remote, descriptor, origin, body, at, failures, forgiven_at };
        Ok(Box::new(reader))
    }

    fn blob_origin(&self, session: &Session<'c>, descriptor: &Descriptor) -> Origin<'c> {
        let url = session.host.url(&self.path(&format!("blobs/{}", descriptor.digest)));
        Origin::Registry(session.clone(), url)
    }

    /// A layer that registries need not give away, from where its descriptor says.
    fn foreign(&self, descriptor: &Descriptor, offset: u64) -> Option<(Origin<'c>, Body)> {
        if !media_type::is_nondistributable(&descriptor.media_type) {
            return None;
        }
        descriptor.urls.iter().filter_map(|text| text.parse().ok()).find_map(|url| {
            let origin = Origin::Elsewhere(self.client, url);
            let body = origin.open(descriptor, offset).ok()?;
            Some((origin, body))
        })
    }
}

type Body = Box<dyn Read + Send>;

/// Where a blob is read from.
enum Origin<'c> {
    Registry(Session<'c>, Url),
    /// A place that the descriptor names. Never gets credentials.
    Elsewhere(&'c Client, Url),
}

impl Origin<'_> {
    /// Opens the blob's bytes from `offset` on.
    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<Body> {
        let (Self::Registry(_, url) | Self::Elsewhere(_, url)) = self;
        let mut request = Request::new(Method::GET, url.clone());
        if offset > 0 {
            request = request.header("range", format!("bytes={offset}-"));
        }
        let answer = match self {
            Self::Registry(session, _) => session.succeed(&request)?,
            Self::Elsewhere(client, url) => {
                let answer = client.retrying(|| {
                    client.follow(&request, url, None).map_err(|reason| Error::Request {
                        verb: request.verb(),
                        url: url.to_string(),
                        reason,
                    })
                })?;
                if !answer.is_success() {
                    return Err(answer.into_error());
                }
                answer
            }
        };
        let skipped = check_part(&answer, descriptor, offset)?;
        let mut body = answer.into_reader();
        let wanted = offset - skipped;
        if wanted > 0 {
            let dropped = io::copy(&mut (&mut body).take(wanted), &mut io::sink());
            match dropped {
                Ok(count) if count == wanted => {}
                Ok(_) => {
                    return Err(self.broken(Reason::Broken(io::ErrorKind::UnexpectedEof.into())));
                }
                Err(error) => return Err(self.broken(transport::reason_of_io(error))),
            }
        }
        Ok(Box::new(body))
    }

    fn broken(&self, reason: Reason) -> Error {
        match self {
            Self::Registry(session, url) => session.host.failure("Get", url, reason),
            Self::Elsewhere(_, url) => Error::Request { verb: "Get", url: url.to_string(), reason },
        }
    }
}

/// Checks which part of the blob an answer holds, and returns where that part begins.
fn check_part(answer: &Answer, descriptor: &Descriptor, offset: u64) -> Result<u64> {
    let begins = if answer.status == 206 {
        let range = answer.header("content-range").unwrap_or_default();
        match parse_content_range(range) {
            Some((begin, total))
                if begin == offset && total.is_none_or(|t| t == descriptor.size) =>
            {
                begin
            }
            _ => {
                return Err(Error::Range {
                    digest: descriptor.digest,
                    expected: offset,
                    actual: range.to_owned(),
                });
            }
        }
    } else {
        0
    };
    match answer.content_length() {
        Some(length) if begins.saturating_add(length) != descriptor.size => Err(Error::Size {
            digest: descriptor.digest,
            expected: descriptor.size,
            actual: begins.saturating_add(length),
        }),
        _ => Ok(begins),
    }
}

/// `bytes 5-9/10`: where the part begins, and the size of the whole when it is known.
fn parse_content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (begin, _) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((begin.parse().ok()?, total))
}

/// Reads a blob, over as many connections as it takes.
struct BlobReader<'c> {
    remote: Remote<'c>,
    descriptor: Descriptor,
    origin: Origin<'c>,
    body: Option<Body>,
    /// How many of the blob's bytes have been read, those before the first offset included.
    at: u64,
    failures: u32,
    /// Where `at` was when the last failure was forgiven.
    forgiven_at: u64,
}

impl BlobReader<'_> {
    /// Takes note of a broken connection, and waits if another try is due.
    fn failed(&mut self, error: Error) -> io::Result<()> {
        self.body = None;
        if self.at - self.forgiven_at >= PROGRESS_SIZE_BYTES {
            (self.failures, self.forgiven_at) = (0, self.at);
        }
        self.failures += 1;
        let client = self.remote.client;
        if error.is_worth_waiting_for() && self.failures < client.policy.tries_max {
            client.wait_for_transfer(self.failures);
            return Ok(());
        }
        // What a mirror began, the registry itself may finish.
        match &self.origin {
            Origin::Registry(session, _) if session.host.is_mirror() => session.host.fail(),
            _ => return Err(error.into()),
        }
        self.origin = self.remote.blob_origin(&self.remote.session()?, &self.descriptor);
        self.failures = 0;
        Ok(())
    }

    /// At the end there must be nothing more. Reading it also frees the connection for others.
    fn finish(&mut self) -> io::Result<usize> {
        let Some(mut body) = self.body.take() else { return Ok(0) };
        match body.read(&mut [0]) {
            // A connection that breaks after the last byte has done its work.
            Ok(0) | Err(_) => Ok(0),
            Ok(_) => Err(Error::Size {
                digest: self.descriptor.digest,
                expected: self.descriptor.size,
                actual: self.at + 1,
            }
            .into()),
        }
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.descriptor.size - self.at;
        if left == 0 {
            return self.finish();
        }
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        loop {
            let error = match &mut self.body {
                None => match self.origin.open(&self.descriptor, self.at) {
                    Ok(body) => {
                        self.body = Some(body);
                        continue;
                    }
                    Err(error) => error,
                },
                Some(body) => match body.read(&mut buffer[..most]) {
                    Ok(0) => {
                        self.origin.broken(Reason::Broken(io::ErrorKind::UnexpectedEof.into()))
                    }
                    Ok(count) => {
                        self.at += count as u64;
                        return Ok(count);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => self.origin.broken(transport::reason_of_io(error)),
                },
            };
            self.failed(error)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse_content_range;

    #[test]
    fn content_ranges_tell_begin_and_total() {
        assert_eq!(parse_content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_content_range("bytes 5-9/*"), Some((5, None)));
        for nonsense in ["", "bytes */10", "bytes 5/10", "5-9/10", "bytes -1-9/10"] {
            assert_eq!(parse_content_range(nonsense), None, "{nonsense}");
        }
    }
}
