//! What a scripted registry does wrong, and when.

use std::time::Duration;

/// Which requests a fault is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// Every request.
    Any,
    /// GET of a blob.
    Blob,
    /// HEAD of a blob.
    BlobHead,
    /// GET or HEAD of a manifest.
    Manifest,
    /// PUT of a manifest.
    ManifestPut,
    /// POST that begins an upload.
    UploadStart,
    /// PATCH or PUT of an upload.
    UploadData,
    /// PATCH of an upload.
    UploadPatch,
    /// PUT of an upload.
    UploadPut,
    /// The token endpoint.
    Token,
    /// Requests with this method whose path contains this text.
    Path(&'static str, String),
}

impl On {
    pub(crate) fn fits(&self, method: &str, path: &str) -> bool {
        let upload = path.contains("/blobs/uploads/");
        let blob = path.contains("/blobs/") && !upload;
        let manifest = path.contains("/manifests/");
        match self {
            Self::Any => true,
            Self::Blob => blob && method == "GET",
            Self::BlobHead => blob && method == "HEAD",
            Self::Manifest => manifest && matches!(method, "GET" | "HEAD"),
            Self::ManifestPut => manifest && method == "PUT",
            Self::UploadStart => upload && method == "POST",
            Self::UploadData => upload && matches!(method, "PATCH" | "PUT"),
            Self::UploadPatch => upload && method == "PATCH",
            Self::UploadPut => upload && method == "PUT",
            Self::Token => path.starts_with("/token"),
            Self::Path(wanted, part) => method == *wanted && path.contains(part),
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The promised head, then this many bytes of the body, then the connection is closed.
    CutBody(u64),
    /// The response comes this much later.
    Delay(Duration),
    /// This many bytes of the body, then silence for so long, then the connection is closed.
    Stall(u64, Duration),
    /// One byte of the body is another one; the size stays.
    Corrupt,
    /// Only this many bytes of the body, with a `Content-Length` that fits them.
    Shorten(u64),
    /// These bytes behind the body, with a `Content-Length` that fits.
    Lengthen(Vec<u8>),
    /// The `Range` header is not looked at: 200 and everything.
    IgnoreRange,
    /// 206 for a range that begins this many bytes too early, and says so.
    WrongRange(u64),
    /// Another response instead: status, headers, body. The request's body is read.
    Respond(u16, Vec<(String, String)>, Vec<u8>),
    /// 307 to the same path under this origin (`http://host:port`).
    Redirect(String),
    /// 307 to the same URL, always.
    RedirectLoop,
    /// A body that never ends, chunked, of zeros.
    Endless,
    /// This many bytes of the request's body are taken, then the connection is closed.
    CutRequest(u64),
    /// The connection is closed before anything is answered.
    Hangup,
    /// A header of the response gets another value.
    Header(&'static str, String),
}

impl Fault {
    /// A status with an empty body.
    pub fn status(status: u16) -> Self {
        Self::Respond(status, Vec::new(), Vec::new())
    }

    /// 429, come back after so many seconds.
    pub fn too_many_requests(retry_after_s: u32) -> Self {
        let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
        let headers = vec![("Retry-After".to_owned(), retry_after_s.to_string())];
        Self::Respond(429, headers, body.to_vec())
    }
}

/// A fault waiting for its requests.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) on: On,
    pub(crate) fault: Fault,
    /// How many requests to let pass first.
    pub(crate) skip: usize,
    /// How many requests it is still for.
    pub(crate) times: usize,
}

impl Rule {
    /// Takes one turn if the rule is for this request.
    pub(crate) fn take(&mut self, method: &str, path: &str) -> Option<Fault> {
        if !self.on.fits(method, path) || self.times == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        if self.times < usize::MAX {
            self.times -= 1;
        }
        Some(self.fault.clone())
    }
}
