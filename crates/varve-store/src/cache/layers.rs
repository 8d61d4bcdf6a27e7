//! Layers that only records reach, and how they become blobs.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use varve_fs::{compression::Compression, durable};
use varve_types::{Descriptor, DiffId};

use crate::{
    Error, Lease, Result, Store,
    arrival::Arrival,
    error::cannot,
    ingest::{self, layer_descriptor},
    layers::{self, is_tar_of},
    lease::Pin,
    stamp::TarStamp,
};

/// What changes when somebody writes into a file, and not when it gets another name or mode, as
/// what [`TarStamp`] has does.
#[derive(PartialEq, Eq)]
struct Content {
    inode: u64,
    size_bytes: u64,
    modified: (i64, i64),
}

impl Content {
    fn of(path: &Path) -> Option<Self> {
        let facts = fs::metadata(path).ok()?;
        let modified = (facts.mtime(), facts.mtime_nsec());
        Some(Self { inode: facts.ino(), size_bytes: facts.len(), modified })
    }
}

impl Store {
    /// The blob of a layer that is here: its plain tar, which gets a second name under `blobs/`, on
    /// disk before that. Blob and layer are then pinned. Nothing is copied, and what only records
    /// reached is part of the layout from then on.
    pub fn layer_blob(&self, lease: &Lease, diff_id: &DiffId) -> Result<Descriptor> {
        let plain = |size_bytes| layer_descriptor(Compression::None, diff_id.0, size_bytes);
        let record = self.pin_or_make_layer(lease, diff_id)?;
        let size_bytes = record.summary.tar_size_bytes;
        if self.pin_blob(lease, &diff_id.0)? == Some(size_bytes) {
            return Ok(plain(size_bytes));
        }
        // Beside extracted files it may be left out.
        self.verify_tar(lease, diff_id)?;
        let (directory, tar) =
            (self.layer_path(diff_id), self.layer_path(diff_id).join("layer.tar"));
        let arrival = Arrival::unnamed(self)?;
        let data = arrival.data_path();
        durable::unlink(&data).map_err(cannot("remove", &data))?;
        let content = Content::of(&tar);
        let was_verified = TarStamp::read(&directory) == Some(TarStamp::of(&tar));
        layers::link(&tar, &data)?;
        let is_right = was_verified && content.is_some() && Content::of(&data) == content
            || is_tar_of(&data, diff_id).map_err(cannot("read", &data))?;
        if !is_right {
            return Err(Error::DamagedLayer(*diff_id));
        }
        ingest::seal(&data)?;
        {
            let publishing = self.publishing()?;
            lease.pin(&publishing, &[Pin::Blob(diff_id.0)])?;
            let blob = self.blob_path(&diff_id.0);
            durable::rename(&data, &blob).map_err(cannot("rename", &data))?;
            if was_verified && Content::of(&tar) == content {
                // Where this fails the next mount hashes once more.
                let _ = TarStamp::of(&tar).write(&directory);
            }
        }
        self.sync_blobs()?;
        arrival.finish()?;
        Ok(plain(size_bytes))
    }
}
