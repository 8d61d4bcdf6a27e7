//! Files that a build fetches: of `ADD http://…`, and contexts that are addresses.
//!
//! A file is kept as the only one of a layer that the cache reaches, and what its server said of it
//! in notes beside it. The next build asks whether there is another version, and where there is
//! none, or where the checksum is given and right, nothing is fetched.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek as _, Write as _},
};

use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use varve_build::{
    file_name::served_file_name,
    git::without_password,
    solve::{BuildEvent, Fault, OneFile, StepId},
};
use varve_distribution::client::{FileAnswer, RemoteFile, Validators};
use varve_fs::{
    durable,
    tar::{NewEntry, Time, Writer},
};
use varve_store::{CacheKind, CacheRecord};
use varve_types::{DiffId, Digest, Hasher, Kind, limits};

use super::remote::Remotes;
use crate::{Engine, Error};

const BUFFER_SIZE_BYTES: usize = 128 << 10;
/// Progress is told each time so many bytes have come.
const TOLD_SIZE_BYTES: u64 = 1 << 20;

/// A file that was fetched, now or earlier.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fetched {
    /// What keeps it.
    layer: DiffId,
    digest: Digest,
    etag: Option<String>,
    last_modified: Option<String>,
    disposition: Option<String>,
    /// Seconds since 1970: when it was last changed, as its server says, or else when it came.
    changed: i64,
}

/// Why a file could not be kept.
enum FetchError {
    Store(varve_store::Error),
    Body(io::Error),
}

impl From<varve_store::Error> for FetchError {
    fn from(error: varve_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<FetchError> for Fault {
    fn from(error: FetchError) -> Self {
        use varve_distribution::client::Error as ClientError;
        match error {
            FetchError::Store(error) => Fault::new(error.kind(), error),
            FetchError::Body(error) => {
                let kind = ClientError::inside(&error).map_or(Kind::Unavailable, ClientError::kind);
                Fault::new(kind, error)
            }
        }
    }
}

impl Remotes<'_> {
    /// Fetches an address, unless what is here of it is still right. It is pinned.
    pub(super) fn fetch(
        &self,
        url: &str,
        checksum: Option<Digest>,
        id: StepId,
    ) -> Result<Fetched, Fault> {
        let key = Digest::of(format!("file of {url}").as_bytes());
        let known = self.known_file(&key)?;
        if let Some(known) = &known
            && checksum == Some(known.digest)
        {
            return Ok(known.clone());
        }
        let validators = known.as_ref().map(|known| Validators {
            etag: known.etag.clone(),
            last_modified: known.last_modified.clone(),
        });
        let answer = self.client().file(url, &validators.unwrap_or_default());
        let fetched = match (answer.map_err(|error| Fault::new(error.kind(), error))?, known) {
            (FileAnswer::NotModified, Some(known)) => known,
            (FileAnswer::NotModified, None) => {
                return Err(Fault::new(Kind::Unavailable, "invalid response status 304"));
            }
            (FileAnswer::File(file), _) => {
                let fetched = self.receive(file, url, id)?;
                self.remember_file(&key, &fetched, url)?;
                fetched
            }
        };
        match checksum {
            Some(wanted) if wanted != fetched.digest => {
                let text = format!("digest mismatch {}: {wanted}", fetched.digest);
                Err(Fault::new(Kind::Corrupt, text))
            }
            _ => Ok(fetched),
        }
    }

    /// A file that was fetched, under a name or the one that its server gives it.
    pub(super) fn file(&self, url: &str, name: &str, fetched: &Fetched) -> Result<OneFile, Fault> {
        let name = match name {
            "" => served_file_name(url, fetched.disposition.as_deref()),
            name => name.to_owned(),
        };
        let time = Time { seconds: fetched.changed, nanoseconds: 0 };
        let place = (&self.engine.store, &fetched.layer);
        OneFile::kept(name, place, fetched.digest, time)
    }

    /// What is remembered of an address. Notes without a record that can be used are nothing.
    fn known_file(&self, key: &Digest) -> Result<Option<Fetched>, Fault> {
        let failed = |error: varve_store::Error| Fault::new(error.kind(), error);
        let store = &self.engine.store;
        let notes = store.context_notes(key).map_err(failed)?;
        let notes: Option<Fetched> = notes.and_then(|notes| serde_json::from_slice(&notes).ok());
        let Some(fetched) = notes else { return Ok(None) };
        let record = store.cached(self.lease, key, self.ctx.now()).map_err(failed)?;
        let fits = record.is_some_and(|record| {
            record.layer == Some(fetched.layer) && record.content == Some(fetched.digest)
        });
        Ok(fits.then_some(fetched))
    }

    fn remember_file(&self, key: &Digest, fetched: &Fetched, url: &str) -> Result<(), Fault> {
        let failed = |error: varve_store::Error| Fault::new(error.kind(), error);
        let text = format!("http url {}", without_password(url));
        let mut record = CacheRecord::new(*key, CacheKind::Source, text, self.ctx.now());
        record.layer = Some(fetched.layer);
        record.content = Some(fetched.digest);
        let store = &self.engine.store;
        store.remember(self.lease, &record, None).map_err(failed)?;
        let notes = serde_json::to_vec(fetched).map_err(|e| Fault::new(Kind::Internal, e))?;
        store.keep_context_notes(key, &notes).map_err(failed)
    }

    fn receive(&self, file: RemoteFile, url: &str, id: StepId) -> Result<Fetched, Fault> {
        let RemoteFile { validators, disposition, size_bytes, body } = file;
        let said = validators.last_modified.as_deref().and_then(http_time);
        let mut body = Told { remotes: self, inner: body, id, url, done: 0, total: size_bytes };
        let (layer, digest) = if let Some(size_bytes) = size_bytes {
            self.keep(&mut body, size_bytes)?
        } else {
            // A tar says how long a file is before its bytes.
            let mut spooled = self.engine.spool(&mut body).map_err(of_engine)?;
            self.keep(&mut spooled.file, spooled.size_bytes)?
        };
        let Validators { etag, last_modified } = validators;
        let changed = said.unwrap_or_else(|| self.ctx.now()).as_second();
        Ok(Fetched { layer, digest, etag, last_modified, disposition, changed })
    }

    /// Keeps bytes as the file of a layer.
    fn keep(&self, body: &mut dyn Read, size_bytes: u64) -> Result<(DiffId, Digest), FetchError> {
        let (record, digest) = self.engine.store.write_cache_layer(self.lease, |out| {
            let mut hashed = Hashed { inner: body, hasher: Hasher::new() };
            let target = BufWriter::with_capacity(BUFFER_SIZE_BYTES, out);
            let mut writer = Writer::new(target);
            let entry = NewEntry::file(OneFile::KEPT.as_bytes(), size_bytes);
            let written = writer.append(&entry, &mut hashed).and_then(|()| writer.finish());
            written.and_then(|mut target| target.flush()).map_err(FetchError::Body)?;
            Ok::<_, FetchError>(hashed.hasher.finish())
        })?;
        Ok((record.summary.diff_id, digest))
    }
}

fn of_engine(error: Error) -> Fault {
    Fault::new(error.kind(), error)
}

/// Hashes what is read.
struct Hashed<'a> {
    inner: &'a mut dyn Read,
    hasher: Hasher,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Tells of what comes, and ends when the build does.
struct Told<'a> {
    remotes: &'a Remotes<'a>,
    inner: Box<dyn Read + Send>,
    id: StepId,
    url: &'a str,
    done: u64,
    total: Option<u64>,
}

impl Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.remotes.is_interrupted() {
            return Err(io::Error::other("context canceled"));
        }
        let count = self.inner.read(buffer)?;
        let before = self.done / TOLD_SIZE_BYTES;
        self.done += count as u64;
        if self.done > limits::BLOB_SIZE_BYTES_MAX {
            let limit = limits::BLOB_SIZE_BYTES_MAX;
            return Err(io::Error::other(format!("the file has more than {limit} bytes")));
        }
        let is_end = count == 0 && !buffer.is_empty();
        if self.done / TOLD_SIZE_BYTES > before || is_end && self.done >= TOLD_SIZE_BYTES {
            self.remotes.watch.event(&BuildEvent::Status {
                id: self.id,
                name: &format!("fetching {}", without_password(self.url)),
                current_bytes: Some(self.done),
                total_bytes: self.total,
                done: is_end,
            });
        }
        Ok(count)
    }
}

/// A time as servers write it, in any of the three forms that HTTP has.
fn http_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = jiff::fmt::rfc2822::parse(text) {
        return Some(time.timestamp());
    }
    let forms = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    forms.iter().find_map(|form| {
        let time = jiff::civil::DateTime::strptime(form, text).ok()?;
        Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })
}

/// Bytes that were taken into a file without a name.
#[derive(Debug)]
pub(super) struct Spooled {
    /// At its begin.
    pub(super) file: File,
    pub(super) size_bytes: u64,
}

impl Engine {
    /// Takes all that comes into a file without a name.
    pub(super) fn spool(&self, source: &mut dyn Read) -> Result<Spooled, Error> {
        let mut file = self.nameless_file()?;
        let mut size_bytes = 0;
        let mut buffer = vec![0; BUFFER_SIZE_BYTES];
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(varve_store::Error::Source(error).into()),
            };
            size_bytes += count as u64;
            if size_bytes > limits::LAYER_INFLATED_SIZE_BYTES_MAX {
                let (actual, limit) = (size_bytes, limits::LAYER_INFLATED_SIZE_BYTES_MAX);
                return Err(
                    varve_store::Error::Limit { what: "fetched size", actual, limit }.into()
                );
            }
            durable::write_all(&file, &buffer[..count]).map_err(Error::Output)?;
        }
        file.rewind().map_err(Error::Output)?;
        Ok(Spooled { file, size_bytes })
    }

    /// A file on the store's disk that is gone when it is closed.
    pub(super) fn nameless_file(&self) -> Result<File, Error> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let directory = self.store.root().join("varve");
        let file = rustix::fs::open(&directory, flags, Mode::RUSR | Mode::WUSR);
        Ok(File::from(file.map_err(|errno| Error::Output(errno.into()))?))
    }
}

#[cfg(test)]
mod tests {
    use super::{Timestamp, http_time};

    #[test]
    fn times_of_servers_are_read_in_the_three_forms_that_there_are() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(http_time(text).map(Timestamp::as_second), Some(784_111_777), "{text}");
        }
        assert_eq!(http_time("yesterday"), None);
    }
}
