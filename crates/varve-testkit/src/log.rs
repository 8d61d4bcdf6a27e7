//! What a registry was asked and what it sent.

/// One request and its response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// `GET`, `PUT` …
    pub method: String,
    /// The path as it came, without the query.
    pub path: String,
    /// The query, without its `?`.
    pub query: String,
    /// The `Range` asked for.
    pub range: Option<String>,
    /// The `Content-Range` of a chunk.
    pub content_range: Option<String>,
    /// The `Authorization` sent along.
    pub authorization: Option<String>,
    /// The `User-Agent` sent along.
    pub user_agent: Option<String>,
    /// The status that was answered; 0 when the connection was cut before.
    pub status: u16,
    /// The bytes of the response's body that were sent.
    pub bytes_sent: u64,
    /// The bytes of the request's body that were read.
    pub bytes_received: u64,
}

impl Entry {
    /// Whether the request was about a blob (not an upload).
    pub fn is_blob(&self) -> bool {
        self.path.contains("/blobs/sha256:")
    }

    /// Whether the request was about an upload.
    pub fn is_upload(&self) -> bool {
        self.path.contains("/blobs/uploads")
    }

    /// Whether the request was about a manifest.
    pub fn is_manifest(&self) -> bool {
        self.path.contains("/manifests/")
    }
}
