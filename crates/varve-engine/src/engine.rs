//! The engine: a store and the way to the registries.

use std::path::Path;

use varve_runtime::network::HelperCommand;
use varve_store::Store;

use crate::{Registries, Result, StoreOptions};

/// Does what the commands ask, on one store.
#[derive(Debug)]
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) registries: Registries,
    pub(crate) network_helper: HelperCommand,
}

impl Engine {
    /// Opens the store in `root`, making it where there is none.
    pub fn open(root: &Path, registries: Registries) -> Result<Self> {
        Self::open_with(root, StoreOptions::default(), registries)
    }

    /// Opens the store in `root` with choices of the user's.
    pub fn open_with(root: &Path, options: StoreOptions, registries: Registries) -> Result<Self> {
        let network_helper = HelperCommand::of_this_program();
        Ok(Self { store: Store::open_with(root, options)?, registries, network_helper })
    }

    /// How the helpers of containers' networks are started, for a program whose `main` does not
    /// ask [`varve_runtime::network::helper_is_asked`].
    #[must_use]
    pub fn with_network_helper(self, network_helper: HelperCommand) -> Self {
        Self { network_helper, ..self }
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
