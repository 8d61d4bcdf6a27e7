//! Uploads: whole, in chunks, resumed after a break, or mounted from another repository.

use std::{
    collections::HashMap,
    fmt,
    io::{Read, Seek as _, SeekFrom},
    sync::{Mutex, PoisonError},
};

use http::{Method, Response, header};
use varve_fs::durable;
use varve_types::{Digest, Hasher, limits};

use super::{
    Body, Call,
    name::RepositoryName,
    range,
    reply::{self, Answer, Problem},
    route,
    storage::{self, Held, Upload, UploadId},
};

const BUFFER_SIZE_BYTES: usize = 256 << 10;

/// The running hashes of uploads that this process has received from their first byte on, with
/// the number of bytes hashed. A lost one costs reading the upload again at its end.
#[derive(Default)]
pub(super) struct Hashes(Mutex<HashMap<UploadId, (u64, Hasher)>>);

impl fmt::Debug for Hashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hashes")
    }
}

impl Hashes {
    /// Takes the hash of an upload of `size_bytes`.
    fn take(&self, id: &UploadId, size_bytes: u64) -> Option<Hasher> {
        if size_bytes == 0 {
            return Some(Hasher::new());
        }
        let (hashed, hasher) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)?;
        (hashed == size_bytes).then_some(hasher)
    }

    fn put(&self, id: &UploadId, size_bytes: u64, hasher: Option<Hasher>) {
        let mut hashes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match hasher {
            Some(hasher) if hashes.len() < limits::UPLOAD_HASHES_MAX => {
                hashes.insert(id.clone(), (size_bytes, hasher));
            }
            _ => {
                hashes.remove(id);
            }
        }
    }
}

impl Call<'_> {
    /// `POST /v2/<name>/blobs/uploads/`
    pub(super) fn uploads(&self, name: &RepositoryName, body: &mut dyn Read) -> Answer {
        if !self.is(&Method::POST) {
            return Err(Problem::MethodNotAllowed(&[Method::POST]));
        }
        if let Some(digest) = self.query("mount").and_then(|digest| digest.parse().ok())
            && self.mount(name, &digest)?
        {
            return Ok(created(name, &digest));
        }
        if self.storage().upload_count()? >= limits::UPLOADS_MAX {
            return Err(Problem::UploadsMany);
        }
        let Some(digest) = self.query("digest") else {
            let upload = self.storage().create_upload(name)?;
            return Ok(progress(202, name, &upload.id, 0));
        };
        let digest = route::parse_digest(&digest)?;
        let mut upload = self.storage().create_upload(name)?;
        match self.append(&mut upload, body, None) {
            Ok(()) => self.commit(upload, name, &digest),
            // Nobody was told the name of this upload, so nobody can resume it.
            Err(problem) => {
                self.discard(upload)?;
                Err(problem)
            }
        }
    }

    fn mount(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, Problem> {
        Ok(match self.query("from").filter(|from| !from.is_empty()) {
            None => self.storage().mount(name, digest, None)?,
            Some(from) => match RepositoryName::parse(&from) {
                Some(from) => self.storage().mount(name, digest, Some(&from))?,
                None => false,
            },
        })
    }

    /// `/v2/<name>/blobs/uploads/<id>`
    pub(super) fn upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        body: &mut dyn Read,
    ) -> Answer {
        match self.parts.method {
            Method::GET | Method::HEAD => {
                let size_bytes = self.storage().upload_size(name, id)?;
                Ok(progress(204, name, id, size_bytes.ok_or(Problem::UploadUnknown)?))
            }
            Method::PATCH => {
                let mut upload = self.take(name, id)?;
                self.append_chunk(&mut upload, name, body)?;
                Ok(progress(202, name, id, upload.size_bytes()?))
            }
            Method::PUT => {
                let digest = self.query("digest").unwrap_or_default();
                let digest = route::parse_digest(&digest)?;
                let mut upload = self.take(name, id)?;
                self.append_chunk(&mut upload, name, body)?;
                self.commit(upload, name, &digest)
            }
            Method::DELETE => {
                let upload = self.take(name, id)?;
                self.discard(upload)?;
                Ok(reply::empty(204))
            }
            _ => Err(Problem::MethodNotAllowed(&[
                Method::GET,
                Method::HEAD,
                Method::PATCH,
                Method::PUT,
                Method::DELETE,
            ])),
        }
    }

    fn take(&self, name: &RepositoryName, id: &UploadId) -> Result<Upload, Problem> {
        self.storage().take_upload(name, id)?.map_err(|held| match held {
            Held::Unknown => Problem::UploadUnknown,
            Held::Busy => Problem::UploadBusy,
        })
    }

    fn discard(&self, upload: Upload) -> Result<(), Problem> {
        self.registry.hashes.put(&upload.id, 0, None);
        Ok(self.storage().remove_upload(upload)?)
    }

    /// Adds a request's body, after checking that it belongs behind what is here.
    fn append_chunk(
        &self,
        upload: &mut Upload,
        name: &RepositoryName,
        body: &mut dyn Read,
    ) -> Result<(), Problem> {
        let Some(header) = self.header(header::CONTENT_RANGE) else {
            return self.append(upload, body, None);
        };
        let received = upload.size_bytes()?;
        let out_of_order = || Problem::RangeInvalid {
            location: location(name, &upload.id),
            received: received_range(received),
        };
        let (first, last) = range::parse_chunk(header).ok_or_else(out_of_order)?;
        if first != received {
            return Err(out_of_order());
        }
        let size_bytes = last + 1 - first;
        let length = self.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
        if length.is_some_and(|length: u64| length != size_bytes) {
            return Err(Problem::SizeInvalid(format!("Content-Range promises {size_bytes} bytes")));
        }
        self.append(upload, body, Some(size_bytes))
    }

    /// Adds all of `body` to an upload. When the body breaks, what came of it stays.
    fn append(
        &self,
        upload: &mut Upload,
        body: &mut dyn Read,
        promised: Option<u64>,
    ) -> Result<(), Problem> {
        let begin = upload.size_bytes()?;
        let mut size_bytes = begin;
        let mut hasher = self.registry.hashes.take(&upload.id, size_bytes);
        let mut buffer = vec![0; BUFFER_SIZE_BYTES];
        let outcome = loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => break Err(Problem::Broken(error)),
            };
            let limit = promised.map_or(limits::BLOB_SIZE_BYTES_MAX, |promised| begin + promised);
            if size_bytes + count as u64 > limit {
                break Err(Problem::SizeInvalid(format!("more than {limit} bytes")));
            }
            if let Err(error) = durable::write_all(&upload.file, &buffer[..count]) {
                // A part of the buffer may have been written: cut it off, for the hash's sake.
                let _ = durable::truncate(&upload.file, size_bytes);
                break Err(storage::Error::io("write", &upload.path())(error).into());
            }
            if let Some(hasher) = &mut hasher {
                hasher.update(&buffer[..count]);
            }
            size_bytes += count as u64;
        };
        self.registry.hashes.put(&upload.id, size_bytes, hasher);
        match promised {
            Some(promised) if outcome.is_ok() && size_bytes != begin + promised => {
                Err(Problem::SizeInvalid(format!("{promised} bytes were promised")))
            }
            _ => outcome,
        }
    }

    /// Ends an upload: what was received becomes a blob if it is the promised one, else nothing
    /// is kept.
    fn commit(&self, upload: Upload, name: &RepositoryName, digest: &Digest) -> Answer {
        let size_bytes = upload.size_bytes()?;
        let actual = match self.registry.hashes.take(&upload.id, size_bytes) {
            Some(hasher) => hasher.finish(),
            None => hash(&upload)?,
        };
        if actual != *digest {
            self.discard(upload)?;
            return Err(Problem::DigestInvalid(format!("expected {digest}, received {actual}")));
        }
        self.storage().commit_upload(upload, name, digest)?;
        Ok(created(name, digest))
    }
}

fn hash(upload: &Upload) -> Result<Digest, Problem> {
    let path = upload.path();
    let mut file = &upload.file;
    let mut hasher = Hasher::new();
    file.seek(SeekFrom::Start(0)).map_err(storage::Error::io("read", &path))?;
    std::io::copy(&mut file, &mut hasher).map_err(storage::Error::io("read", &path))?;
    Ok(hasher.finish())
}

fn location(name: &RepositoryName, id: &UploadId) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// Docker's registry says `0-0` for nothing too, and clients expect it.
fn received_range(size_bytes: u64) -> String {
    format!("0-{}", size_bytes.saturating_sub(1))
}

/// Tells how far an upload is.
fn progress(status: u16, name: &RepositoryName, id: &UploadId, size_bytes: u64) -> Response<Body> {
    let mut response = reply::empty(status);
    reply::set(&mut response, "Location", &location(name, id));
    reply::set(&mut response, "Range", &received_range(size_bytes));
    reply::set(&mut response, "Docker-Upload-UUID", &id.to_string());
    response
}

fn created(name: &RepositoryName, digest: &Digest) -> Response<Body> {
    let mut response = reply::empty(201);
    reply::set(&mut response, "Location", &format!("/v2/{name}/blobs/{digest}"));
    reply::set(&mut response, "Docker-Content-Digest", &digest.to_string());
    response
}
