//! Names and passwords for registries: where docker and containers' tools keep them.
//!
//! Looked up, in this order: containers' `auth.json`, when `REGISTRY_AUTH_FILE` names one; the
//! helper that docker's `config.json` names for the registry (`credHelpers`) or for all of
//! them (`credsStore`); the entries of `config.json` itself. A login writes to docker's place,
//! or to the file that `REGISTRY_AUTH_FILE` names.

mod error;
mod file;
mod helper;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use varve_types::{Environment, reference::DEFAULT_DOMAIN};

pub use error::CredentialsError;

use file::AuthFile;
use helper::Helper;

/// What docker keeps the credentials of docker.io under.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// How we tell a registry who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A name and its password.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// A token that buys access tokens; it came from an earlier login.
    IdentityToken {
        /// The name it was given to; may be empty.
        username: String,
        /// The token.
        token: String,
    },
}

impl fmt::Debug for Credential {
    /// Never shows a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

impl Credential {
    /// The name.
    pub fn username(&self) -> &str {
        match self {
            Self::Password { username, .. } | Self::IdentityToken { username, .. } => username,
        }
    }
}

/// A configuration file that was left aside because it cannot be read. Its text is docker's,
/// behind `WARNING: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWarning {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error parsing config file ({}): {}", self.path.display(), self.reason)
    }
}

/// Where a credential was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It was there already.
    Unchanged,
    /// In this file, unencrypted: people are to be warned.
    File(PathBuf),
    /// By the helper of this name.
    Helper(String),
}

/// Where names and passwords are looked up.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    environment: Environment,
    /// Docker's `config.json`.
    docker: Option<AuthFile>,
    /// Containers' `auth.json`.
    containers: Option<AuthFile>,
}

impl Credentials {
    /// Knows nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the files that hold credentials or say who does. `config_folder` is the value of
    /// `--config`; without it `DOCKER_CONFIG` counts, else `~/.docker`.
    pub fn load(
        environment: &Environment,
        config_folder: Option<&Path>,
    ) -> (Self, Option<ConfigWarning>) {
        let home = || environment.get("HOME").map(|home| Path::new(home).join(".docker"));
        let folder = config_folder
            .map(Path::to_owned)
            .or_else(|| environment.get("DOCKER_CONFIG").map(PathBuf::from))
            .or_else(home);
        let docker = folder.map(|folder| AuthFile::read(&folder.join("config.json")));
        let containers =
            environment.get("REGISTRY_AUTH_FILE").map(|path| AuthFile::read(Path::new(path)));
        let warning = [&docker, &containers].into_iter().flatten().find_map(|file| {
            let reason = file.broken()?.to_owned();
            Some(ConfigWarning { path: file.path.clone(), reason })
        });
        (Self { environment: environment.clone(), docker, containers }, warning)
    }

    /// The credential for a repository of a registry (`docker.io`, `127.0.0.1:5000`), if there
    /// is one. `path` may be empty.
    pub fn find(&self, registry: &str, path: &str) -> Result<Option<Credential>, CredentialsError> {
        let key = key_of(registry);
        if let Some(file) = &self.containers {
            if let Some(found) = file.find_nearest(registry, path) {
                return Ok(Some(found));
            }
            if let Some(helper) = self.helper_in(file, &key, registry)? {
                return helper.1.get(&key);
            }
        }
        let Some(file) = &self.docker else { return Ok(None) };
        match self.helper_in(file, &key, registry)? {
            Some(helper) => helper.1.get(&key),
            None => Ok(file.find(&key)),
        }
    }

    /// Keeps the credential of a registry.
    pub fn store(
        &mut self,
        registry: &str,
        credential: &Credential,
    ) -> Result<Kept, CredentialsError> {
        let key = key_of(registry);
        if let Some(file) = &mut self.containers {
            let changed = file.store(registry, Some(credential))?;
            return Ok(if changed { Kept::File(file.path.clone()) } else { Kept::Unchanged });
        }
        let file = self.docker.as_ref().ok_or(CredentialsError::Homeless)?;
        let helper = self.helper_in(file, &key, registry)?;
        let file = self.docker.as_mut().ok_or(CredentialsError::Homeless)?;
        if let Some((name, helper)) = helper {
            helper.store(&key, credential)?;
            file.store(&key, None)?;
            return Ok(Kept::Helper(name));
        }
        let changed = file.store(&key, Some(credential))?;
        Ok(if changed { Kept::File(file.path.clone()) } else { Kept::Unchanged })
    }

    /// Removes the credential of a registry. That there was none is no error.
    pub fn erase(&mut self, registry: &str) -> Result<(), CredentialsError> {
        let key = key_of(registry);
        if let Some(file) = &mut self.containers {
            file.erase(registry)?;
        }
        let Some(file) = &self.docker else { return Ok(()) };
        let helper = self.helper_in(file, &key, registry)?;
        if let Some(file) = &mut self.docker {
            file.erase(&key)?;
        }
        match helper {
            Some((_, helper)) => helper.erase(&key),
            None => Ok(()),
        }
    }

    /// The helper that a file names for a registry.
    fn helper_in(
        &self,
        file: &AuthFile,
        key: &str,
        registry: &str,
    ) -> Result<Option<(String, Helper)>, CredentialsError> {
        let name = file.helper(key).or_else(|| file.helper(registry));
        let Some(name) = name.or_else(|| file.text("credsStore")) else { return Ok(None) };
        Ok(Some((name.to_owned(), Helper::new(name, &self.environment)?)))
    }
}

/// What docker keeps the credentials of a registry under, and what `login` and `logout` call it.
pub fn key_of(registry: &str) -> String {
    if registry == DEFAULT_DOMAIN { DOCKER_HUB_KEY.to_owned() } else { registry.to_owned() }
}

/// The registry that a key, or the argument of `login` and `logout`, means: without scheme and
/// path, `docker.io` for all names of Docker Hub.
pub fn domain_of(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    match rest.split('/').next().unwrap_or_default() {
        "" | "index.docker.io" | "registry-1.docker.io" => DEFAULT_DOMAIN,
        domain => domain,
    }
}
