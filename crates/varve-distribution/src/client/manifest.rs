//! Manifests: asked for by tag or digest, verified, and put.

use ureq::http::Method;
use varve_types::{Descriptor, Digest, ManifestKind, limits, manifest::ManifestError, media_type};

use super::{
    Remote, Result,
    answer::Answer,
    error::Error,
    exchange::{Request, Session},
};
use crate::go_json;

impl Remote<'_> {
    /// The manifest or index that a tag or digest names, and its descriptor. Its digest is
    /// verified against the name, when that is a digest, and against what the registry announced.
    pub fn manifest(&self, name: &str) -> Result<(ManifestKind, Descriptor)> {
        self.ask_any(|session| self.manifest_from(session, name))
    }

    /// The descriptor of a manifest, without fetching it; `None` when it is not there, or when
    /// the registry tells less than a descriptor needs.
    pub fn head_manifest(&self, name: &str) -> Result<Option<Descriptor>> {
        self.ask_any(|session| {
            let answer = session.send(&self.manifest_request(session, Method::HEAD, name))?;
            match answer.status {
                404 => Ok(None),
                _ if answer.is_success() => Ok(described(&answer)),
                _ => Err(answer.into_error()),
            }
        })
    }

    /// Puts a manifest under a tag or its digest, and returns its digest.
    pub fn put_manifest(&self, name: &str, media_type: &str, bytes: &[u8]) -> Result<Digest> {
        let session = self.session()?;
        let digest = Digest::of(bytes);
        let url = session.host.url(&self.path(&format!("manifests/{name}")));
        let request = Request::new(Method::PUT, url)
            .header("content-type", media_type.to_owned())
            .body(bytes);
        let answer = session.succeed(&request)?;
        match announced(&answer) {
            Some(stored) if stored != digest => Err(Error::ManifestDigest(digest)),
            _ => Ok(digest),
        }
    }

    fn manifest_request(&self, session: &Session<'_>, method: Method, name: &str) -> Request<'_> {
        let url = session.host.url(&self.path(&format!("manifests/{name}")));
        // Docker asks with HEAD first; we do not, but people know the error with that verb.
        Request::new(method, url).header("accept", accepted()).shown_as(if name.contains(':') {
            "Get"
        } else {
            "Head"
        })
    }

    fn manifest_from(
        &self,
        session: &Session<'_>,
        name: &str,
    ) -> Result<(ManifestKind, Descriptor)> {
        let request = self.manifest_request(session, Method::GET, name);
        let answer = session.succeed(&request)?;
        let announced = announced(&answer);
        let media_type = answer.media_type().to_owned();
        let bytes = answer
            .read(limits::MANIFEST_SIZE_BYTES_MAX)
            .map_err(|reason| session.host.failure(request.verb(), &request.url, reason))?
            .ok_or_else(|| self.limit("manifest", limits::MANIFEST_SIZE_BYTES_MAX))?;
        let digest = Digest::of(&bytes);
        for expected in [name.parse().ok(), announced].into_iter().flatten() {
            if digest != expected {
                return Err(Error::ManifestDigest(expected));
            }
        }
        let complaint = go_json::describe(&bytes);
        let kind = ManifestKind::parse(bytes, &media_type).map_err(|error| match error {
            ManifestError::Json(error) => {
                Error::Unmarshal { reason: complaint.unwrap_or_else(|| error.to_string()) }
            }
            other => Error::Manifest(other),
        })?;
        let descriptor = kind.descriptor();
        Ok((kind, descriptor))
    }
}

fn accepted() -> String {
    media_type::ACCEPTED_MANIFESTS.join(", ")
}

/// The digest that the registry says the manifest has. One of another algorithm says nothing
/// to us.
fn announced(answer: &Answer) -> Option<Digest> {
    answer.header("docker-content-digest")?.parse().ok()
}

fn described(answer: &Answer) -> Option<Descriptor> {
    let (digest, size) = (announced(answer)?, answer.content_length()?);
    Some(Descriptor::new(answer.media_type(), digest, size))
}
