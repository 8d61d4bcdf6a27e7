//! `image mount` and `image unmount`: an image's files as a directory.

use std::path::PathBuf;

use varve_fs::mount::InUse;
use varve_store::{Holder, Names, Snapshot};
use varve_types::{ImageId, Kind, Platform, Reference};

use crate::{Engine, Error, Result};

/// An image that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageMount {
    /// Which, by its ID.
    pub id: ImageId,
    /// Its names, sorted. None of one platform of several that is not the host's.
    pub names: Vec<Reference>,
    /// Where.
    pub path: PathBuf,
    /// Whether it is seen in this mount namespace only, and ends with it.
    pub is_private: bool,
}

impl Engine {
    /// Mounts an image, to be read only. One that is mounted already stays where it is.
    pub fn mount_image(&self, image: &str, platform: Option<&Platform>) -> Result<ImageMount> {
        need_root()?;
        let mut hold = self.store.hold()?;
        let (names, found) = self.find(image)?;
        let image = found.shown;
        let damaged = |source| Error::Damaged { image: image.clone(), source };
        if !hold.image(&found.row.target.digest).map_err(damaged)? {
            return Err(Error::NoSuchImage(image));
        }
        let opened = self.open_row(&found.row, platform, &image)?;
        let id = ImageId(opened.manifest.config.digest);
        let holder = Holder::Image(id);
        let request = Snapshot { holder: &holder, layers: opened.config.diff_ids(), upper: None };
        let mounted = self.store.mount(&request).map_err(|source| match source.kind() {
            Kind::Corrupt | Kind::NotFound => Error::Damaged { image: image.clone(), source },
            _ => Error::Store(source),
        })?;
        let (path, is_private) = (mounted.path, mounted.is_private);
        Ok(ImageMount { id, names: names_of(&names, id), path, is_private })
    }

    /// The images that are mounted here.
    pub fn mounted_images(&self) -> Result<Vec<ImageMount>> {
        let names = self.store.names()?;
        let mounted = self.store.mounted_images()?.into_iter();
        let mounted = mounted.map(|(id, mounted)| ImageMount {
            id,
            names: names_of(&names, id),
            path: mounted.path,
            is_private: mounted.is_private,
        });
        Ok(mounted.collect())
    }

    /// Unmounts an image that was mounted; by force also while it is in use.
    pub fn unmount_image(
        &self,
        image: &str,
        platform: Option<&Platform>,
        force: bool,
    ) -> Result<ImageId> {
        need_root()?;
        let (_, found) = self.find(image)?;
        let id = if platform.is_some() {
            let opened = self.open_row(&found.row, platform, &found.shown)?;
            ImageId(opened.manifest.config.digest)
        } else {
            found.image()
        };
        if !self.store.mounted_images()?.iter().any(|(mounted, _)| *mounted == id) {
            return Err(Error::NotMounted(found.shown));
        }
        self.release_image(id, force)
    }

    /// Unmounts all images. Returns those that were mounted.
    pub fn unmount_images(&self, force: bool) -> Result<Vec<ImageId>> {
        need_root()?;
        let mounted = self.store.mounted_images()?.into_iter();
        mounted.map(|(id, _)| self.release_image(id, force)).collect()
    }

    fn release_image(&self, id: ImageId, force: bool) -> Result<ImageId> {
        let in_use = if force { InUse::Detached } else { InUse::Refused };
        self.store.release(&Holder::Image(id), in_use)?;
        Ok(id)
    }
}

fn need_root() -> Result<()> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(Error::NeedsRoot) }
}

fn names_of(names: &Names, id: ImageId) -> Vec<Reference> {
    let mut names: Vec<Reference> =
        names.of_image(id).filter_map(|row| row.reference.clone()).collect();
    names.sort_by_key(Reference::familiar);
    names
}
