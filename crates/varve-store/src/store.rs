//! The store itself: opening it, and what does not belong to one of the other modules.

use std::path::{Path, PathBuf};

use crate::{Lease, Result};

/// An open store. Cheap to clone, usable from many threads.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store in `root`, making it when the directory is absent or empty. A directory
    /// that is an OCI layout made by another tool is adopted; anything else is refused.
    pub fn open(_root: &Path) -> Result<Self> {
        todo!()
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Takes a lease: what is stored under it survives every sweep until it is dropped.
    pub fn lease(&self) -> Result<Lease> {
        todo!()
    }
}
