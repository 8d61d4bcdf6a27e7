//! Files of web servers that are no registries: what `ADD https://…` fetches.

use std::{
    fmt::Write as _,
    io::{self, Read},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ureq::http::Method;

use super::{
    Client, Result,
    answer::{Answer, phrase},
    error::{Error, Reason},
    exchange::Request,
    proxy::unescape,
    transport,
    url::Url,
};

/// What a server says of a version of a file, so that it can be asked whether there is another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`, as it came.
    pub last_modified: Option<String>,
}

/// What a server answered.
pub enum FileAnswer {
    /// The version that is known is still the right one.
    NotModified,
    /// The file.
    File(RemoteFile),
}

/// A file that is being fetched.
pub struct RemoteFile {
    /// What to ask with the next time.
    pub validators: Validators,
    /// `Content-Disposition`, as it came.
    pub disposition: Option<String>,
    /// Bytes that will come, when the server says.
    pub size_bytes: Option<u64>,
    /// The bytes. The caller has a limit; an error says what was in the way.
    pub body: Box<dyn Read + Send>,
}

impl Client {
    /// Asks for a file, and only for another version than the one that is known. A name and a
    /// password in the URL go to its own origin only. What docker would not take is an error: any
    /// status of 400 and more, and redirects that do not say where to.
    pub fn file(&self, url: &str, known: &Validators) -> Result<FileAnswer> {
        let place = Place::parse(url)?;
        let mut request = Request::new(Method::GET, place.url.clone());
        match known {
            Validators { etag: Some(etag), .. } => {
                request = request.header("if-none-match", etag.clone());
            }
            Validators { last_modified: Some(time), .. } => {
                request = request.header("if-modified-since", time.clone());
            }
            _ => {}
        }
        let failed = |reason| place.failure(reason);
        let authorization = place.authorization.as_deref();
        let answer =
            self.retrying(|| self.follow(&request, &place.url, authorization).map_err(failed))?;
        match answer.status {
            304 => Ok(FileAnswer::NotModified),
            _ if answer.is_success() => Ok(FileAnswer::File(place.file(answer))),
            status => Err(Error::FileStatus { status, phrase: phrase(status) }),
        }
    }
}

/// Where a file is, and in whose name it is asked for.
struct Place {
    url: Url,
    authorization: Option<String>,
    /// The URL without its password, for errors.
    shown: String,
}

impl Place {
    fn parse(text: &str) -> Result<Self> {
        let whole = text.split('#').next().unwrap_or_default();
        let (scheme, rest) = whole.split_once("://").unwrap_or(("", whole));
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let authorization = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let pair = format!("{}:{}", unescape(name), unescape(password));
            format!("Basic {}", STANDARD.encode(pair))
        });
        let shown = match user.map(|user| user.split_once(':').map_or(user, |(name, _)| name)) {
            Some(name) => format!("{scheme}://{name}:***@{host}{target}"),
            None => whole.to_owned(),
        };
        let bad = |_| Error::Request {
            verb: "Get",
            url: shown.clone(),
            reason: Reason::Location(shown.clone()),
        };
        let url = format!("{scheme}://{host}{}", escaped(target)).parse().map_err(bad)?;
        Ok(Self { url, authorization, shown })
    }

    fn file(self, answer: Answer) -> RemoteFile {
        let header = |name| answer.header(name).map(str::to_owned);
        let validators =
            Validators { etag: header("etag"), last_modified: header("last-modified") };
        let disposition = header("content-disposition");
        let size_bytes = answer.content_length();
        let inner = Box::new(answer.into_reader());
        let body = Box::new(Body { place: self, inner, left: size_bytes });
        RemoteFile { validators, disposition, size_bytes, body }
    }

    fn failure(&self, reason: Reason) -> Error {
        Error::Request { verb: "Get", url: self.shown.clone(), reason }
    }
}

/// The bytes of a file. What is in their way is said as of any request.
struct Body {
    place: Place,
    inner: Box<dyn Read + Send>,
    /// How many are still to come.
    left: Option<u64>,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let failed = |reason| io::Error::from(self.place.failure(reason));
        let count = match self.inner.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(failed(transport::reason_of_io(error))),
        };
        if let Some(left) = &mut self.left {
            if count == 0 && *left > 0 && !buffer.is_empty() {
                return Err(failed(Reason::Broken(io::ErrorKind::UnexpectedEof.into())));
            }
            *left = left.saturating_sub(count as u64);
        }
        Ok(count)
    }
}

/// A path and a query with what may not stand in a request escaped.
fn escaped(target: &str) -> String {
    let mut text = String::with_capacity(target.len());
    for byte in target.bytes() {
        match byte {
            0x21..=0x7e if !b"\"<>\\^`{|}".contains(&byte) => text.push(char::from(byte)),
            _ => {
                // Writing into a string does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_users_name_goes_into_a_header_and_the_password_is_never_shown() {
        let place = Place::parse("https://me:p%40ss@Host.example:8443/a b?c=ü#part").unwrap();
        assert_eq!(place.url.to_string(), "https://host.example:8443/a%20b?c=%C3%BC");
        assert_eq!(place.authorization.as_deref(), Some("Basic bWU6cEBzcw=="));
        assert_eq!(place.shown, "https://me:***@Host.example:8443/a b?c=ü");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["https://", "ftp://host/x", "http://[::1/", "http://a b/"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }
}
