//! `image prune` and the images' part of `system prune`.

use std::collections::HashSet;

use varve_types::{Ctx, ImageId};

use crate::{
    Engine, Error, Filters, Result, list,
    remove::{Removal, Removed},
};

/// What to prune.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// Also images that have names.
    pub all: bool,
    /// What must hold for those that go.
    pub filters: Filters,
}

/// What was pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// In the order in which Docker reports it.
    pub removed: Vec<Removed>,
    /// Docker's size of the layers that went, in bytes.
    pub reclaimed_bytes: u64,
}

impl Engine {
    /// Drops what interrupted transfers left for a next try, unless a process works on it.
    /// Returns the bytes of disk freed.
    pub fn prune_transfers(&self) -> Result<u64> {
        Ok(self.store.sweep_ingests()?)
    }

    /// Drops the unpacked form of layers that nothing uses and that can be made again from their
    /// blobs. Returns the bytes of disk freed, extracted trees not counted.
    pub fn prune_unpacked(&self) -> Result<u64> {
        self.tidy_users()?;
        Ok(self.store.drop_unpacked()?.freed_bytes)
    }

    /// Removes images without names, or with `all` every image that no container uses.
    pub fn prune(&self, ctx: &Ctx<'_>, request: &Prune) -> Result<Pruned> {
        let mut filters = request.filters.clone();
        filters.add("dangling", if request.all { "false" } else { "true" });
        filters.only(&["dangling", "label", "label!", "until"])?;
        let dangling_only = filters.flag("dangling")?.unwrap_or(true);
        let until = filters.until(ctx.now())?;
        self.tidy_users()?;
        self.store.tidy_containers()?;
        let (removed, _) = self.store.remove_names(|names| {
            let parents: HashSet<ImageId> = names.rows.iter().filter_map(|r| r.parent).collect();
            let mut images = list::summaries(names);
            images.sort_by_key(|image| std::cmp::Reverse(image.created));
            let mut removal = Removal::new(self, names)?;
            for image in images {
                let young = until.is_some_and(|until| image.created.is_some_and(|c| c > until));
                let named = dangling_only && !image.tags.is_empty();
                if young || named || parents.contains(&image.id) {
                    continue;
                }
                if !self.labels_pass(&filters, image.id)? {
                    continue;
                }
                removal.prune(image.id)?;
            }
            Ok::<_, Error>(removal.removed)
        })?;
        let reclaimed_bytes = removed
            .iter()
            .map(|removed| if let Removed::Layer(_, size) = removed { *size } else { 0 })
            .sum();
        Ok(Pruned { removed, reclaimed_bytes })
    }
}
