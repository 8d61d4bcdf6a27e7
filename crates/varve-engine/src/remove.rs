//! `image rm`: taking names away, and images that have none left.

use std::collections::HashSet;

use varve_store::{Names, Row};
use varve_types::{ChainId, ImageId, Platform, Reference, media_type};

use crate::{Engine, Error, Result, find};

/// What to remove.
#[derive(Debug, Clone)]
pub struct Remove<'a> {
    /// A name, ID or prefix of an ID.
    pub image: &'a str,
    /// Also when it has several names.
    pub force: bool,
    /// Keep the nameless images that it was made from.
    pub keep_parents: bool,
    /// Only when the image is for these platforms. One platform of a whole index cannot go alone.
    pub platforms: &'a [Platform],
}

/// One thing that was removed, in the order in which Docker reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name.
    Untagged(Reference),
    /// An image.
    Image(ImageId),
    /// A layer that no image uses any more, by its chain ID, with Docker's size in bytes.
    Layer(ChainId, u64),
}

impl Engine {
    /// Removes a name, and the image when it was the last one.
    pub fn remove(&self, request: &Remove<'_>) -> Result<Vec<Removed>> {
        if !request.platforms.is_empty() {
            let (_, found) = self.find(request.image)?;
            for platform in request.platforms {
                self.open_row(&found.row, Some(platform), &found.shown)?;
            }
            if media_type::is_index(&found.row.target.media_type) {
                return Err(Error::OnePlatformOfMany(found.shown));
            }
        }
        let (removed, _) = self.store.remove_names(|names| {
            let mut removal = Removal { engine: self, names, removed: Vec::new() };
            removal.remove(request)?;
            Ok::<_, Error>(removal.removed)
        })?;
        Ok(removed)
    }
}

/// A removal on the way, under the store's lock.
pub(crate) struct Removal<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) names: &'a mut Names,
    pub(crate) removed: Vec<Removed>,
}

impl Removal<'_> {
    pub(crate) fn remove(&mut self, request: &Remove<'_>) -> Result<()> {
        let found = find::find(self.names, request.image)?;
        let image = found.image();
        match found.reference.filter(|_| !find::is_id_of(image, request.image)) {
            Some(reference) => {
                self.untag(&found.row, &reference);
                if self.names.of_image(image).any(|row| row.reference.is_some()) {
                    return Ok(());
                }
                if self.has_children(image) {
                    self.keep_nameless(&found.row);
                    return Ok(());
                }
            }
            None => self.check_id_removal(image, request.force)?,
        }
        self.remove_image(&found.row, request.keep_parents)
    }

    /// Takes one name away. When it was the repository's last tag of this image, the digests
    /// of that repository go with it.
    fn untag(&mut self, row: &Row, asked: &Reference) {
        let Some(name) = &row.reference else { return };
        self.take(name);
        if name.digest().is_some() && asked.digest().is_some() {
            return;
        }
        let same = |row: &&Row| {
            row.reference.as_ref().is_some_and(|r| r.repository() == name.repository())
        };
        let left: Vec<Reference> = sorted_names(self.names.of_image(row.image).filter(same));
        if left.iter().all(|reference| reference.tag().is_none()) {
            for digest in left {
                self.take(&digest);
            }
        }
    }

    fn take(&mut self, reference: &Reference) {
        self.names.take(reference);
        self.removed.push(Removed::Untagged(reference.clone()));
    }

    /// An image asked for by ID may go when it has at most one tag, or by force.
    fn check_id_removal(&self, image: ImageId, force: bool) -> Result<()> {
        let conflict = |hard, reason: &str| Error::Conflict {
            short_id: image.0.short(),
            hard,
            reason: reason.to_owned(),
        };
        if self.has_children(image) {
            return Err(conflict(true, "image has dependent child images"));
        }
        let names = sorted_names(self.names.of_image(image));
        let single = names.iter().filter(|name| name.tag().is_some()).count() <= 1
            && names.windows(2).all(|pair| pair[0].repository() == pair[1].repository());
        if !single && !force {
            return Err(conflict(false, "image is referenced in multiple repositories"));
        }
        Ok(())
    }

    fn has_children(&self, image: ImageId) -> bool {
        self.names.rows.iter().any(|row| row.parent == Some(image))
    }

    /// Keeps an image whose last name went because others are made from it.
    fn keep_nameless(&mut self, row: &Row) {
        self.names.put(Row { reference: None, ..row.clone() });
    }

    /// Removes an image with all its names, and then the nameless images it was made from.
    fn remove_image(&mut self, row: &Row, keep_parents: bool) -> Result<()> {
        let image = row.image;
        for name in sorted_names(self.names.of_image(image)) {
            self.take(&name);
        }
        self.names.rows.retain(|row| row.image != image);
        self.removed.push(Removed::Image(image));
        self.release_layers(image)?;
        let Some(parent) = row.parent.filter(|_| !keep_parents) else { return Ok(()) };
        let row = self.names.of_image(parent).next().cloned();
        match row {
            Some(row) if row.reference.is_none() && !self.has_children(parent) => {
                self.remove_image(&row, keep_parents)
            }
            _ => Ok(()),
        }
    }

    /// Reports the layers that the removed image was the last to use, top layer first.
    fn release_layers(&mut self, image: ImageId) -> Result<()> {
        let store = &self.engine.store;
        // A config that is gone must not keep a broken image from being removed.
        let Ok(config) = store.config(&image) else { return Ok(()) };
        let chain = ChainId::chain(config.diff_ids());
        let mut kept: HashSet<ChainId> = HashSet::new();
        let mut seen: HashSet<ImageId> = HashSet::new();
        for row in &self.names.rows {
            if seen.insert(row.image)
                && let Ok(other) = store.config(&row.image)
            {
                kept.extend(ChainId::chain(other.diff_ids()));
            }
        }
        for (layer, chain_id) in config.diff_ids().iter().zip(chain).rev() {
            if kept.contains(&chain_id) {
                break;
            }
            // Nothing is indexed only to be removed.
            let record = store.layer(layer)?;
            let size_bytes = record.map_or(0, |record| record.summary.content_size_bytes);
            self.removed.push(Removed::Layer(chain_id, size_bytes));
        }
        Ok(())
    }
}

/// The names among rows, in Docker's order: by text.
fn sorted_names<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Reference> {
    let mut names: Vec<Reference> = rows.filter_map(|row| row.reference.clone()).collect();
    names.sort_by_cached_key(ToString::to_string);
    names
}
