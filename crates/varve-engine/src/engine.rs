//! The engine: a store and the way to the registries.

use std::path::Path;

use varve_store::Store;

use crate::Result;

/// Does what the commands ask, on one store.
#[derive(Debug)]
pub struct Engine {
    pub(crate) store: Store,
}

impl Engine {
    /// Opens the store in `root`, making it where there is none.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self { store: Store::open(root)? })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }
}
