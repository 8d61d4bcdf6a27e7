//! Indexed layers: `varve/layers/<diffid>/`, a cache of the blobs.
//!
//! A layer is put together in an arrival's directory and gets its place by one rename, but it is
//! not synced: its record holds the boot ID instead. In the same boot it is whole, because every
//! process sees what was written. After a restart the first use hashes tar and index and writes
//! the record anew, without the boot ID; a layer whose tar does not hash right is as good as
//! absent, and is rebuilt from its blob by whoever needs it. An index that does not is left out of
//! the record ([`crate::index`]).

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use varve_fs::{
    backend::forget_cached, compression::Compression, durable, erofs::Index, layer::LayerSummary,
    tree::Tree,
};
use varve_types::{DiffId, Digest, Hasher, ImageId, ManifestKind, limits, sealed};

use crate::{
    Error, Lease, Result, Store,
    arrival::{self, Arrival},
    error::cannot,
    index::{self, IndexRecord},
    lease::Pin,
    pipeline::{self, Intake, Progress, Promise, Unpack, Unpacked},
    ready,
    stamp::TarStamp,
    store::{BLOB_MODE, LAYOUT_MODE, Publishing},
    sweep::listed,
};

/// What is written beside an indexed layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerRecord {
    /// What the parser found.
    #[serde(flatten)]
    pub summary: LayerSummary,
    /// The index. `None`: the layer has none yet; [`Store::open_layer_index`] makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexRecord>,
    /// The blob that the layer was made from.
    pub blob: Digest,
    /// In which run of the machine tar and index were written, until they are known to be on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

/// What an intake made of a layer, before it is published.
pub(crate) struct Built {
    pub(crate) summary: LayerSummary,
    pub(crate) tree: Tree,
    /// The blob it belongs to.
    pub(crate) blob: Digest,
}

impl Store {
    /// The record of an indexed layer, or `None` when it is not here.
    pub fn layer(&self, diff_id: &DiffId) -> Result<Option<LayerRecord>> {
        let Some(mut record) = self.read_layer_record(diff_id)? else { return Ok(None) };
        if record.boot.is_some() && record.boot.as_deref() != self.boot() {
            let tar = self.layer_path(diff_id).join("layer.tar");
            // Taken before, so that whoever writes meanwhile changes it.
            let stamp = TarStamp::of(&tar);
            if !is_tar_of(&tar, diff_id).map_err(cannot("read", &tar))? {
                return Ok(None);
            }
            let index = self.sound_index(&record)?;
            record.index = record.index.filter(|_| index.is_some());
            record.boot = None;
            // Where this fails (a store that may only be read) the next command hashes again.
            let settled = self.settle(&record, index.as_ref().map(Index::source));
            let _ = settled.and_then(|()| stamp.write(&self.layer_path(diff_id)));
        }
        Ok(Some(record))
    }

    /// The record as it is in the file, if the tar beside it has the right size.
    pub(crate) fn read_layer_record(&self, diff_id: &DiffId) -> Result<Option<LayerRecord>> {
        let directory = self.layer_path(diff_id);
        let path = directory.join("record.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(cannot("read", &path)(source)),
        };
        // After a power loss the record may be empty or garbage.
        let Ok(record) = sealed::parse::<LayerRecord>(&bytes) else { return Ok(None) };
        let whole = match fs::metadata(directory.join("layer.tar")) {
            Ok(tar) => tar.len() == record.summary.tar_size_bytes,
            // Its files are here, and it can be had from the blob: see [`crate::ready`].
            Err(_) => ready::tree_marks(&directory).is_some() && record.boot.is_none(),
        };
        Ok((whole && record.summary.diff_id == *diff_id).then_some(record))
    }

    fn settle(&self, record: &LayerRecord, index: Option<&File>) -> Result<()> {
        let tar = self.layer_path(&record.summary.diff_id).join("layer.tar");
        let file = File::open(&tar).map_err(cannot("open", &tar))?;
        for file in [Some(&file), index].into_iter().flatten() {
            durable::sync(file).map_err(cannot("sync", &tar))?;
        }
        self.replace_layer_record(record)
    }

    /// Writes a new record for a layer that has its place.
    pub(crate) fn replace_layer_record(&self, record: &LayerRecord) -> Result<()> {
        let path = self.layer_path(&record.summary.diff_id).join("record.json");
        durable::replace(&path, &record_text(record), LAYOUT_MODE).map_err(cannot("write", &path))
    }

    /// Pins an indexed layer under a lease if it is present.
    pub fn pin_layer(&self, lease: &Lease, diff_id: &DiffId) -> Result<Option<LayerRecord>> {
        {
            let publishing = self.publishing()?;
            if self.read_layer_record(diff_id)?.is_none() {
                return Ok(None);
            }
            lease.pin(&publishing, &[Pin::Layer(*diff_id)])?;
        }
        self.layer(diff_id)
    }

    /// The record of a layer; indexes its blob where the layer was dropped, or where the image came
    /// by another tool.
    pub fn indexed_layer(&self, diff_id: &DiffId) -> Result<LayerRecord> {
        if let Some(record) = self.layer(diff_id)? {
            return Ok(record);
        }
        let lease = self.lease()?;
        let blob = self.blob_of(diff_id)?.ok_or(Error::LayerNotFound(*diff_id))?;
        Ok(self.rebuild_layer(&lease, &blob, Some(diff_id))?.1)
    }

    /// Opens a layer's uncompressed tar; rebuilds it from its blob where it was dropped.
    pub fn open_layer_tar(&self, diff_id: &DiffId) -> Result<File> {
        self.indexed_layer(diff_id)?;
        let path = self.layer_path(diff_id).join("layer.tar");
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.open_tar_again(diff_id),
            opened => opened.map_err(cannot("open", &path)),
        }
    }

    /// A blob that holds this layer: the plain tar itself, the one that the layer's record names,
    /// or the one at its place in the manifest of an image in the table.
    pub(crate) fn blob_of(&self, diff_id: &DiffId) -> Result<Option<Digest>> {
        if self.blob_size(&diff_id.0)?.is_some() {
            return Ok(Some(diff_id.0));
        }
        if let Some(blob) = self.recorded_blob(diff_id)
            && self.blob_size(&blob)?.is_some()
        {
            return Ok(Some(blob));
        }
        for row in self.names()?.rows {
            let mut pending = vec![(row.target.digest, 0)];
            while let Some((digest, depth)) = pending.pop() {
                match self.manifest(&digest) {
                    Ok(ManifestKind::Manifest(manifest)) => {
                        let Ok(config) = self.config(&ImageId(manifest.config.digest)) else {
                            continue;
                        };
                        let place = config.diff_ids().iter().position(|it| it == diff_id);
                        if let Some(layer) = place.and_then(|place| manifest.layers.get(place))
                            && self.blob_size(&layer.digest)?.is_some()
                        {
                            return Ok(Some(layer.digest));
                        }
                    }
                    Ok(ManifestKind::Index(index)) if depth < limits::INDEX_DEPTH_MAX => {
                        pending.extend(index.manifests.iter().map(|it| (it.digest, depth + 1)));
                    }
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    /// The blob that the layer's record names, whatever else is in the record.
    pub(crate) fn recorded_blob(&self, diff_id: &DiffId) -> Option<Digest> {
        let record = fs::read(self.layer_path(diff_id).join("record.json")).ok()?;
        Some(sealed::parse::<LayerRecord>(&record).ok()?.blob)
    }

    /// The layer that a blob holds, where there is one: the plain tar's own, or the one whose record
    /// names the blob. To read all records is quicker than to inflate a large blob.
    pub(crate) fn layer_of(&self, blob: &Digest) -> Result<Option<DiffId>> {
        let plain = DiffId(*blob);
        if self.read_layer_record(&plain)?.is_some() {
            return Ok(Some(plain));
        }
        for layer in listed(&self.root().join("varve/layers"))? {
            let record = self.read_layer_record(&DiffId(layer))?;
            if record.is_some_and(|record| record.blob == *blob) {
                return Ok(Some(DiffId(layer)));
            }
        }
        Ok(None)
    }

    /// Makes a layer of a blob that is here; blob and layer are then pinned. Where the layer is
    /// here already, made of another blob, this blob is found to hold the same or refused.
    pub(crate) fn rebuild_layer(
        &self,
        lease: &Lease,
        blob: &Digest,
        diff_id: Option<&DiffId>,
    ) -> Result<(Compression, LayerRecord)> {
        let arrival = Arrival::enter(self, &arrival::blob_name(blob))?;
        let Some(size_bytes) = self.pin_blob(lease, blob)? else {
            return Err(Error::BlobNotFound(*blob));
        };
        if let Some(diff_id) = diff_id
            && let Some(record) = self.pin_layer(lease, diff_id)?
            && record.blob == *blob
        {
            let compression = self.compression_of(blob)?;
            return Ok((compression, record));
        }
        arrival.make_layer_directory()?;
        let unpacked = self.unpack_blob(&arrival, blob, size_bytes)?;
        let Unpacked { compression, summary, tree } = unpacked;
        check_diff_id(diff_id, &summary)?;
        let record = self.finish_layer(&arrival, Built { summary, tree, blob: *blob })?;
        {
            let publishing = self.publishing()?;
            lease.pin(&publishing, &[Pin::Layer(record.summary.diff_id)])?;
            self.publish_layer(&arrival, &record, &publishing)?;
        }
        // Bytes of the blob that were still arriving are not wanted any more.
        arrival.finish()?;
        forget_tar(&self.layer_path(&record.summary.diff_id).join("layer.tar"));
        Ok((compression, record))
    }

    /// Makes a blob's uncompressed tar in an arrival's layer.
    pub(crate) fn unpack_blob(
        &self,
        arrival: &Arrival,
        blob: &Digest,
        size_bytes: u64,
    ) -> Result<Unpacked> {
        let path = self.blob_path(blob);
        let mut file = File::open(&path).map_err(cannot("open", &path))?;
        let tar = arrival.layer_path().join("layer.tar");
        let intake = Intake {
            keep: None,
            promised: Some(Promise { digest: *blob, size_bytes }),
            layer: Some(Unpack { tar: &tar, even_if_plain: false }),
        };
        let outcome = match pipeline::run(&intake, &mut file, &Progress::default()) {
            Err(Error::Mismatch { .. }) => return Err(Error::Damaged(*blob)),
            Err(Error::Source(source)) => return Err(cannot("read", &path)(source)),
            other => other?,
        };
        let unpacked = outcome.layer.ok_or(Error::BlobNotFound(*blob))?.finish()?;
        if unpacked.compression == Compression::None {
            link(&path, &tar)?;
        }
        Ok(unpacked)
    }

    /// Writes index and record beside a finished tar.
    pub(crate) fn finish_layer(&self, arrival: &Arrival, built: Built) -> Result<LayerRecord> {
        let Built { summary, tree, blob } = built;
        let (tar_path, index_path) =
            (arrival.layer_path().join("layer.tar"), arrival.layer_path().join(index::FILE_NAME));
        let tar = File::open(&tar_path).map_err(cannot("open", &tar_path))?;
        durable::set_mode(&tar, BLOB_MODE).map_err(cannot("write", &tar_path))?;
        let boot = self.boot().map(str::to_owned);
        let mut record = LayerRecord { summary, index: None, blob, boot };
        let index = index::write(&index_path, (&tar, &tar_path), &tree, &mut record)?;
        if record.boot.is_none() {
            durable::sync(&tar).map_err(cannot("sync", &tar_path))?;
            durable::sync(&index).map_err(cannot("sync", &index_path))?;
        }
        let path = arrival.layer_path().join("record.json");
        let file = durable::create_new(&path, LAYOUT_MODE).map_err(cannot("create", &path))?;
        durable::write_all(&file, &record_text(&record)).map_err(cannot("write", &path))?;
        Ok(record)
    }

    /// Gives a finished layer its place, unless a good one has it. Its blob has its own name by now:
    /// getting it changes what tells of a tar that is the blob itself.
    pub(crate) fn publish_layer(
        &self,
        arrival: &Arrival,
        record: &LayerRecord,
        _publishing: &Publishing,
    ) -> Result<()> {
        TarStamp::of(&arrival.layer_path().join("layer.tar")).write(&arrival.layer_path())?;
        let (from, to) = (arrival.layer_path(), self.layer_path(&record.summary.diff_id));
        match durable::rename(&from, &to) {
            Ok(()) => Ok(()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                let there = self.read_layer_record(&record.summary.diff_id)?;
                if there.is_some_and(|it| it.boot.is_none() || it.boot.as_deref() == self.boot()) {
                    return Ok(());
                }
                durable::exchange(&from, &to).map_err(cannot("rename", &to))
            }
            Err(source) => Err(cannot("rename", &from)(source)),
        }
    }

    /// How a blob is compressed, by its first bytes.
    pub(crate) fn compression_of(&self, blob: &Digest) -> Result<Compression> {
        let path = self.blob_path(blob);
        let prefix = crate::blob::prefix(&path, varve_fs::compression::MAGIC_SIZE_BYTES)
            .map_err(cannot("read", &path))?;
        Ok(varve_fs::compression::detect(&prefix))
    }
}

/// Takes a tar out of memory. Few of its bytes are read again soon, and those that are come with
/// the mount. Failing costs memory only, and what is not on disk yet begins to be written.
pub(crate) fn forget_tar(path: &Path) {
    let _ = File::open(path).and_then(|tar| forget_cached(&tar));
}

pub(crate) fn check_diff_id(expected: Option<&DiffId>, summary: &LayerSummary) -> Result<()> {
    match expected {
        Some(expected) if *expected != summary.diff_id => {
            Err(Error::DiffId { expected: *expected, actual: summary.diff_id })
        }
        _ => Ok(()),
    }
}

/// Gives a file a second name; copies it where the file system cannot.
pub(crate) fn link(existing: &Path, new: &Path) -> Result<()> {
    match durable::link(existing, new) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::Unsupported
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::TooManyLinks
            ) =>
        {
            copy(existing, new)
        }
        other => other.map_err(cannot("link", new)),
    }
}

fn copy(existing: &Path, new: &Path) -> Result<()> {
    let mut source = File::open(existing).map_err(cannot("open", existing))?;
    let target = durable::create_new(new, LAYOUT_MODE).map_err(cannot("create", new))?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = source.read(&mut buffer).map_err(cannot("read", existing))?;
        if count == 0 {
            return durable::sync(&target).map_err(cannot("sync", new));
        }
        durable::write_all(&target, &buffer[..count]).map_err(cannot("write", new))?;
    }
}

fn record_text(record: &LayerRecord) -> Vec<u8> {
    // A record is made of strings and numbers only; there is nothing that JSON cannot say.
    sealed::seal(record).unwrap_or_default()
}

/// Whether a file hashes to a diff ID. A missing one does not.
pub(crate) fn is_tar_of(path: &PathBuf, diff_id: &DiffId) -> io::Result<bool> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut hasher = Hasher::new();
    io::copy(&mut file, &mut hasher)?;
    Ok(hasher.finish() == diff_id.0)
}
