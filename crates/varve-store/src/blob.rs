//! Committed blobs.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use varve_fs::{durable, lock::FileLock};
use varve_types::{Digest, Document, Hasher, ImageConfig, ImageId, ManifestKind, limits};

use crate::{
    Error, Lease, Result, Store,
    error::cannot,
    lease::Pin,
    store::{BLOB_MODE, PRIVATE_MODE},
};

/// Reads a blob and verifies it: the read that would return its last byte returns an error
/// (`InvalidData`, with [`Error::Damaged`] inside) instead when the bytes do not hash to its name.
/// Who counts bytes and never reads the end is told as well.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    digest: Digest,
    size_bytes: u64,
    read_bytes: u64,
    /// `None` once the end was reached and found right.
    hasher: Option<Hasher>,
}

impl BlobReader {
    /// The number of bytes in the blob.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The digest that the bytes must have.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Passes over bytes; they are verified like those that are read.
    pub fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let passed = io::copy(&mut self.by_ref().take(bytes), &mut io::sink())?;
        if passed < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.file.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.read_bytes += count as u64;
        let over = count == 0 || self.read_bytes >= self.size_bytes;
        if over && let Some(hasher) = &self.hasher {
            if hasher.clone().finish() != self.digest {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    Error::Damaged(self.digest),
                ));
            }
            self.hasher = None;
        }
        Ok(count)
    }
}

impl Store {
    /// The size in bytes of a committed blob, or `None`. Pins nothing.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.blob_path(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(cannot("read", &path)(source)),
        }
    }

    /// Pins a blob under a lease if it is present and returns its size. What is pinned stays.
    pub fn pin_blob(&self, lease: &Lease, digest: &Digest) -> Result<Option<u64>> {
        let publishing = self.publishing()?;
        let size = self.blob_size(digest)?;
        if size.is_some() {
            lease.pin(&publishing, &[Pin::Blob(*digest)])?;
        }
        Ok(size)
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<BlobReader> {
        let path = self.blob_path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::BlobNotFound(*digest));
            }
            Err(source) => return Err(cannot("open", &path)(source)),
        };
        let size_bytes = file.metadata().map_err(cannot("read", &path))?.len();
        let hasher = Some(Hasher::new());
        Ok(BlobReader { file, digest: *digest, size_bytes, read_bytes: 0, hasher })
    }

    /// Reads a whole small blob, verified; more than `size_bytes_max` is an error.
    pub fn read_blob(&self, digest: &Digest, size_bytes_max: u64) -> Result<Vec<u8>> {
        let mut reader = self.open_blob(digest)?;
        let size = reader.size_bytes();
        if size > size_bytes_max {
            return Err(Error::Limit { what: "blob size", actual: size, limit: size_bytes_max });
        }
        let mut bytes = Vec::with_capacity(size as usize);
        let path = self.blob_path(digest);
        reader.file.read_to_end(&mut bytes).map_err(cannot("read", &path))?;
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(Error::Damaged(*digest)) }
    }

    /// Stores small content whole (manifests, indexes, configs) and pins it under the lease. A
    /// damaged blob of that name is replaced.
    pub fn put_blob(&self, lease: &Lease, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if self.pin_blob(lease, &digest)? == Some(bytes.len() as u64)
            && self.read_blob(&digest, bytes.len() as u64).is_ok()
        {
            return Ok(digest);
        }
        let temporary = self.temporary_file()?;
        let written = self.publish_bytes(lease, &digest, bytes, &temporary);
        if written.is_err() {
            let _ = durable::unlink(&temporary.path);
        }
        written.map(|()| digest)
    }

    fn publish_bytes(
        &self,
        lease: &Lease,
        digest: &Digest,
        bytes: &[u8],
        temporary: &Temporary,
    ) -> Result<()> {
        let (file, path) = (temporary.lock.file(), temporary.path.as_path());
        durable::write_all(file, bytes).map_err(cannot("write", path))?;
        durable::set_mode(file, BLOB_MODE).map_err(cannot("write", path))?;
        durable::sync(file).map_err(cannot("sync", path))?;
        let target = self.blob_path(digest);
        {
            let publishing = self.publishing()?;
            lease.pin(&publishing, &[Pin::Blob(*digest)])?;
            durable::rename(path, &target).map_err(cannot("rename", path))?;
        }
        self.sync_blobs()
    }

    /// Syncs the directory that names blobs. Needed before a name may reach a new one.
    pub(crate) fn sync_blobs(&self) -> Result<()> {
        let blobs = self.root().join("blobs/sha256");
        durable::sync_directory(&blobs).map_err(cannot("sync", &blobs))
    }

    /// A new file under `varve/ingest`, locked so that sweeps know it for a live one.
    fn temporary_file(&self) -> Result<Temporary> {
        loop {
            let ingest = self.ingest_path("");
            let name = durable::random_name().map_err(cannot("name", &ingest))?;
            let path = self.ingest_path(&name);
            let file = durable::create_new(&path, PRIVATE_MODE).map_err(cannot("create", &path))?;
            let lock = FileLock::try_exclusive_on(file).map_err(cannot("lock", &path))?;
            if let Some(lock) = lock
                && lock.is_at(&path).map_err(cannot("lock", &path))?
            {
                return Ok(Temporary { path, lock });
            }
        }
    }

    /// Reads and parses a manifest or index.
    pub fn manifest(&self, digest: &Digest) -> Result<ManifestKind> {
        let bytes = self.read_blob(digest, limits::MANIFEST_SIZE_BYTES_MAX)?;
        ManifestKind::parse(bytes, "").map_err(|error| Error::Document {
            what: "manifest",
            digest: *digest,
            reason: error.to_string(),
        })
    }

    /// Reads and parses an image config.
    pub fn config(&self, id: &ImageId) -> Result<Document<ImageConfig>> {
        let bytes = self.read_blob(&id.0, limits::CONFIG_SIZE_BYTES_MAX)?;
        ImageConfig::parse(bytes).map_err(|error| Error::Document {
            what: "config",
            digest: id.0,
            reason: error.to_string(),
        })
    }
}

struct Temporary {
    path: std::path::PathBuf,
    lock: FileLock,
}

/// The first bytes of a file, as many as there are up to `count`.
pub(crate) fn prefix(path: &Path, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(count);
    File::open(path)?.take(count as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
