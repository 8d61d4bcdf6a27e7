//! The engine: a store and the way to the registries.

use std::path::Path;

use varve_distribution::{credentials::Credentials, hosts::HostsConfig};
use varve_store::Store;

use crate::Result;

/// Does what the commands ask, on one store.
#[derive(Debug)]
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) hosts: HostsConfig,
    pub(crate) credentials: Credentials,
}

impl Engine {
    /// Opens the store in `root`, making it where there is none.
    pub fn open(root: &Path, hosts: HostsConfig, credentials: Credentials) -> Result<Self> {
        Ok(Self { store: Store::open(root)?, hosts, credentials })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How registries are reached.
    pub fn hosts(&self) -> &HostsConfig {
        &self.hosts
    }

    /// What is presented to registries.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }
}
