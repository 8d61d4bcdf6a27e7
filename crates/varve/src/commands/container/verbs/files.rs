//! What is in containers: files copied, compared, written out and made into images.

use varve_types::container::listing::Change;

use super::{Commit, Copy, Result, unready};
use crate::{commands::output::Output, ui::Ui};

/// Lists what a container has changed.
pub(crate) fn diff(_ui: &Ui, _name: &str) -> Result<Vec<Change>> {
    unready("diff")
}

/// Writes a container's files as a tar.
pub(crate) fn export(_ui: &Ui, _name: &str, _output: Output<'_>) -> Result<()> {
    unready("export")
}

/// Makes an image of a container; gives its ID.
pub(crate) fn commit(_ui: &Ui, _request: &Commit<'_>) -> Result<String> {
    unready("commit")
}

/// Copies out of a container, to a path here or `-` for a tar on standard output.
pub(crate) fn copy_from(_ui: &Ui, _name: &str, _path: &str, _to: &str, _how: Copy) -> Result<()> {
    unready("cp")
}

/// Copies into a container, from a path here or `-` for a tar on standard input.
pub(crate) fn copy_to(_ui: &Ui, _from: &str, _name: &str, _path: &str, _how: Copy) -> Result<()> {
    unready("cp")
}
