//! What a user without privileges does before anything else: entering a user namespace.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::{Command, Stdio},
};

pub use varve_runtime::userns::{Membership, is_inside};

use rustix::{fs::Access, io::Errno};
use varve_runtime::userns::UserNamespaceError;
use varve_store::{Error as StoreError, Options, Store};

use crate::{Engine, Error, Result};

/// How the program is asked to free what was removed (first argument).
pub(crate) const EMPTY_TRASH: &str = "--varve-empty-trash";
/// This program.
const PROGRAM: &str = "/proc/self/exe";

/// Enters the user namespace in which this user is root. `run` is the user's run directory, `path` the
/// directories of programs. To be called before any thread exists.
pub fn enter(run: &Path, path: &OsStr) -> Result<Membership> {
    Ok(varve_runtime::userns::enter(run, path)?)
}

/// Whether an error of [`enter`] says that there are no such namespaces here. The process is then what
/// it was.
pub fn is_refused(error: &Error) -> bool {
    matches!(error, Error::UserNamespace(UserNamespaceError::Refused(_)))
}

/// Fails where the permissions of the store's directory `root` forbid this user to write there. In the
/// namespace they are asked no more, since the user is root there: to be asked before entering it for
/// what is about images. Other obstacles hold in the namespace too.
pub fn may_write(root: &Path) -> Result<()> {
    match rustix::fs::access(root, Access::WRITE_OK) {
        Err(error @ Errno::ACCESS) => {
            Err(StoreError::Io { action: "write", path: root.to_owned(), source: error.into() })?
        }
        _ => Ok(()),
    }
}

impl Engine {
    /// Frees what a removal could not, because it belongs to users of containers: in a process that
    /// enters the user's namespace for it, if there is such a thing. `path` is as in [`enter`]. What
    /// stays goes with a later removal.
    pub fn empty_trash(&self, path: &OsStr) -> Result<()> {
        let Some(run) = self.store.options().run.as_deref() else { return Ok(()) };
        if rustix::process::geteuid().is_root() || !self.store.has_trash()? {
            return Ok(());
        }
        let words = [EMPTY_TRASH.as_ref(), self.store.root().as_os_str(), run.as_os_str(), path];
        let mut command = Command::new(PROGRAM);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Nothing is wrong with the images; `system check` tells what is left.
        let _ = command.status();
        Ok(())
    }
}

/// Plays the role of who frees what was removed.
pub(crate) fn play_empty_trash([root, run, path]: &[OsString; 3]) -> Result<()> {
    let run = Path::new(run);
    let _member = enter(run, path)?;
    let options = Options { run: Some(run.to_owned()), ..Options::default() };
    Ok(Store::open_with(Path::new(root), options)?.empty_trash()?)
}
