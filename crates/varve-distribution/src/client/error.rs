//! Why a registry did not do what was asked.
//!
//! The texts are docker's where docker has one; callers that build larger sentences from them
//! find the facts in the variants.

use std::{fmt, io};

use varve_types::{Digest, Kind, Printable, manifest::ManifestError};

use crate::credentials::CredentialsError;

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request got no answer, or none was asked for because it could not be granted.
    #[error("{verb} \"{url}\": {reason}")]
    Request {
        /// `Get`, `Head`, `Post` …
        verb: &'static str,
        /// The URL as the user knows it (an endpoint that stands in for a registry is not shown).
        url: String,
        /// What was in the way.
        reason: Reason,
    },

    /// The registry answered that it will not, and said why.
    #[error("{}", Answer(problems))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// At least one, in the registry's order.
        problems: Vec<Problem>,
    },

    /// The registry answered that it cannot.
    #[error("received unexpected HTTP status: {status} {phrase}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What the status means: `Internal Server Error`.
        phrase: &'static str,
    },

    /// The registry refused with an answer that says nothing.
    #[error("error parsing HTTP {status} response body: {reason}: \"{}\"", Printable(body))]
    Unexplained {
        /// The HTTP status.
        status: u16,
        /// Why the answer says nothing.
        reason: String,
        /// Its beginning.
        body: String,
    },

    /// What the registry sent instead of a document cannot be parsed.
    #[error("error unmarshalling content: {}", Printable(reason))]
    Unmarshal {
        /// Why not, in Go's words.
        reason: String,
    },

    /// The manifest that came is not the one that was asked for or announced.
    #[error("manifest verification failed for digest {0}")]
    ManifestDigest(Digest),

    /// The manifest that came is not one that varve works with.
    #[error(transparent)]
    Manifest(ManifestError),

    /// More bytes or pages came than their limit allows.
    #[error("{what} of registry {registry} is larger than the limit of {limit}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// Which registry.
        registry: String,
        /// The most there may be.
        limit: u64,
    },

    /// A blob has not the size that its descriptor promised.
    #[error("expected {expected} bytes for blob {digest}, registry offers {actual}")]
    Size {
        /// Which blob.
        digest: Digest,
        /// What was promised.
        expected: u64,
        /// What came (at least).
        actual: u64,
    },

    /// The registry answered a request for the end of a blob with another part of it.
    #[error(
        "asked for bytes of blob {digest} from {expected} on, registry sent {}",
        Printable(actual)
    )]
    Range {
        /// Which blob.
        digest: Digest,
        /// Where the answer should begin.
        expected: u64,
        /// What its `Content-Range` says.
        actual: String,
    },

    /// The registry accepted an upload and then did not answer as the specification says.
    #[error("upload to registry {registry} went wrong: {}", Printable(reason))]
    Upload {
        /// Which registry.
        registry: String,
        /// What it did.
        reason: String,
    },

    /// Reading what should be uploaded failed on our side.
    #[error("cannot read the content to upload")]
    Content(#[source] io::Error),

    /// Our own credentials cannot be had.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),

    /// A web server did not give a file.
    #[error("failed to GET {url} with status {status} {phrase}: {body}")]
    Download {
        /// Which file.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the status means.
        phrase: &'static str,
        /// The beginning of what it said instead, safe to show.
        body: String,
    },

    /// A web server answered with this status instead of a file that a build wants.
    #[error("invalid response status {status}")]
    FileStatus {
        /// The HTTP status.
        status: u16,
        /// What the status means.
        phrase: &'static str,
    },

    /// A login was refused.
    #[error("login attempt to {url} failed with status: {status} {phrase}")]
    Login {
        /// Which URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the status means.
        phrase: &'static str,
    },
}

/// What was in the way of a request.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// Nobody answers there.
    #[error("dial tcp {address}: connect: {}", os_text(source))]
    Dial {
        /// Address and port.
        address: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// The name of the host is not known.
    #[error("dial tcp: lookup {host}: no such host")]
    Lookup {
        /// Which host.
        host: String,
    },
    /// The proxy does not let us through.
    #[error("proxyconnect tcp: {0}")]
    Proxy(String),
    /// The certificate of the other side is not to be trusted; the text is Go's.
    #[error("tls: failed to verify certificate: x509: {0}")]
    Certificate(String),
    /// TLS cannot be agreed on.
    #[error("tls: {0}")]
    Tls(String),
    /// The other side speaks plain HTTP.
    #[error("http: server gave HTTP response to HTTPS client")]
    NotTls,
    /// Certificates or keys of our own configuration cannot be used.
    #[error("{0}")]
    Certificates(String),
    /// Nothing came (or could be sent) for too long.
    #[error("no bytes for {seconds} seconds")]
    Idle {
        /// How long was waited.
        seconds: u64,
    },
    /// Next to nothing came for too long.
    #[error("only {bytes} bytes in {seconds} seconds")]
    Slow {
        /// What came.
        bytes: u64,
        /// How long was waited for it.
        seconds: u64,
    },
    /// The connection broke.
    #[error("{}", os_text(.0))]
    Broken(io::Error),
    /// What came is not HTTP/1.1 as we understand it.
    #[error("malformed HTTP response: {}", Printable(.0))]
    Protocol(String),
    /// The registry wants a name and a password, and there are none for it.
    #[error("no basic auth credentials")]
    NoBasicCredentials,
    /// The registry's token service said no.
    #[error("{0}")]
    Token(Box<Error>),
    /// The registry wants our credentials at a place it had no right to name.
    #[error("credentials are not sent to the token realm {}, which the registry did not name over https", Printable(.0))]
    Realm(String),
    /// The registry asks for a way of authentication that we do not know.
    #[error("unsupported authentication challenge {}", Printable(.0))]
    Challenge(String),
    /// More redirects than the limit allows.
    #[error("stopped after {0} redirects")]
    Redirects(usize),
    /// A redirect leads back to where it came from.
    #[error("redirect loop at {}", Printable(.0))]
    RedirectLoop(String),
    /// A redirect leads from https to plain http.
    #[error("redirect from https to {} is refused", Printable(.0))]
    Downgrade(String),
    /// A redirect or upload location is no URL that we may go to.
    #[error("location {} is not a URL", Printable(.0))]
    Location(String),
}

/// One entry of a registry's list of errors (distribution-spec, "Error Codes").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The code in lower case with spaces, as docker prints it: `manifest unknown`.
    pub code: String,
    /// The message.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Printable(&self.code), Printable(&self.message))
    }
}

struct Answer<'a>(&'a [Problem]);

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.0 {
            return write!(f, "{problem}");
        }
        writeln!(f, "errors:")?;
        // Docker's list ends its last line, too, and what prints it does so once more.
        self.0.iter().try_for_each(|problem| writeln!(f, "{problem}"))
    }
}

/// What went wrong below HTTP, in Go's words.
fn os_text(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset by peer",
        io::ErrorKind::BrokenPipe => "broken pipe",
        io::ErrorKind::UnexpectedEof => "unexpected EOF",
        io::ErrorKind::TimedOut => "i/o timeout",
        io::ErrorKind::NetworkUnreachable => "network is unreachable",
        io::ErrorKind::HostUnreachable => "no route to host",
        _ => return error.to_string(),
    };
    text.to_owned()
}

impl Error {
    /// The refusal with its first reason alone, which is what Docker shows of a pull.
    #[must_use]
    pub fn with_first_problem(mut self) -> Self {
        if let Self::Refused { problems, .. } = &mut self {
            problems.truncate(1);
        }
        self
    }

    /// Classifies the error for exit codes, HTTP statuses and retry decisions.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Request { reason, .. } => reason.kind(),
            Self::Refused { status, problems } => match problems.first().map(|p| p.code.as_str()) {
                Some("denied") => Kind::Denied,
                Some("unauthorized") => Kind::Unauthorized,
                Some("unsupported") => Kind::Unsupported,
                _ => kind_of_status(*status),
            },
            Self::Status { status, .. }
            | Self::Unexplained { status, .. }
            | Self::Download { status, .. }
            | Self::FileStatus { status, .. }
            | Self::Login { status, .. } => kind_of_status(*status),
            Self::Unmarshal { .. } => Kind::Invalid,
            Self::ManifestDigest(_) | Self::Size { .. } | Self::Range { .. } => Kind::Corrupt,
            Self::Manifest(error) => error.kind(),
            Self::Limit { .. } => Kind::Exhausted,
            Self::Upload { .. } => Kind::Unavailable,
            Self::Content(error) if error.kind() == io::ErrorKind::InvalidData => Kind::Corrupt,
            Self::Content(_) => Kind::Internal,
            Self::Credentials(error) => error.kind(),
        }
    }

    /// Whether the registry said that the thing is not there.
    pub fn is_not_found(&self) -> bool {
        self.kind() == Kind::NotFound
    }

    /// Whether the registry cannot give the end of a blob without its beginning, or gives
    /// another part than was asked for.
    pub fn is_about_range(&self) -> bool {
        match self {
            Self::Range { .. } => true,
            Self::Refused { status, .. } | Self::Unexplained { status, .. } => *status == 416,
            _ => false,
        }
    }

    /// The first code of a registry's refusal: `denied`, `manifest unknown`, `toomanyrequests`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { problems, .. } => problems.first().map(|p| p.code.as_str()),
            _ => None,
        }
    }

    /// Whether the registry wants a name and a password, and there are none for it. Docker
    /// says so without the request's URL when it pushes.
    pub fn wants_credentials(&self) -> bool {
        matches!(self, Self::Request { reason: Reason::NoBasicCredentials, .. })
    }

    /// The error inside an [`io::Error`] that a blob's reader returned.
    pub fn inside(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Whether the same request may well be answered otherwise a moment later.
    pub(crate) fn is_worth_another_try(&self) -> bool {
        match self {
            Self::Request { reason, .. } => reason.is_passing(),
            Self::Status { status, .. } => is_passing_status(*status),
            Self::Refused { status, .. } | Self::Unexplained { status, .. } => {
                is_passing_status(*status)
            }
            _ => false,
        }
    }

    /// Whether a transfer that had begun may go on later: the registry was there a moment ago,
    /// so one that has gone away may be starting again.
    pub(crate) fn is_worth_waiting_for(&self) -> bool {
        matches!(self, Self::Request { reason: Reason::Dial { .. }, .. })
            || self.is_worth_another_try()
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}

/// Whether the same request may well be answered otherwise a moment later.
pub(crate) fn is_passing_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

fn kind_of_status(status: u16) -> Kind {
    match status {
        401 => Kind::Unauthorized,
        403 => Kind::Denied,
        404 | 410 => Kind::NotFound,
        405 | 415 | 501 => Kind::Unsupported,
        409 => Kind::Conflict,
        413 => Kind::Exhausted,
        408 | 429 | 500..=599 => Kind::Unavailable,
        _ => Kind::Invalid,
    }
}

impl Reason {
    fn kind(&self) -> Kind {
        match self {
            Self::Dial { .. }
            | Self::Lookup { .. }
            | Self::Proxy(_)
            | Self::Tls(_)
            | Self::NotTls
            | Self::Idle { .. }
            | Self::Slow { .. }
            | Self::Broken(_)
            | Self::Protocol(_) => Kind::Unavailable,
            Self::Certificate(_) | Self::Realm(_) | Self::Downgrade(_) => Kind::Denied,
            Self::Certificates(_)
            | Self::Redirects(_)
            | Self::RedirectLoop(_)
            | Self::Location(_) => Kind::Invalid,
            Self::NoBasicCredentials => Kind::Unauthorized,
            Self::Token(error) => error.kind(),
            Self::Challenge(_) => Kind::Unsupported,
        }
    }

    /// Whether the next try may succeed. A refused connection or an unknown name stays so, and
    /// the kernel itself has tried several times before a connection times out.
    fn is_passing(&self) -> bool {
        match self {
            Self::Idle { .. } | Self::Slow { .. } | Self::Broken(_) => true,
            Self::Token(error) => error.is_worth_another_try(),
            _ => false,
        }
    }

    /// Whether there is nobody at the other side who speaks what we tried.
    pub(crate) fn is_no_such_service(&self) -> bool {
        matches!(
            self,
            Self::Dial { .. } | Self::NotTls | Self::Tls(_) | Self::Idle { .. } | Self::Broken(_)
        )
    }
}
