//! Layers as files: extracted once, in place from then on.

use std::{
    fs::File,
    io,
    os::fd::AsFd,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{Backend, BackendError, BackendKind, LayerFiles};
use crate::{
    durable,
    extract::{self, Extracted, Extraction, Source},
    mount::{InUse, Marks},
};

/// Layers as files.
#[derive(Debug, Clone, Copy)]
pub struct Directory {
    /// How whiteouts and opaque directories are written: what overlays here understand.
    pub marks: Marks,
}

impl Backend for Directory {
    fn kind(&self) -> BackendKind {
        BackendKind::Directory
    }

    fn marks(&self) -> Marks {
        self.marks
    }

    fn prepare(
        &self,
        layer: &LayerFiles,
        source: Source,
        threads: usize,
    ) -> Result<Extracted, BackendError> {
        let failed = BackendError::at("create", layer.tree);
        let is_new = durable::create_directory(layer.tree, 0o700).map_err(failed)?;
        if !is_new {
            let exists = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(BackendError::at("create", layer.tree)(exists));
        }
        let target = File::open(layer.tree).map_err(BackendError::at("open", layer.tree))?;
        let request = Extraction { source, marks: self.marks, threads };
        Ok(extract::extract(&request, target.as_fd())?)
    }

    fn attach(&self, layer: &LayerFiles, _place: &Path) -> Result<PathBuf, BackendError> {
        match layer.tree.metadata() {
            Ok(found) if found.is_dir() => Ok(layer.tree.to_owned()),
            Ok(_) => {
                let wrong = io::Error::from(io::ErrorKind::NotADirectory);
                Err(BackendError::at("open", layer.tree)(wrong))
            }
            Err(error) => Err(BackendError::at("open", layer.tree)(error)),
        }
    }

    fn detach(&self, _place: &Path, _in_use: InUse) -> Result<(), BackendError> {
        Ok(())
    }

    fn remove(&self, layer: &LayerFiles, trash: &Path) -> Result<(), BackendError> {
        let parent = layer.tree.parent().unwrap_or(Path::new("/"));
        let name = layer.tree.file_name().unwrap_or_default().as_bytes();
        let parent = match File::open(parent) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(BackendError::at("open", parent))?,
        };
        let bin = File::open(trash).map_err(BackendError::at("open", trash))?;
        extract::remove(parent.as_fd(), name, bin.as_fd())
            .map_err(BackendError::at("remove", layer.tree))
    }
}
