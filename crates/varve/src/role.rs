//! Hidden roles: what this binary does when it has started itself.
//!
//! Work in a user namespace and the watch over a container need a process of their own that is
//! still single-threaded; the binary is executed again with a role for it. The role is found
//! out before anything else happens (`main`), so that no thread can exist by then.

use std::process::ExitCode;

use varve_engine::role;

/// A hidden role.
pub(crate) enum Role {
    /// Making the processes of containers.
    Oci,
}

impl Role {
    /// The role this process was started for, if it was started by ourselves.
    pub(crate) fn of_this_process() -> Option<Self> {
        let own_name = std::env::args_os().next()?;
        role::is_asked(&own_name).then_some(Self::Oci)
    }

    /// Plays the role until it ends.
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Oci => role::play(),
        }
    }
}
