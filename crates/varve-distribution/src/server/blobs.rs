//! Blobs: given out whole or in part, and removed.

use http::{HeaderValue, Method, header};
use varve_types::Digest;

use super::{
    Call,
    name::RepositoryName,
    range::{self, Asked},
    reply::{self, Answer, Body, Problem},
};

impl Call<'_> {
    pub(super) fn blob(&self, name: &RepositoryName, digest: &Digest) -> Answer {
        if self.is(&Method::DELETE) {
            return if self.storage().remove_blob(name, digest)? {
                Ok(reply::empty(202))
            } else {
                Err(Problem::BlobUnknown(*digest))
            };
        }
        if !self.reads() {
            return Err(Problem::MethodNotAllowed(&[Method::GET, Method::HEAD, Method::DELETE]));
        }
        let Some((file, size_bytes)) = self.storage().open_blob(name, digest)? else {
            return Err(Problem::BlobUnknown(*digest));
        };
        let etag = format!("\"{digest}\"");
        if self.header(header::IF_NONE_MATCH).is_some_and(|known| known.contains(&etag)) {
            return Ok(reply::empty(304));
        }
        let mut response = match range::parse(self.header(header::RANGE), size_bytes) {
            Asked::Unsatisfiable => {
                let mut response = reply::empty(416);
                reply::set(&mut response, "Content-Range", &format!("bytes */{size_bytes}"));
                return Ok(response);
            }
            Asked::Whole => {
                let mut response = reply::empty(200);
                *response.body_mut() = Body::Blob { file, size_bytes, digest: *digest };
                response
            }
            Asked::Part(first, last) => {
                let mut response = reply::empty(206);
                let range = format!("bytes {first}-{last}/{size_bytes}");
                reply::set(&mut response, "Content-Range", &range);
                *response.body_mut() =
                    Body::File { file, offset: first, size_bytes: last - first + 1 };
                response
            }
        };
        let octets = HeaderValue::from_static("application/octet-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, octets);
        reply::set(&mut response, "Accept-Ranges", "bytes");
        reply::set(&mut response, "Cache-Control", "max-age=31536000");
        reply::set(&mut response, "Docker-Content-Digest", &digest.to_string());
        reply::set(&mut response, "Etag", &etag);
        Ok(response)
    }
}
