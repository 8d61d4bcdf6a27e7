//! A user with a container: attached to it, to a process beside its own, or reading its log.

use super::{Exec, Logs, Result, unready};
use crate::{commands::container::session::Attachment, ui::Ui};

/// Starts a container and stays with it. Gives its exit code, 0 when the user left it.
pub(crate) fn start_attached(_ui: &Ui, _name: &str, _attachment: &Attachment) -> Result<u8> {
    unready("start")
}

/// Stays with a container that runs. Gives its exit code, 0 when the user left it.
pub(crate) fn attach(_ui: &Ui, _name: &str, _attachment: &Attachment) -> Result<u8> {
    unready("attach")
}

/// Runs a process in a container and stays with it. Gives its exit code.
pub(crate) fn exec(
    _ui: &Ui,
    _name: &str,
    _request: &Exec<'_>,
    _attachment: &Attachment,
) -> Result<u8> {
    unready("exec")
}

/// Runs a process in a container; it goes on alone.
pub(crate) fn exec_detached(_ui: &Ui, _name: &str, _request: &Exec<'_>) -> Result<()> {
    unready("exec")
}

/// Writes a container's log to standard output and standard error.
pub(crate) fn logs(_ui: &Ui, _name: &str, _request: &Logs) -> Result<()> {
    unready("logs")
}
