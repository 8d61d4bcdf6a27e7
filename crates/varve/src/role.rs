//! Hidden roles: what this binary does when it has started itself.
//!
//! Work in a user namespace and the watch over a container need a process of their own that is
//! still single-threaded; the binary is executed again with a role for it. The role is found
//! out before anything else happens (`main`), so that no thread can exist by then.

use std::process::ExitCode;

/// A hidden role. There is none as long as no command needs one.
pub(crate) enum Role {}

impl Role {
    /// The role this process was started for, if it was started by ourselves.
    pub(crate) fn of_this_process() -> Option<Self> {
        None
    }

    /// Plays the role until it ends.
    pub(crate) fn run(self) -> ExitCode {
        match self {}
    }
}
