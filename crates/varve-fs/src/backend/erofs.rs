//! Layers mounted from their index and tar.

use std::path::{Path, PathBuf};

use super::{Backend, BackendError, BackendKind, LayerFiles, loop_device::LoopDevice};
use crate::{
    extract::{Extracted, Source},
    mount::{self, InUse, Marks, Mount, MountError},
};

/// Index and tar are mounted as the plain files that they are.
#[derive(Debug, Clone, Copy)]
pub struct Erofs;

impl Backend for Erofs {
    fn kind(&self) -> BackendKind {
        BackendKind::Erofs
    }

    fn marks(&self) -> Marks {
        Marks::Trusted
    }

    fn prepare(&self, _: &LayerFiles, _: Source, _: usize) -> Result<Extracted, BackendError> {
        Ok(Extracted::default())
    }

    fn attach(&self, layer: &LayerFiles, place: &Path) -> Result<PathBuf, BackendError> {
        let (index, tar) = (layer.index.to_owned(), layer.tar.map(Path::to_owned));
        Mount::Erofs(mount::Erofs { index, tar }).mount(place)?;
        Ok(place.to_owned())
    }

    fn detach(&self, place: &Path, in_use: InUse) -> Result<(), BackendError> {
        Ok(unmount(place, in_use)?)
    }

    fn remove(&self, _: &LayerFiles, _: &Path) -> Result<(), BackendError> {
        Ok(())
    }
}

/// Index and tar are mounted as block devices.
#[derive(Debug, Clone, Copy)]
pub struct ErofsLoop;

impl Backend for ErofsLoop {
    fn kind(&self) -> BackendKind {
        BackendKind::ErofsLoop
    }

    fn marks(&self) -> Marks {
        Marks::Trusted
    }

    fn prepare(&self, _: &LayerFiles, _: Source, _: usize) -> Result<Extracted, BackendError> {
        Ok(Extracted::default())
    }

    fn attach(&self, layer: &LayerFiles, place: &Path) -> Result<PathBuf, BackendError> {
        let index = LoopDevice::of(layer.index)?;
        let tar = layer.tar.map(LoopDevice::of).transpose()?;
        let (index_path, tar_path) = (index.path(), tar.as_ref().map(LoopDevice::path));
        Mount::Erofs(mount::Erofs { index: index_path, tar: tar_path }).mount(place)?;
        // From here on the mount alone keeps the devices.
        Ok(place.to_owned())
    }

    fn detach(&self, place: &Path, in_use: InUse) -> Result<(), BackendError> {
        Ok(unmount(place, in_use)?)
    }

    fn remove(&self, _: &LayerFiles, _: &Path) -> Result<(), BackendError> {
        Ok(())
    }
}

/// Unmounts what is at a place, if anything is.
fn unmount(place: &Path, in_use: InUse) -> Result<(), MountError> {
    match mount::unmount(place, in_use) {
        Err(error) if error.is_not_mounted() => Ok(()),
        done => done,
    }
}
