//! The index of a layer: `index.erofs` beside its tar, by which the layer is read and mounted.
//!
//! It is written when the tar is complete, and like the tar it is not synced then: the boot ID in
//! the record speaks for both. The record has the index's digest and size. An index that is gone,
//! or is not what the record says, is no loss: whoever opens it makes it anew from the tar. So it
//! is completed, too, where the layer came by a varve that wrote none.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use varve_fs::{
    durable,
    erofs::{self, BlockSize, Index, ReadError, WriteError},
    layer::{LayerError, LayerParser, LayerSummary},
    tree::Tree,
};
use varve_types::{DiffId, Digest, Hasher};

use crate::{
    Error, LayerRecord, Lease, Result, Store,
    arrival::Arrival,
    error::cannot,
    layers::check_diff_id,
    store::{BLOB_MODE, PRIVATE_MODE},
};

/// Its name in the layer's directory.
pub(crate) const FILE_NAME: &str = "index.erofs";

/// What is written down of a layer's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexRecord {
    /// Digest of the file.
    pub digest: Digest,
    /// Its size in bytes.
    pub size_bytes: u64,
}

impl Store {
    /// Opens a layer's index, whose bytes are verified; makes it anew, if need be with its layer,
    /// where it was dropped or damaged. The files' data are in [`open_layer_tar`](Self::open_layer_tar).
    pub fn open_layer_index(&self, diff_id: &DiffId) -> Result<Index<File>> {
        let record = self.indexed_layer(diff_id)?;
        if let Some(index) = self.sound_index(&record)? {
            return Ok(index);
        }
        let lease = self.lease()?;
        self.rebuild_index(&lease, diff_id)
    }

    /// The index that a record speaks of, if it is here and whole.
    pub(crate) fn sound_index(&self, record: &LayerRecord) -> Result<Option<Index<File>>> {
        let Some(expected) = record.index else { return Ok(None) };
        let path = self.layer_path(&record.summary.diff_id).join(FILE_NAME);
        let Some(file) = open_if(&path, expected).map_err(cannot("read", &path))? else {
            return Ok(None);
        };
        match Index::open(file) {
            Ok(index) => Ok(Some(index)),
            // Written by another varve, in a way that we do not know.
            Err(ReadError::Damaged { .. }) => Ok(None),
            Err(source) => Err(Error::ReadIndex { layer: record.summary.diff_id, source }),
        }
    }

    /// A record of a layer whose tar is here and right, made from that alone. Nothing tells any more
    /// what blob it came in; its tar is one.
    pub(crate) fn record_of_tar(&self, diff_id: &DiffId) -> Result<LayerRecord> {
        let path = self.layer_path(diff_id).join("layer.tar");
        let tar = File::open(&path).map_err(cannot("open", &path))?;
        let (summary, _) = parse(&tar, &path, diff_id)?;
        check_diff_id(Some(diff_id), &summary)?;
        let boot = self.boot().map(str::to_owned);
        let blob = self.blob_of(diff_id)?.unwrap_or(diff_id.0);
        Ok(LayerRecord { summary, index: None, blob, boot })
    }

    /// Makes the index of a layer that is here from its tar. The lease pins the layer.
    fn rebuild_index(&self, lease: &Lease, diff_id: &DiffId) -> Result<Index<File>> {
        let arrival = Arrival::enter(self, &format!("index-{}", diff_id.0.hex()))?;
        let record = self.pin_layer(lease, diff_id)?.ok_or(Error::LayerNotFound(*diff_id))?;
        if let Some(index) = self.sound_index(&record)? {
            // Another process was quicker.
            return Ok(index);
        }
        let tar_path = self.layer_path(diff_id).join("layer.tar");
        let tar = self.open_layer_tar(diff_id)?;
        let (summary, tree) = parse(&tar, &tar_path, diff_id)?;
        check_diff_id(Some(diff_id), &summary)?;
        arrival.make_layer_directory()?;
        let mut made = LayerRecord { summary, index: None, ..record.clone() };
        let path = arrival.layer_path().join(FILE_NAME);
        let file = write(&path, (&tar, &tar_path), &tree, &mut made)?;
        self.publish_index(&record, &made, &file, &path)?;
        arrival.finish()?;
        let file = File::open(self.layer_path(diff_id).join(FILE_NAME));
        let file = file.map_err(cannot("open", &path))?;
        Index::open(file).map_err(|source| Error::ReadIndex { layer: *diff_id, source })
    }

    /// Gives an index that was made anew its place, and takes it down in the record. At no time
    /// does the record name another index than the one that should be there.
    fn publish_index(
        &self,
        old: &LayerRecord,
        new: &LayerRecord,
        file: &File,
        from: &Path,
    ) -> Result<()> {
        if old.index.is_some() && old.index != new.index {
            self.replace_layer_record(&LayerRecord { index: None, ..old.clone() })?;
        }
        let to = self.layer_path(&new.summary.diff_id).join(FILE_NAME);
        durable::publish(file, from, &to).map_err(cannot("write", &to))?;
        if old == new { Ok(()) } else { self.replace_layer_record(new) }
    }
}

/// Writes the index of a tar and takes it down in the layer's record, with what the writer warns
/// of. `tar` is the open file and its path.
pub(crate) fn write(
    path: &Path,
    tar: (&File, &Path),
    tree: &Tree,
    record: &mut LayerRecord,
) -> Result<File> {
    let file = durable::create_new(path, PRIVATE_MODE).map_err(cannot("create", path))?;
    let layer = erofs::Layer {
        tree,
        diff_id: record.summary.diff_id,
        tar_size_bytes: record.summary.tar_size_bytes,
        block_size: BlockSize::Tar,
    };
    let mut out = Hashed { file: &file, hasher: Hasher::new() };
    let written = erofs::write_index(layer, tar.0, &mut out).map_err(|error| match error {
        WriteError::Read(source) => cannot("read", tar.1)(source),
        WriteError::Write(source) => cannot("write", path)(source),
        source @ WriteError::Limit { .. } => {
            Error::WriteIndex { layer: record.summary.diff_id, source }
        }
    })?;
    let digest = out.hasher.finish();
    durable::set_mode(&file, BLOB_MODE).map_err(cannot("write", path))?;
    record.index = Some(IndexRecord { digest, size_bytes: written.size_bytes });
    record.summary.warnings.extend(written.warnings);
    Ok(file)
}

/// Opens an index if it is the recorded one.
pub(crate) fn open_if(path: &Path, expected: IndexRecord) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() != expected.size_bytes {
        return Ok(None);
    }
    let mut hasher = Hasher::new();
    io::copy(&mut &file, &mut hasher)?;
    Ok((hasher.finish() == expected.digest).then_some(file))
}

fn parse(mut tar: &File, path: &Path, diff_id: &DiffId) -> Result<(LayerSummary, Tree)> {
    let layer = |source: LayerError| Error::Layer { digest: diff_id.to_string(), source };
    let mut parser = LayerParser::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match tar.read(&mut buffer) {
            Ok(0) => return parser.finish().map_err(layer),
            Ok(count) => parser.update(&buffer[..count]).map_err(layer)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(cannot("read", path)(source)),
        }
    }
}

/// A file that is hashed while it is written.
pub(crate) struct Hashed<'a> {
    pub(crate) file: &'a File,
    pub(crate) hasher: Hasher,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        durable::write_all(self.file, bytes)?;
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
