//! Who runs this: root, or a user without privileges, who is root in a user namespace only.

use std::{env, ffi::OsString, path::Path};

use varve_engine::rootless::{self, Membership};
use varve_types::Environment;

/// Says in what `varve unshare` starts that its root is this user of the machine.
pub(crate) const VARIABLE: &str = "VARVE_ROOTLESS_UID";

/// Who runs this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Root, of the machine or of a container.
    Root,
    /// Anybody else, by number.
    Plain {
        /// The number on the machine.
        uid: u32,
        /// Whether the process was started in the user's namespace.
        is_inside: bool,
    },
}

impl User {
    /// To be asked before a user namespace is entered.
    pub(crate) fn of_this_process(environment: &Environment) -> Self {
        let own = rustix::process::geteuid();
        if !own.is_root() {
            return Self::Plain { uid: own.as_raw(), is_inside: false };
        }
        let told = environment.get(VARIABLE).and_then(|text| text.parse().ok());
        match told.filter(|uid| *uid != 0 && rootless::is_inside()) {
            Some(uid) => Self::Plain { uid, is_inside: true },
            None => Self::Root,
        }
    }

    /// Enters the namespace in which this user is root, unless there is no need to. No thread may
    /// exist yet. What comes back is to be kept as long as the process is there.
    pub(crate) fn enter(self, run: &Path) -> Result<Option<Membership>, varve_engine::Error> {
        match self {
            Self::Root | Self::Plain { is_inside: true, .. } => Ok(None),
            Self::Plain { is_inside: false, .. } => {
                let programs: OsString = env::var_os("PATH").unwrap_or_default();
                Ok(Some(rootless::enter(run, &programs)?))
            }
        }
    }
}
