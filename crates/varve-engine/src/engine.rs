//! The engine: a store and the way to the registries.

use std::path::{Path, PathBuf};

use varve_runtime::{network::HelperCommand, oci::Embedded};
use varve_store::Store;

use crate::{Registries, Result, StoreOptions};

/// Does what the commands ask, on one store.
#[derive(Debug)]
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) registries: Registries,
    pub(crate) network_helper: HelperCommand,
    /// The program that plays the runtime's role; `None`: this one.
    runtime_program: Option<PathBuf>,
}

impl Engine {
    /// Opens the store in `root`, making it where there is none.
    pub fn open(root: &Path, registries: Registries) -> Result<Self> {
        Self::open_with(root, StoreOptions::default(), registries)
    }

    /// Opens the store in `root` with choices of the user's.
    pub fn open_with(root: &Path, options: StoreOptions, registries: Registries) -> Result<Self> {
        let network_helper = HelperCommand::of_this_program();
        let store = Store::open_with(root, options)?;
        Ok(Self { store, registries, network_helper, runtime_program: None })
    }

    /// How the helpers of containers' networks are started, for a program whose `main` does not
    /// ask [`varve_runtime::network::helper_is_asked`].
    #[must_use]
    pub fn with_network_helper(self, network_helper: HelperCommand) -> Self {
        Self { network_helper, ..self }
    }

    /// Which program plays the runtime's role, for a program whose `main` does not ask
    /// [`varve_runtime::role::is_asked`].
    #[must_use]
    pub fn with_runtime_program(self, program: impl Into<PathBuf>) -> Self {
        Self { runtime_program: Some(program.into()), ..self }
    }

    /// The runtime that is built in.
    pub(crate) fn embedded_runtime(&self) -> Result<Embedded> {
        let runtime = Embedded::new(self.store.run_directory("runtime")?);
        Ok(match &self.runtime_program {
            Some(program) => runtime.with_program(program),
            None => runtime,
        })
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
