//! Hidden roles: what this binary does when it has started itself.
//!
//! Work in a container's namespaces and the watch over it need a process of their own that is still
//! single-threaded; the binary is executed again with a role for it. The role is found out before
//! anything else happens (`main`), so that no thread can exist by then.

use std::process::ExitCode;

use crate::process::SystemClock;

/// A hidden role.
pub(crate) struct Role(varve_engine::container::Role);

impl Role {
    /// The role this process was started for, if it was started by ourselves.
    pub(crate) fn of_this_process() -> Option<Self> {
        let line: Vec<_> = std::env::args_os().collect();
        varve_engine::container::Role::asked(&line).map(Self)
    }

    /// Plays the role until it ends.
    pub(crate) fn run(self) -> ExitCode {
        self.0.play(&SystemClock)
    }
}
