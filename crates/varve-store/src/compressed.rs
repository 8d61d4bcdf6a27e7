//! Compressed forms of layers that were made here.
//!
//! A layer that was built, committed or imported is a plain tar. What a push compresses it to
//! is kept as a blob, and `layers/<diffid>/compressed.json` remembers by what it was made, so
//! that the next push finds it, or makes the same bytes again.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use varve_fs::{
    compression::{Compression, Compressor},
    durable,
};
use varve_types::{Descriptor, DiffId, Digest};

use crate::{
    Error, Lease, Result, Store,
    error::cannot,
    ingest::{layer_descriptor, take_unnamed},
};

/// Its name in the layer's directory.
pub(crate) const FILE_NAME: &str = "compressed.json";

/// One compressed form of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Form {
    /// What made it.
    compressor: Compressor,
    /// The blob.
    digest: Digest,
    /// Its size in bytes.
    size: u64,
}

impl Store {
    /// The blob that `compressor` makes of a layer, pinned: the one that is here, else made now.
    pub fn compressed_layer(
        &self,
        lease: &Lease,
        diff_id: &DiffId,
        compressor: &Compressor,
    ) -> Result<Descriptor> {
        let compression = compression_by(compressor);
        let mut forms = self.forms(diff_id)?;
        if let Some(form) = forms.iter().find(|form| form.compressor == *compressor)
            && self.pin_blob(lease, &form.digest)? == Some(form.size)
        {
            return Ok(layer_descriptor(compression, form.digest, form.size));
        }
        let blob = self.compress(lease, diff_id, compressor, compression)?;
        forms.retain(|form| form.compressor != *compressor);
        let compressor = compressor.clone();
        forms.push(Form { compressor, digest: blob.digest, size: blob.size });
        let path = self.forms_path(diff_id);
        let json = serde_json::to_vec(&forms).map_err(io::Error::from);
        json.and_then(|json| durable::replace(&path, &json, 0o600))
            .map_err(cannot("write", &path))?;
        Ok(blob)
    }

    /// The blobs that a layer was compressed to, here or not.
    pub(crate) fn compressed_forms(&self, diff_id: &DiffId) -> Result<Vec<Digest>> {
        Ok(self.forms(diff_id)?.into_iter().map(|form| form.digest).collect())
    }

    /// Makes the blob `form` of a layer once more, pinned, by what made it; returns its digest.
    /// `None`: nobody remembers it.
    pub(crate) fn compress_again(
        &self,
        lease: &Lease,
        diff_id: &DiffId,
        form: &Digest,
    ) -> Result<Option<Digest>> {
        let Some(form) = self.forms(diff_id)?.into_iter().find(|it| it.digest == *form) else {
            return Ok(None);
        };
        let compression = compression_by(&form.compressor);
        Ok(Some(self.compress(lease, diff_id, &form.compressor, compression)?.digest))
    }

    fn compress(
        &self,
        lease: &Lease,
        diff_id: &DiffId,
        compressor: &Compressor,
        compression: Compression,
    ) -> Result<Descriptor> {
        let mut tar = io::BufReader::with_capacity(1 << 20, self.open_layer_tar(diff_id)?);
        let path = self.forms_path(diff_id);
        let (compressed, target) = io::pipe().map_err(cannot("create", &path))?;
        std::thread::scope(|scope| {
            let making = scope.spawn(move || {
                let mut target = io::BufWriter::with_capacity(1 << 16, target);
                compressor.compress(&mut tar, &mut target)?;
                target.flush()
            });
            let mut body = Made { pipe: compressed, making: Some(making) };
            let (digest, size) = take_unnamed(self, lease, &mut body)?;
            Ok(layer_descriptor(compression, digest, size))
        })
    }

    fn forms(&self, diff_id: &DiffId) -> Result<Vec<Form>> {
        let path = self.forms_path(diff_id);
        let mut json = Vec::new();
        match std::fs::File::open(&path).and_then(|mut file| file.read_to_end(&mut json)) {
            // Only a memory of what was made: without it, it is made again.
            Ok(_) => Ok(serde_json::from_slice(&json).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(Error::Io { action: "read", path, source }),
        }
    }

    fn forms_path(&self, diff_id: &DiffId) -> PathBuf {
        self.layer_path(diff_id).join(FILE_NAME)
    }
}

/// What is wrong with what is remembered of a layer's compressed forms, in the layer's directory.
pub(crate) fn problem(layer: &Path) -> Option<String> {
    let json = std::fs::read(layer.join(FILE_NAME)).ok()?;
    let error = serde_json::from_slice::<Vec<Form>>(&json).err()?;
    Some(format!("{FILE_NAME} is not valid: {error}"))
}

fn compression_by(compressor: &Compressor) -> Compression {
    if compressor.name == "zstd" { Compression::Zstd } else { Compression::Gzip }
}

/// What another thread writes into a pipe. Its end is believed only when that thread succeeded.
struct Made<'scope> {
    pipe: io::PipeReader,
    making: Option<std::thread::ScopedJoinHandle<'scope, io::Result<()>>>,
}

impl Read for Made<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.pipe.read(buffer)?;
        if count == 0
            && !buffer.is_empty()
            && let Some(making) = self.making.take()
        {
            making.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Cursor, os::unix::fs::MetadataExt};

    use crate::{Keep, LayerRequest, LayerState, Store};
    use varve_fs::compression::Compressor;

    #[test]
    fn a_layer_is_compressed_once_and_then_found() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let lease = store.lease().unwrap();
        let request = LayerRequest { keep: Keep::Uncompressed, ..LayerRequest::default() };
        let LayerState::Wanted(mut ingest) = store.ingest_layer(&lease, request).unwrap() else {
            panic!("an empty store has no layer");
        };
        let layer = ingest.receive(&mut Cursor::new(vec![0; 10_240])).unwrap();
        let diff_id = layer.record.summary.diff_id;
        let gzip = Compressor::gzip();
        let first = store.compressed_layer(&lease, &diff_id, &gzip).unwrap();
        assert_eq!(store.blob_size(&first.digest).unwrap(), Some(first.size));
        let zstd = store.compressed_layer(&lease, &diff_id, &Compressor::zstd(3)).unwrap();
        assert_ne!(zstd.digest, first.digest);
        let inode = || std::fs::metadata(store.blob_path(&first.digest)).unwrap().ino();
        let made = inode();
        assert_eq!(store.compressed_layer(&lease, &diff_id, &gzip).unwrap(), first);
        assert_eq!(inode(), made, "it was made a second time");
        // Without the blob it is made again, and is the same.
        std::fs::remove_file(store.blob_path(&first.digest)).unwrap();
        assert_eq!(store.compressed_layer(&lease, &diff_id, &gzip).unwrap(), first);
        assert_eq!(store.blob_size(&first.digest).unwrap(), Some(first.size));
    }
}
