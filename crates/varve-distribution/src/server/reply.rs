//! Responses: bodies, and the errors of the specification with their statuses.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom},
};

use http::{HeaderValue, Method, Response, header};
use serde_json::{Value, json};
use varve_types::{Digest, Hasher, limits};

use super::storage;

pub(super) const JSON: &str = "application/json; charset=utf-8";

/// What the parts of the registry return.
pub(super) type Answer = Result<Response<Body>, Problem>;

/// A response's body.
#[derive(Debug)]
pub enum Body {
    /// Nothing (also the answer to HEAD, whose `Content-Length` speaks of the body not sent).
    Empty,
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A whole blob, which is verified while it is read: before its last bytes are given away, the
    /// reader fails if they are not those of its name.
    Blob {
        /// The file.
        file: File,
        /// Its number of bytes.
        size_bytes: u64,
        /// Its name.
        digest: Digest,
    },
    /// A part of a file.
    File {
        /// The file.
        file: File,
        /// Where the part begins.
        offset: u64,
        /// Its number of bytes.
        size_bytes: u64,
    },
}

impl Body {
    /// The number of bytes.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size_bytes, .. } | Self::Blob { size_bytes, .. } => *size_bytes,
        }
    }

    /// The bytes, to be read from the first to the last.
    pub fn into_reader(self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Empty => Box::new(io::empty()),
            Self::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            Self::Blob { file, size_bytes, digest } => {
                let hasher = Some(Hasher::new());
                Box::new(Verified { file, left_bytes: size_bytes, hasher, digest })
            }
            Self::File { mut file, offset, size_bytes } => {
                file.seek(SeekFrom::Start(offset))?;
                Box::new(file.take(size_bytes))
            }
        })
    }
}

/// Reads a blob and hashes it; the read that would give the last byte away fails if it is another.
struct Verified {
    file: File,
    left_bytes: u64,
    /// `None` once the end was found right.
    hasher: Option<Hasher>,
    digest: Digest,
}

impl Read for Verified {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = self.left_bytes.min(buffer.len() as u64) as usize;
        let count = self.file.read(&mut buffer[..wanted])?;
        self.left_bytes -= count as u64;
        let Some(hasher) = &mut self.hasher else { return Ok(count) };
        hasher.update(&buffer[..count]);
        if self.left_bytes == 0
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest
        {
            let text = format!("blob {} in the registry is damaged", self.digest);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(count)
    }
}

/// A response's extension: why the registry itself failed, for the log.
#[derive(Debug, Clone)]
pub struct Failure(pub String);

/// Why a request was not done. Codes and messages are those of the distribution specification
/// and of Docker's registry, because clients print them.
#[derive(Debug)]
pub(super) enum Problem {
    BlobUnknown(Digest),
    UploadUnknown,
    UploadBusy,
    /// As many uploads are going on as may.
    UploadsMany,
    DigestInvalid(String),
    ManifestBlobUnknown(Vec<Digest>),
    ManifestInvalid(String),
    ManifestTooLarge,
    ManifestUnknown(String),
    NameInvalid(String),
    NameUnknown(String),
    SizeInvalid(String),
    TagInvalid(String),
    PageInvalid(String),
    /// The request must begin at the byte given.
    RangeInvalid {
        location: String,
        received: String,
    },
    Unauthorized,
    MethodNotAllowed(&'static [Method]),
    NoSuchPage,
    /// The client's connection broke; nobody will read the answer.
    Broken(io::Error),
    Storage(storage::Error),
}

impl From<storage::Error> for Problem {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::Missing(digests) => Self::ManifestBlobUnknown(digests),
            error => Self::Storage(error),
        }
    }
}

impl Problem {
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::BlobUnknown(_)
            | Self::UploadUnknown
            | Self::ManifestUnknown(_)
            | Self::NameUnknown(_)
            | Self::NoSuchPage => 404,
            Self::DigestInvalid(_)
            | Self::ManifestBlobUnknown(_)
            | Self::ManifestInvalid(_)
            | Self::NameInvalid(_)
            | Self::SizeInvalid(_)
            | Self::TagInvalid(_)
            | Self::PageInvalid(_)
            | Self::Broken(_) => 400,
            Self::ManifestTooLarge => 413,
            Self::RangeInvalid { .. } => 416,
            Self::UploadBusy | Self::UploadsMany => 429,
            Self::Unauthorized => 401,
            Self::MethodNotAllowed(_) => 405,
            Self::Storage(_) => 500,
        }
    }

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::BlobUnknown(_) => "BLOB_UNKNOWN",
            Self::Broken(_) => "BLOB_UPLOAD_INVALID",
            Self::UploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::UploadBusy | Self::UploadsMany => "TOOMANYREQUESTS",
            Self::DigestInvalid(_) => "DIGEST_INVALID",
            Self::ManifestBlobUnknown(_) => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid(_) => "MANIFEST_INVALID",
            Self::ManifestUnknown(_) => "MANIFEST_UNKNOWN",
            Self::NameInvalid(_) => "NAME_INVALID",
            Self::NameUnknown(_) => "NAME_UNKNOWN",
            Self::ManifestTooLarge | Self::SizeInvalid(_) => "SIZE_INVALID",
            Self::TagInvalid(_) => "TAG_INVALID",
            Self::PageInvalid(_) => "PAGINATION_NUMBER_INVALID",
            Self::RangeInvalid { .. } => "RANGE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::MethodNotAllowed(_) => "UNSUPPORTED",
            Self::NoSuchPage | Self::Storage(_) => "UNKNOWN",
        }
    }

    fn message(&self) -> &'static str {
        match self {
            Self::BlobUnknown(_) | Self::ManifestBlobUnknown(_) => "blob unknown to registry",
            Self::Broken(_) => "blob upload invalid",
            Self::UploadUnknown => "blob upload unknown to registry",
            Self::UploadBusy => "another request is writing to this upload",
            Self::UploadsMany => "too many uploads are going on",
            Self::DigestInvalid(_) => "provided digest did not match uploaded content",
            Self::ManifestInvalid(_) => "manifest invalid",
            Self::ManifestTooLarge => "manifest is too large",
            Self::ManifestUnknown(_) => "manifest unknown",
            Self::NameInvalid(_) => "invalid repository name",
            Self::NameUnknown(_) => "repository name not known to registry",
            Self::SizeInvalid(_) => "provided length did not match content length",
            Self::TagInvalid(_) => "manifest tag did not match URI",
            Self::PageInvalid(_) => "invalid number of results requested",
            Self::RangeInvalid { .. } => "invalid content range",
            Self::Unauthorized => "authentication required",
            Self::MethodNotAllowed(_) => "The operation is unsupported.",
            Self::NoSuchPage => "no such page",
            Self::Storage(_) => "unknown error",
        }
    }

    fn detail(&self) -> Value {
        match self {
            Self::BlobUnknown(digest) => json!({"digest": digest}),
            Self::ManifestUnknown(name) => json!({"Tag": name}),
            Self::NameInvalid(name) | Self::NameUnknown(name) => json!({"name": name}),
            Self::DigestInvalid(reason)
            | Self::ManifestInvalid(reason)
            | Self::SizeInvalid(reason)
            | Self::PageInvalid(reason) => json!(reason),
            Self::TagInvalid(tag) => json!({"Tag": tag}),
            Self::ManifestTooLarge => json!({"limit": limits::MANIFEST_SIZE_BYTES_MAX}),
            _ => Value::Null,
        }
    }

    fn errors(&self) -> Value {
        let error = |detail: Value| {
            let mut error = json!({"code": self.code(), "message": self.message()});
            if !detail.is_null() {
                error["detail"] = detail;
            }
            error
        };
        match self {
            Self::ManifestBlobUnknown(digests) => {
                digests.iter().map(|digest| error(json!(digest))).collect()
            }
            _ => json!([error(self.detail())]),
        }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        if let Self::MethodNotAllowed(methods) = self {
            return not_allowed(methods);
        }
        if matches!(self, Self::NoSuchPage) {
            return text(self.status(), "404 page not found\n");
        }
        let bytes = json!({"errors": self.errors()}).to_string().into_bytes();
        let mut response = json(self.status(), JSON, bytes);
        let headers = response.headers_mut();
        match &self {
            Self::Unauthorized => {
                let challenge = HeaderValue::from_static(r#"Basic realm="Registry Realm""#);
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::UploadBusy => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::RangeInvalid { location, received } => {
                set(&mut response, "Location", location);
                set(&mut response, "Range", received);
            }
            Self::Storage(error) => {
                let causes =
                    std::iter::successors(Some(error as &dyn std::error::Error), |error| {
                        error.source()
                    });
                let text: Vec<String> = causes.map(ToString::to_string).collect();
                response.extensions_mut().insert(Failure(text.join(": ")));
            }
            Self::Broken(error) => {
                response.extensions_mut().insert(Failure(format!("request cut short: {error}")));
            }
            _ => {}
        }
        response
    }
}

/// Docker's registry answers in plain text here, and `docker push` to a read-only registry shows
/// that text (`unknown: Method not allowed`).
fn not_allowed(methods: &[Method]) -> Response<Body> {
    let mut response = text(405, "Method not allowed\n");
    let allowed: Vec<&str> = methods.iter().map(Method::as_str).collect();
    set(&mut response, "Allow", &allowed.join(", "));
    response
}

fn text(status: u16, text: &str) -> Response<Body> {
    json(status, "text/plain; charset=utf-8", text.into())
}

/// A response with a body in memory.
pub(super) fn json(status: u16, content_type: &str, bytes: Vec<u8>) -> Response<Body> {
    let mut response = empty(status);
    set(&mut response, "Content-Type", content_type);
    *response.body_mut() = Body::Bytes(bytes);
    response
}

/// A response without a body.
pub(super) fn empty(status: u16) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// Sets a header. The values are made of checked names, digests and numbers, or dropped.
pub(super) fn set(response: &mut Response<Body>, name: &'static str, value: &str) {
    let Ok(name) = header::HeaderName::from_bytes(name.as_bytes()) else { return };
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Adds what every response has, and takes the body away where the request was HEAD.
pub(super) fn finish(mut response: Response<Body>, head: bool) -> Response<Body> {
    set(&mut response, "Docker-Distribution-Api-Version", "registry/2.0");
    set(&mut response, "X-Content-Type-Options", "nosniff");
    if !matches!(response.status().as_u16(), 204 | 304) {
        let size_bytes = response.body().size_bytes().to_string();
        set(&mut response, "Content-Length", &size_bytes);
    }
    if head {
        *response.body_mut() = Body::Empty;
    }
    response
}
