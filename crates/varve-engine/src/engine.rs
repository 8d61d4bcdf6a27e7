//! The engine: a store and the way to the registries.

use std::path::Path;

use varve_store::Store;

use crate::{Registries, Result, StoreOptions};

/// Does what the commands ask, on one store.
#[derive(Debug)]
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) registries: Registries,
}

impl Engine {
    /// Opens the store in `root`, making it where there is none.
    pub fn open(root: &Path, registries: Registries) -> Result<Self> {
        Ok(Self { store: Store::open(root)?, registries })
    }

    /// Opens the store in `root` with choices of the user's.
    pub fn open_with(root: &Path, options: StoreOptions, registries: Registries) -> Result<Self> {
        Ok(Self { store: Store::open_with(root, options)?, registries })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How registries are reached.
    pub fn registries(&self) -> &Registries {
        &self.registries
    }
}
