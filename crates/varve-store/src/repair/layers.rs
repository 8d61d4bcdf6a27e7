//! Mending indexed layers.

use std::fs;

use varve_fs::durable;
use varve_types::{DiffId, sealed};

use super::{Mended, is_about_content};
use crate::{
    LayerRecord, Lease, Result, Store, compressed,
    error::cannot,
    index,
    layers::is_tar_of,
    ready::{self, remove_tree_note},
    sweep::Node,
};

impl Store {
    /// Makes of a layer what can be made: all of it, from its blob or as a container's base; or its
    /// record, index and files, from a tar that is right. A layer whose tar is wrong is removed in
    /// any case.
    pub(super) fn mend_layer(&self, lease: &Lease, layer: &DiffId) -> Result<Option<Mended>> {
        let directory = self.layer_path(layer);
        let tar = directory.join("layer.tar");
        if directory.join(ready::TREE).is_dir() && self.is_held(layer)? {
            // Files that are shown must not go; those of the other backends may.
            return Ok(None);
        }
        if compressed::problem(&directory).is_some() {
            let path = directory.join(compressed::FILE_NAME);
            durable::unlink(&path).map_err(cannot("remove", &path))?;
        }
        if is_tar_of(&tar, layer).unwrap_or(false) {
            return self.mend_around_tar(lease, layer).map(Some);
        }
        let is_blob_here = self.blob_of(layer)?.is_some();
        self.throw_layer(layer)?;
        self.empty_trash()?;
        if !is_blob_here {
            return self.mend_base(lease, layer);
        }
        match self.pin_or_make_layer(lease, layer) {
            Ok(_) => Ok(Some(Mended::Restored)),
            // Its blob is another finding.
            Err(error) if is_about_content(&error) => Ok(Some(Mended::Removed)),
            Err(error) => Err(error),
        }
    }

    /// Whether somebody has a layer mounted.
    fn is_held(&self, layer: &DiffId) -> Result<bool> {
        let held = self.held_layers(|_| true)?;
        Ok(held.contains(&Node::Layer(*layer)))
    }

    fn mend_around_tar(&self, lease: &Lease, layer: &DiffId) -> Result<Mended> {
        let directory = self.layer_path(layer);
        let path = directory.join("record.json");
        let record = fs::read(&path).ok().and_then(|bytes| sealed::parse(&bytes).ok());
        let record = record.filter(|record: &LayerRecord| record.summary.diff_id == *layer);
        let mut record = match record {
            Some(record) => record,
            None => self.record_of_tar(layer)?,
        };
        if let Some(expected) = record.index
            && index::open_if(&directory.join(index::FILE_NAME), expected).ok().flatten().is_none()
        {
            record.index = None;
        }
        self.replace_layer_record(&record)?;
        let _ = self.pin_layer(lease, layer)?;
        self.open_layer_index(layer)?;
        // Whoever shows files next makes them again.
        remove_tree_note(&directory)?;
        let tree = directory.join(ready::TREE);
        if tree.is_dir() {
            self.throw(&tree)?;
        }
        Ok(Mended::Restored)
    }

    /// The layer under a container's own: made of nothing but what the image lacks.
    fn mend_base(&self, lease: &Lease, layer: &DiffId) -> Result<Option<Mended>> {
        let of_this = |base: &Option<DiffId>| *base == Some(*layer);
        let containers = self.containers()?.0;
        let Some(container) = containers.iter().find(|container| of_this(&container.base)) else {
            return Ok(Some(Mended::Removed));
        };
        match self.base(lease, &container.layers) {
            Ok(made) if of_this(&made.layer) => Ok(Some(Mended::Restored)),
            Ok(_) => Ok(Some(Mended::Removed)),
            Err(error) if is_about_content(&error) => Ok(Some(Mended::Removed)),
            Err(error) => Err(error),
        }
    }
}
