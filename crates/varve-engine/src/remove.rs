//! `image rm`: taking names away, and images that have none left.

use std::collections::HashSet;

use varve_store::{Names, Row};
use varve_types::{
    ChainId, DiffId, ImageId, Kind, Platform, Reference, container::Container, media_type,
};

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
        self.tidy_users()?;
        let (removed, _) = self.store.remove_names(|names| {
            let mut removal = Removal::new(self, names)?;
            removal.remove(request)?;
            Ok::<_, Error>(removal.removed)
        })?;
        Ok(removed)
    }

    /// Lets containers go that were to go with their end, so that they use no image, and takes away
    /// what programs of builds that were killed left. To be called
    /// before the store is held for a removal: who makes a container has the lock on containers
    /// when it waits for the store.
    pub(crate) fn tidy_users(&self) -> Result<()> {
        self.containers_with_states().map(drop)
    }
}

/// A removal on the way, under the store's lock.
pub(crate) struct Removal<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) names: &'a mut Names,
    pub(crate) removed: Vec<Removed>,
    /// The containers, the newest first.
    users: Vec<User>,
    /// Layers that the build cache keeps.
    cached: HashSet<DiffId>,
}

/// A container that an image must not be taken from.
struct User {
    container: Container,
    is_running: bool,
}

impl<'a> Removal<'a> {
    pub(crate) fn new(engine: &'a Engine, names: &'a mut Names) -> Result<Self> {
        let containers = engine.recorded_containers()?.into_iter();
        let users = containers
            .map(|(container, state)| User { container, is_running: state.status.is_running() });
        let cached = engine.store.cached_layers()?;
        Ok(Self { engine, names, removed: Vec::new(), users: users.collect(), cached })
    }

    pub(crate) fn remove(&mut self, request: &Remove<'_>) -> Result<()> {
        let found = find::find(self.names, request.image)?;
        let image = found.image();
        match found.reference.filter(|_| !find::is_id_of(image, request.image)) {
            Some(reference) => {
                if !request.force {
                    self.check_last_name(image, request.image)?;
                }
                self.untag(&found.row, &reference);
                if self.names.of_image(image).any(|row| row.reference.is_some()) {
                    return Ok(());
                }
                let is_needed = self.has_children(image) || self.user(image, true).is_some();
                if is_needed || !request.force && self.user(image, false).is_some() {
                    self.keep_nameless(&found.row);
                    return Ok(());
                }
            }
            None => self.check_id_removal(image, request.force)?,
        }
        self.remove_image(&found.row, request.keep_parents)
    }

    /// Removes an image by its names, one after the other, or by its ID when it has none. What
    /// containers use stays, with the name that would have been the last.
    pub(crate) fn prune(&mut self, image: ImageId) -> Result<()> {
        let names = sorted_names(self.names.of_image(image));
        let by_name = names.iter().map(ToString::to_string);
        let wanted = if names.is_empty() { vec![image.0.hex()] } else { by_name.collect() };
        for image in wanted {
            let request =
                Remove { image: &image, force: false, keep_parents: false, platforms: &[] };
            match self.remove(&request) {
                Err(error) if matches!(error.kind(), Kind::Conflict | Kind::NotFound) => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    /// Without its last name an image that a container uses would be nameless, which is not what
    /// whoever says a name wants.
    fn check_last_name(&self, image: ImageId, asked: &str) -> Result<()> {
        let names = sorted_names(self.names.of_image(image));
        let user = self.users.iter().find(|user| user.container.image_id == image);
        match user.filter(|_| is_single(&names)) {
            Some(user) => Err(Error::NameInUse {
                name: asked.to_owned(),
                container: user.container.id.short(),
                image: image.0.short(),
            }),
            None => Ok(()),
        }
    }

    /// The container that uses an image and runs, or does not.
    fn user(&self, image: ImageId, is_running: bool) -> Option<&Container> {
        let uses = |user: &&User| user.container.image_id == image && user.is_running == is_running;
        self.users.iter().find(uses).map(|user| &user.container)
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

    /// An image asked for by ID may go when no container runs of it. When it has several tags, or
    /// containers that do not run, it goes by force.
    fn check_id_removal(&self, image: ImageId, force: bool) -> Result<()> {
        let conflict =
            |hard, reason: String| Error::Conflict { short_id: image.0.short(), hard, reason };
        let used = |how: &str, by: &Container| {
            format!("image is being used by {how} container {}", by.id.short())
        };
        if self.has_children(image) {
            return Err(conflict(true, "image has dependent child images".to_owned()));
        }
        if let Some(user) = self.user(image, true) {
            return Err(conflict(true, used("running", user)));
        }
        if force {
            return Ok(());
        }
        if !is_single(&sorted_names(self.names.of_image(image))) {
            let reason = "image is referenced in multiple repositories".to_owned();
            return Err(conflict(false, reason));
        }
        match self.user(image, false) {
            Some(user) => Err(conflict(false, used("stopped", user))),
            None => Ok(()),
        }
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
            Some(row)
                if row.reference.is_none()
                    && !self.has_children(parent)
                    && !self.users.iter().any(|user| user.container.image_id == parent) =>
            {
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
        for user in &self.users {
            kept.extend(ChainId::chain(&user.container.layers));
        }
        for (layer, chain_id) in config.diff_ids().iter().zip(chain).rev() {
            if kept.contains(&chain_id) {
                break;
            }
            if self.cached.contains(layer) {
                continue;
            }
            // Nothing is indexed only to be removed.
            let record = store.layer(layer)?;
            let size_bytes = record.map_or(0, |record| record.summary.content_size_bytes);
            self.removed.push(Removed::Layer(chain_id, size_bytes));
        }
        Ok(())
    }
}

/// Whether an image has at most one tag, and no digest of another repository.
fn is_single(names: &[Reference]) -> bool {
    names.iter().filter(|name| name.tag().is_some()).count() <= 1
        && names.windows(2).all(|pair| pair[0].repository() == pair[1].repository())
}

/// The names among rows, in Docker's order: by text.
pub(crate) fn sorted_names<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Reference> {
    let mut names: Vec<Reference> = rows.filter_map(|row| row.reference.clone()).collect();
    names.sort_by_cached_key(ToString::to_string);
    names
}
