//! What is in containers: files copied, compared, written out and made into images.

use varve_types::{Reference, container::listing::Change};

use super::{Commit, Copy, Result, unready};
use crate::{commands::output::Output, error::CommandError, ui::Ui};

/// Lists what a container has changed.
pub(crate) fn diff(ui: &Ui, name: &str) -> Result<Vec<Change>> {
    Ok(ui.engine()?.container_changes(name)?)
}

/// Writes a container's files as a tar.
pub(crate) fn export(_ui: &Ui, _name: &str, _output: Output<'_>) -> Result<()> {
    unready("export")
}

/// Makes an image of a container; gives its ID.
pub(crate) fn commit(ui: &Ui, request: &Commit<'_>) -> Result<String> {
    let reference = request.name.map(|name| {
        let parsed = name.parse::<Reference>();
        parsed.map_err(|error| CommandError::plain(error.to_string(), 1))
    });
    let reference = reference.transpose()?;
    let request = varve_engine::Commit {
        container: request.container,
        reference: reference.as_ref(),
        author: request.author,
        message: request.message,
        changes: request.changes,
    };
    Ok(ui.engine()?.commit(&ui.silent(), &request)?.to_string())
}

/// Copies out of a container, to a path here or `-` for a tar on standard output.
pub(crate) fn copy_from(_ui: &Ui, _name: &str, _path: &str, _to: &str, _how: Copy) -> Result<()> {
    unready("cp")
}

/// Copies into a container, from a path here or `-` for a tar on standard input.
pub(crate) fn copy_to(_ui: &Ui, _from: &str, _name: &str, _path: &str, _how: Copy) -> Result<()> {
    unready("cp")
}
