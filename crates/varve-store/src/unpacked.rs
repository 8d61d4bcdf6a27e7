//! Dropping what can be made again: indexed layers whose blob is here as well.
//!
//! A pulled layer takes its room twice, as the compressed blob and as the plain tar (or the extracted
//! files) that containers use. A layer that came plain or was made here is its blob, under two names.

use std::collections::HashSet;

use varve_types::{DiffId, Digest};

use crate::{
    Error, Result, Store, Swept,
    lease::{self, Pin},
    mark,
    store::Sweeping,
    sweep::{Node, listed},
    trash::Trash,
};

impl Store {
    /// Removes the unpacked form of every layer that no container, mount, build record or live lease
    /// uses and that can be made again from its compressed blob, which is read and verified first.
    /// Whoever needs such a layer has it rebuilt.
    pub fn drop_unpacked(&self) -> Result<Swept> {
        if !self.is_made() {
            return Ok(Swept::default());
        }
        let mut whole = HashSet::new();
        for digest in listed(&self.root().join("varve/layers"))? {
            if let Some(blob) = self.made_of_other(&DiffId(digest))?
                && self.is_intact(&blob)?
            {
                whole.insert(blob);
            }
        }
        let sweeping = self.sweeping()?;
        let Some(used) = self.used(&sweeping)? else { return Ok(Swept::default()) };
        let mut trash = Trash::new(self);
        let mut swept = Swept::default();
        for digest in listed(&self.root().join("varve/layers"))? {
            let layer = DiffId(digest);
            let blob = self.made_of_other(&layer)?.filter(|blob| whole.contains(blob));
            if blob.is_none() || used.contains(&Node::Layer(layer)) {
                continue;
            }
            let record = self.read_layer_record(&layer)?;
            let size = record.map_or(0, |record| record.summary.content_size_bytes);
            trash.throw_layer(&layer)?;
            swept.layers.push((layer, size));
        }
        let gone: HashSet<DiffId> = swept.layers.iter().map(|(layer, _)| *layer).collect();
        for path in self.chains_with(|layer| gone.contains(layer))? {
            trash.throw_directory(&path)?;
        }
        drop(sweeping);
        swept.freed_bytes = trash.free()?;
        Ok(swept)
    }

    /// The blob that a layer was made of, if that is not the layer's tar itself and is here.
    fn made_of_other(&self, layer: &DiffId) -> Result<Option<Digest>> {
        let record = self.read_layer_record(layer)?;
        let Some(blob) = record.map(|record| record.blob).filter(|blob| *blob != layer.0) else {
            return Ok(None);
        };
        Ok(self.blob_size(&blob)?.map(|_| blob))
    }

    fn is_intact(&self, blob: &Digest) -> Result<bool> {
        let mut reader = match self.open_blob(blob) {
            Err(Error::BlobNotFound(_)) => return Ok(false),
            opened => opened?,
        };
        Ok(std::io::copy(&mut reader, &mut std::io::sink()).is_ok())
    }

    /// What containers, mounts, build records and live leases reach; `None` when a record cannot be
    /// read, so that nobody knows.
    fn used(&self, sweeping: &Sweeping) -> Result<Option<HashSet<Node>>> {
        let mut roots = match self.container_roots() {
            Err(Error::Record { .. } | Error::Limit { .. }) => return Ok(None),
            roots => roots?,
        };
        roots.extend(lease::pinned(self, sweeping)?.into_iter().map(Pin::node));
        roots.extend(self.cache_roots()?);
        roots.extend(self.held_layers(|_| true)?);
        match mark::reached(roots, |node| self.points_at(node)) {
            Err(Error::Damaged(_)) => Ok(None),
            reached => reached.map(Some),
        }
    }
}
