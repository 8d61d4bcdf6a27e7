//! The way to the registries: how they are reached, who we are there; `login`, `logout` and
//! `search`, which need no store.

use std::path::{Path, PathBuf};

use varve_distribution::{
    client::{Client, Policy},
    credentials::{self, Kept},
    hosts::HostsConfig,
};
use varve_types::{Ctx, Environment};

pub use varve_distribution::{
    client::{Found, Search},
    credentials::{Credential, Credentials},
};

use crate::Result;

/// How registries are reached, and what is presented to them.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    hosts: HostsConfig,
    credentials: Credentials,
    policy: Policy,
}

/// What a login changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// The file that holds the password unencrypted now and did not before.
    pub stored_unencrypted: Option<PathBuf>,
}

impl Registries {
    /// Reads varve's configuration of registries and the user's credentials. A credentials file
    /// that cannot be read is left aside; the second value says so, in Docker's words.
    /// `config_folder` is the value of `--config`.
    pub fn load(
        environment: &Environment,
        config_folder: Option<&Path>,
    ) -> Result<(Self, Option<String>)> {
        let hosts = HostsConfig::load(environment)?;
        let (credentials, warning) = Credentials::load(environment, config_folder);
        let registries = Self { hosts, credentials, policy: Policy::default() };
        Ok((registries, warning.map(|warning| warning.to_string())))
    }

    /// The same with other patience: how often to try, and how long to wait.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How registries are reached.
    pub fn hosts(&self) -> &HostsConfig {
        &self.hosts
    }

    /// A client for one command.
    pub(crate) fn client(&self, ctx: &Ctx<'_>) -> Client {
        Client::new(ctx, self.hosts.clone(), self.credentials.clone())
            .with_policy(self.policy.clone())
    }

    /// What a server is called in messages and kept under: the argument without a scheme, or
    /// Docker Hub's address for an empty one.
    pub fn server_name(server: &str) -> String {
        credentials::key_of(credentials::domain_of(server))
    }

    /// The credential that is kept for a server.
    pub fn kept_credential(&self, server: &str) -> Result<Option<Credential>> {
        Ok(self.credentials.find(credentials::domain_of(server), "")?)
    }

    /// Verifies a credential with the registry, and keeps it.
    pub fn login(
        &mut self,
        ctx: &Ctx<'_>,
        server: &str,
        credential: &Credential,
    ) -> Result<LoggedIn> {
        let registry = credentials::domain_of(server);
        let kept = self.client(ctx).login(registry, credential)?;
        let stored_unencrypted = match self.credentials.store(registry, &kept)? {
            Kept::File(path) => Some(path),
            Kept::Unchanged | Kept::Helper(_) => None,
        };
        Ok(LoggedIn { stored_unencrypted })
    }

    /// Forgets the credential of a server. That there was none is no error.
    pub fn logout(&mut self, server: &str) -> Result<()> {
        Ok(self.credentials.erase(credentials::domain_of(server))?)
    }

    /// Searches a registry's index.
    pub fn search(&self, ctx: &Ctx<'_>, search: &Search) -> Result<Vec<Found>> {
        Ok(self.client(ctx).search(search)?)
    }
}
