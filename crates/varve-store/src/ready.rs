//! Making a layer fit to be shown: verified, and in the form that the backend shows.
//!
//! The kernel reads tar and index itself, so they are verified before it does: the index by its
//! hash, the tar by what its record says of the file, and by its hash where that has changed. A
//! layer that is not what it should be is made anew from its blob.
//!
//! The directory backend shows files that were extracted, in `tree/`. Beside them a tar that can be
//! had from the blob again is not kept; whoever wants to read it gets one without a name.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use varve_fs::{
    backend::{Backend, BackendKind, LayerFiles},
    durable,
    extract::{Marks, Source},
};
use varve_types::{DiffId, Digest, sealed};

use crate::{
    Error, LayerRecord, Lease, Result, Store,
    arrival::Arrival,
    backend::THREADS_MAX,
    error::cannot,
    index,
    layers::{check_diff_id, is_tar_of},
    stamp::TarStamp,
    store::{BLOB_MODE, LAYOUT_MODE},
};

/// The extracted files, in the layer's directory.
pub(crate) const TREE: &str = "tree";

/// Says of the extracted files how whiteouts are written in them; written when they are whole.
pub(crate) const TREE_NOTE: &str = "tree.json";

#[derive(Debug, Serialize, Deserialize)]
struct TreeNote {
    marks: Marks,
}

/// How whiteouts are written in a layer's extracted files; `None` where there are none.
pub(crate) fn tree_marks(layer: &Path) -> Option<Marks> {
    let note: TreeNote = sealed::parse(&fs::read(layer.join(TREE_NOTE)).ok()?).ok()?;
    layer.join(TREE).is_dir().then_some(note.marks)
}

/// Forgets that extracted files are whole.
pub(crate) fn remove_tree_note(layer: &Path) -> Result<()> {
    let note = layer.join(TREE_NOTE);
    durable::unlink(&note).map(drop).map_err(cannot("remove", &note))
}

/// Says that extracted files are whole.
pub(crate) fn write_tree_note(layer: &Path, marks: Marks) -> Result<()> {
    let note = layer.join(TREE_NOTE);
    // Made of one word; there is nothing that JSON cannot say.
    let text = sealed::seal(&TreeNote { marks }).unwrap_or_default();
    durable::replace(&note, &text, LAYOUT_MODE).map_err(cannot("write", &note))
}

impl Store {
    /// Pins a layer, which is made from its blob where it is not here.
    pub(crate) fn pin_or_make_layer(&self, lease: &Lease, layer: &DiffId) -> Result<LayerRecord> {
        if let Some(record) = self.pin_layer(lease, layer)? {
            return Ok(record);
        }
        let blob = self.blob_of(layer)?.ok_or(Error::LayerNotFound(*layer))?;
        Ok(self.rebuild_layer(lease, &blob, Some(layer))?.1)
    }

    /// Verifies a layer and makes what the backend shows of it. The lease pins it.
    pub(crate) fn make_ready(
        &self,
        lease: &Lease,
        layer: &DiffId,
        backend: &dyn Backend,
    ) -> Result<()> {
        if backend.kind() == BackendKind::Directory {
            return self.make_tree(lease, layer, backend);
        }
        self.verify_tar(lease, layer)?;
        // Its bytes are verified here, and written anew where they are wrong. What is cached of the
        // tar stays for who begins to use the layer now: it need not come from the disk again.
        self.open_layer_index(layer).map(drop)
    }

    /// Sees to it that a layer's tar is there and right.
    pub(crate) fn verify_tar(&self, lease: &Lease, layer: &DiffId) -> Result<()> {
        self.pin_or_make_layer(lease, layer)?;
        let path = self.layer_path(layer).join("layer.tar");
        let directory = self.layer_path(layer);
        // Taken before it is read, so that whoever writes meanwhile changes it.
        let stamp = TarStamp::of(&path);
        if !path.try_exists().map_err(cannot("read", &path))? {
            return self.restore_tar(lease, layer);
        }
        if TarStamp::read(&directory) == Some(stamp) {
            return Ok(());
        }
        if is_tar_of(&path, layer).map_err(cannot("read", &path))? {
            // Where this fails (a store that may only be read) the next mount hashes again.
            let _ = stamp.write(&directory);
            return Ok(());
        }
        self.throw_layer(layer)?;
        let blob = self.blob_of(layer)?.ok_or(Error::DamagedLayer(*layer))?;
        self.rebuild_layer(lease, &blob, Some(layer))?;
        Ok(())
    }

    /// Takes a layer that is not what it should be out of sight.
    pub(crate) fn throw_layer(&self, layer: &DiffId) -> Result<()> {
        let trash = self.root().join("varve/trash");
        let name = durable::random_name().map_err(cannot("name", &trash))?;
        let path = self.layer_path(layer);
        match durable::rename(&path, &trash.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(cannot("remove", &path)),
        }
    }

    /// Extracts a layer's files, unless they are there in the form that the backend wants.
    fn make_tree(&self, lease: &Lease, layer: &DiffId, backend: &dyn Backend) -> Result<()> {
        let record = self.pin_or_make_layer(lease, layer)?;
        if self.has_tree(&record, backend.marks()) {
            return self.drop_tar(&record);
        }
        let arrival = Arrival::enter(self, &format!("tree-{}", layer.0.hex()))?;
        let record = self.pin_or_make_layer(lease, layer)?;
        if self.has_tree(&record, backend.marks()) {
            // Another process was quicker.
            return arrival.finish();
        }
        self.verify_tar(lease, layer)?;
        let index = self.open_layer_index(layer)?;
        let tree = index.tree().map_err(|source| Error::ReadIndex { layer: *layer, source })?;
        let tar = self.open_layer_tar(layer)?;
        arrival.make_layer_directory()?;
        let new = arrival.layer_path().join(TREE);
        let files = |tree| LayerFiles { index: Path::new(""), tar: None, tree };
        backend.prepare(&files(&new), Source::Layer(&tree, &tar), THREADS_MAX)?;
        durable::sync_file_system(&tar).map_err(cannot("sync", &new))?;
        let there = self.layer_path(layer).join(TREE);
        let directory = self.layer_path(layer);
        remove_tree_note(&directory)?;
        backend.remove(&files(&there), &self.root().join("varve/trash"))?;
        durable::rename(&new, &there).map_err(cannot("rename", &there))?;
        durable::sync_directory(&directory).map_err(cannot("sync", &directory))?;
        // All of it was synced just now.
        if let Some(record) = self.read_layer_record(layer)? {
            self.replace_layer_record(&LayerRecord { boot: None, ..record })?;
        }
        write_tree_note(&directory, backend.marks())?;
        arrival.finish()?;
        let record = self.pin_or_make_layer(lease, layer)?;
        self.drop_tar(&record)
    }

    fn has_tree(&self, record: &LayerRecord, marks: Marks) -> bool {
        let directory = self.layer_path(&record.summary.diff_id);
        tree_marks(&directory) == Some(marks)
    }

    /// Removes a tar that can be had again, beside the files that were extracted from it.
    fn drop_tar(&self, record: &LayerRecord) -> Result<()> {
        // Another name of the blob takes no space.
        if record.blob == record.summary.diff_id.0 || self.blob_size(&record.blob)?.is_none() {
            return Ok(());
        }
        let path = self.layer_path(&record.summary.diff_id).join("layer.tar");
        durable::unlink(&path).map_err(cannot("remove", &path))?;
        Ok(())
    }

    /// Gives a layer its tar back, from its blob.
    fn restore_tar(&self, lease: &Lease, layer: &DiffId) -> Result<()> {
        let (arrival, from, file) = self.unpack_again(lease, layer)?;
        durable::set_mode(&file, BLOB_MODE).map_err(cannot("write", &from))?;
        let to = self.layer_path(layer).join("layer.tar");
        durable::publish(&file, &from, &to).map_err(cannot("write", &to))?;
        TarStamp::of(&to).write(&self.layer_path(layer))?;
        arrival.finish()
    }

    /// The tar of a layer beside whose files it is not kept. It has no name.
    pub(crate) fn open_tar_again(&self, layer: &DiffId) -> Result<File> {
        let lease = self.lease()?;
        let (arrival, _, file) = self.unpack_again(&lease, layer)?;
        arrival.finish()?;
        Ok(file)
    }

    fn unpack_again(&self, lease: &Lease, layer: &DiffId) -> Result<(Arrival, PathBuf, File)> {
        let blob: Digest = self.blob_of(layer)?.ok_or(Error::LayerNotFound(*layer))?;
        let size_bytes = self.pin_blob(lease, &blob)?.ok_or(Error::BlobNotFound(blob))?;
        let arrival = Arrival::unnamed(self)?;
        arrival.make_layer_directory()?;
        let unpacked = self.unpack_blob(&arrival, &blob, size_bytes)?;
        check_diff_id(Some(layer), &unpacked.summary)?;
        let path = arrival.layer_path().join("layer.tar");
        let file = File::open(&path).map_err(cannot("open", &path))?;
        Ok((arrival, path, file))
    }

    /// A layer's files, as the backend wants to know them.
    pub(crate) fn layer_files(&self, layer: &DiffId) -> [PathBuf; 3] {
        let directory = self.layer_path(layer);
        [index::FILE_NAME, "layer.tar", TREE].map(|name| directory.join(name))
    }
}
