//! One file alone in a directory: a document of the Dockerfile, or what was fetched.

use std::{
    fs::File,
    io::{Cursor, Read},
};

use varve_fs::{
    stack::FileReader,
    tar::Time,
    tree::{Content, FileBytes},
};
use varve_store::Store;
use varve_types::{DiffId, Digest, Kind};

use super::{Fault, FileKind, FileStatus, Files};
use crate::{
    plan::DocumentStep,
    select::{EntryKind, Listing},
};

/// One file.
#[derive(Debug)]
pub struct OneFile {
    name: String,
    bytes: Bytes,
    digest: Digest,
    mode: u32,
    mtime: Time,
    listing: Listing,
}

#[derive(Debug)]
enum Bytes {
    Text(Vec<u8>),
    Fetched(File, FileBytes),
}

impl OneFile {
    /// A file whose text is in the Dockerfile. `time` is what programs see as its time.
    pub fn document(step: &DocumentStep, time: Time) -> Self {
        let text = step.text.clone().into_bytes();
        let digest = Digest::of(&text);
        Self::new(step.file.clone(), Bytes::Text(text), digest, step.mode, time)
    }

    /// A file that was fetched: `size_bytes` bytes from the begin of `file`, whose digest is known.
    /// `time` is what the server said, or when it was fetched. Its mode is 0600, as in docker.
    pub fn fetched(name: String, file: File, size_bytes: u64, digest: Digest, time: Time) -> Self {
        let bytes =
            FileBytes { size: size_bytes, data_offset: 0, sparse: None, padding_is_zero: true };
        Self::new(name, Bytes::Fetched(file, bytes), digest, 0o600, time)
    }

    /// A file that was fetched and is kept under the name [`KEPT`](Self::KEPT) in a layer of a
    /// store, which must be pinned.
    pub fn kept(
        name: String,
        (store, layer): (&Store, &DiffId),
        digest: Digest,
        time: Time,
    ) -> Result<Self, Fault> {
        let failed = |error: varve_store::Error| Fault::new(error.kind(), error);
        let index = store.open_layer_index(layer).map_err(failed)?;
        let tree = index.tree().map_err(|error| Fault::new(error.kind(), error))?;
        let found = tree.lookup(Self::KEPT.as_bytes()).map(|id| &tree.inode(id).content);
        let Some(Content::File(bytes)) = found else {
            return Err(Fault::new(Kind::Corrupt, format!("layer {layer} holds no fetched file")));
        };
        let tar = store.open_layer_tar(layer).map_err(failed)?;
        Ok(Self::new(name, Bytes::Fetched(tar, bytes.clone()), digest, 0o600, time))
    }

    /// What a fetched file is called in the layer that keeps it.
    pub const KEPT: &str = "file";

    fn new(name: String, bytes: Bytes, digest: Digest, mode: u32, mtime: Time) -> Self {
        let listing = [(name.clone(), EntryKind::File)].into_iter().collect();
        Self { name, bytes, digest, mode, mtime, listing }
    }

    fn check(&self, path: &str) -> Result<(), Fault> {
        if path == self.name {
            return Ok(());
        }
        Err(Fault::new(Kind::NotFound, format!("\"/{path}\": not found")))
    }
}

impl Files for OneFile {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn status(&self, path: &str) -> Result<FileStatus, Fault> {
        let (kind, mode) = if path.is_empty() {
            (FileKind::Directory, 0o755)
        } else {
            self.check(path)?;
            let size_bytes = match &self.bytes {
                Bytes::Text(text) => text.len() as u64,
                Bytes::Fetched(_, bytes) => bytes.size,
            };
            (FileKind::File(size_bytes), self.mode)
        };
        Ok(FileStatus { mode, mtime: self.mtime, ..FileStatus::of(kind) })
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send + '_>, Fault> {
        self.check(path)?;
        Ok(match &self.bytes {
            Bytes::Text(text) => Box::new(Cursor::new(text.as_slice())),
            Bytes::Fetched(file, bytes) => Box::new(FileReader::new(bytes, file)),
        })
    }

    fn digest(&self, path: &str) -> Result<Digest, Fault> {
        self.check(path)?;
        Ok(self.digest)
    }

    fn only_file(&self) -> Option<&str> {
        Some(&self.name)
    }
}
