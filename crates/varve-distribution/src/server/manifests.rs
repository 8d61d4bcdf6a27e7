//! Manifests: given out, taken in after everything they name, and removed.

use std::io::Read;

use http::{Method, header};
use varve_types::{Descriptor, Digest, ManifestKind, limits, manifest::ManifestError, media_type};

use super::{
    Call,
    name::RepositoryName,
    reply::{self, Answer, Problem},
    route::Target,
    storage::NewManifest,
};

impl Call<'_> {
    pub(super) fn manifest(
        &self,
        name: &RepositoryName,
        target: &Target,
        body: &mut dyn Read,
    ) -> Answer {
        match self.parts.method {
            Method::GET | Method::HEAD => self.get_manifest(name, target),
            Method::PUT => self.put_manifest(name, target, body),
            Method::DELETE => self.delete_manifest(name, target),
            _ => Err(Problem::MethodNotAllowed(&[
                Method::GET,
                Method::HEAD,
                Method::PUT,
                Method::DELETE,
            ])),
        }
    }

    fn get_manifest(&self, name: &RepositoryName, target: &Target) -> Answer {
        let (row, shown) = match target {
            Target::Tag(tag) => (self.storage().tagged(name, tag)?, tag.clone()),
            Target::Digest(digest) => (self.storage().manifest(name, digest)?, digest.to_string()),
            Target::Invalid(text) => (None, text.clone()),
        };
        let row = row.ok_or_else(|| Problem::ManifestUnknown(shown.clone()))?;
        if !self.accepts(&row.media_type) {
            return Err(Problem::ManifestUnknown(shown));
        }
        let etag = format!("\"{}\"", row.digest);
        if self.header(header::IF_NONE_MATCH).is_some_and(|known| known.contains(&etag)) {
            return Ok(reply::empty(304));
        }
        let Some((file, size_bytes)) = self.storage().open_blob(name, &row.digest)? else {
            return Err(Problem::ManifestUnknown(shown));
        };
        let mut response = reply::empty(200);
        *response.body_mut() = reply::Body::File { file, offset: 0, size_bytes };
        reply::set(&mut response, "Content-Type", &row.media_type);
        reply::set(&mut response, "Docker-Content-Digest", &row.digest.to_string());
        reply::set(&mut response, "Etag", &etag);
        Ok(response)
    }

    /// Whether the client takes a manifest of this type. Only a client that names types of
    /// manifests is believed: it could not read another one.
    fn accepts(&self, media_type: &str) -> bool {
        let headers = self.parts.headers.get_all(header::ACCEPT);
        let accepted: Vec<&str> = headers
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|range| range.split(';').next().unwrap_or_default().trim())
            .collect();
        let known = |range: &&str| {
            media_type::is_index(range)
                || media_type::is_manifest(range)
                || media_type::is_schema1(range)
        };
        !accepted.iter().any(known)
            || accepted
                .iter()
                .any(|range| *range == media_type || matches!(*range, "*/*" | "application/*"))
    }

    fn put_manifest(&self, name: &RepositoryName, target: &Target, body: &mut dyn Read) -> Answer {
        let mut bytes = Vec::new();
        body.take(limits::MANIFEST_SIZE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(Problem::Broken)?;
        if bytes.len() as u64 > limits::MANIFEST_SIZE_BYTES_MAX {
            return Err(Problem::ManifestTooLarge);
        }
        let digest = Digest::of(&bytes);
        let tag = match target {
            Target::Tag(tag) => Some(tag.as_str()),
            Target::Digest(promised) if *promised == digest => None,
            Target::Digest(promised) => {
                return Err(Problem::DigestInvalid(format!("expected {promised}, got {digest}")));
            }
            Target::Invalid(text) => return Err(Problem::TagInvalid(text.clone())),
        };
        let announced = self.header(header::CONTENT_TYPE).unwrap_or_default();
        let announced = announced.split(';').next().unwrap_or_default().trim();
        let manifest = ManifestKind::parse(bytes, announced).map_err(refuse)?;
        let requires: Vec<Digest> = required(&manifest).map(|child| child.digest).collect();
        for child in required(&manifest) {
            let size_bytes = self.storage().blob_size(name, &child.digest)?;
            if size_bytes.is_some_and(|size_bytes| size_bytes != child.size) {
                let reason = format!("{} does not have {} bytes", child.digest, child.size);
                return Err(Problem::SizeInvalid(reason));
            }
        }
        let subject = subject(&manifest).map(|subject| subject.digest);
        let new = NewManifest {
            tag,
            media_type: manifest.media_type(),
            bytes: manifest.bytes(),
            subject,
            requires: &requires,
        };
        self.storage().put_manifest(name, &new)?;
        let mut response = reply::empty(201);
        reply::set(&mut response, "Location", &format!("/v2/{name}/manifests/{digest}"));
        reply::set(&mut response, "Docker-Content-Digest", &digest.to_string());
        if let Some(subject) = subject {
            reply::set(&mut response, "OCI-Subject", &subject.to_string());
        }
        Ok(response)
    }

    fn delete_manifest(&self, name: &RepositoryName, target: &Target) -> Answer {
        let (removed, shown) = match target {
            Target::Tag(tag) => (self.storage().remove_tag(name, tag)?, tag.clone()),
            Target::Digest(digest) => {
                (self.storage().remove_manifest(name, digest)?, digest.to_string())
            }
            Target::Invalid(text) => (false, text.clone()),
        };
        if removed { Ok(reply::empty(202)) } else { Err(Problem::ManifestUnknown(shown)) }
    }
}

/// What must be in the repository before the manifest: everything but layers that lie elsewhere.
fn required(manifest: &ManifestKind) -> impl Iterator<Item = &Descriptor> {
    manifest.children().into_iter().filter(|child| {
        child.urls.is_empty() && !media_type::is_nondistributable(&child.media_type)
    })
}

/// The manifest that this one refers to.
pub(super) fn subject(manifest: &ManifestKind) -> Option<&Descriptor> {
    match manifest {
        ManifestKind::Manifest(manifest) => manifest.value().subject.as_ref(),
        ManifestKind::Index(index) => index.value().subject.as_ref(),
    }
}

fn refuse(error: ManifestError) -> Problem {
    match error {
        ManifestError::TooLarge(_) => Problem::ManifestTooLarge,
        error => Problem::ManifestInvalid(error.to_string()),
    }
}
