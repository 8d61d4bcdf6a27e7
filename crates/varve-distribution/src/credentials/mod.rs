//! Names and passwords for registries: where docker and containers' tools keep them.

use std::fmt;

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

/// Where names and passwords are looked up.
#[derive(Debug, Default, Clone)]
pub struct Credentials {}

impl Credentials {
    /// Knows nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// The credential for a repository of a registry, if there is one.
    pub fn find(&self, _registry: &str, _path: &str) -> Option<Credential> {
        None
    }
}
