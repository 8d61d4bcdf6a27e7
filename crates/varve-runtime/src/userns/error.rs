//! Why a user namespace could not be entered.

use std::{
    io,
    path::{Path, PathBuf},
};

use varve_types::{Kind, Printable};

/// Why a user namespace could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum UserNamespaceError {
    /// The kernel makes none for this user.
    #[error("cannot create a user namespace")]
    Refused(#[source] io::Error),
    /// `newuidmap` or `newgidmap` did not do it; what they said.
    #[error("cannot map IDs: {}", Printable(.0))]
    NotMapped(String),
    /// The run directory is somebody else's, or others may write in it.
    #[error("run directory {} is not this user's alone", .0.display())]
    NotOurs(PathBuf),
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// A bare verb.
        action: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl UserNamespaceError {
    pub(super) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn refused(source: io::Error) -> Self {
        Self::Refused(source)
    }

    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refused(_) | Self::NotMapped(_) | Self::NotOurs(_) => Kind::Denied,
            Self::Io { .. } => Kind::Internal,
        }
    }

    /// What may help.
    pub fn hint(&self) -> Option<String> {
        const SYSCTLS: &str = "user namespaces are switched off for users on this machine: see the \
            kernel's settings user.max_user_namespaces, kernel.unprivileged_userns_clone and \
            kernel.apparmor_restrict_unprivileged_userns, or run varve as root";
        match self {
            Self::Refused(_) => Some(SYSCTLS.to_owned()),
            // AppArmor lets a namespace be made in which nothing is allowed.
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(SYSCTLS.to_owned())
            }
            Self::NotMapped(_) => Some(
                "newuidmap and newgidmap need to be set-user-ID root, and the lines of this user in \
                 /etc/subuid and /etc/subgid must not overlap; without such lines varve uses one ID"
                    .to_owned(),
            ),
            Self::NotOurs(_) => Some("set XDG_RUNTIME_DIR or VARVE_RUN to another place".to_owned()),
            Self::Io { .. } => None,
        }
    }
}
