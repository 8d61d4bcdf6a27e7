//! Which containers there are: listed, told of, named anew and removed.

use varve_engine::Filters;
use varve_types::{
    Printable,
    container::listing::{Facts, PruneReport, Summary},
};

use super::{List, Remove, Result, unready};
use crate::{error::CommandError, ui::Ui};

/// Removes a container.
pub(crate) fn remove(_ui: &Ui, _name: &str, _request: Remove) -> Result<()> {
    unready("rm")
}

/// Names a container anew.
pub(crate) fn rename(_ui: &Ui, _old: &str, _new: &str) -> Result<()> {
    unready("rename")
}

/// Lists containers, the newest first.
pub(crate) fn list(_ui: &Ui, _request: &List) -> Result<Vec<Summary>> {
    unready("ps")
}

/// Tells all of a container, with its sizes where they are asked for.
pub(crate) fn inspect(_ui: &Ui, name: &str, _size: bool) -> Result<Facts> {
    Err(CommandError::daemon(format_args!("No such container: {}", Printable(name))))
}

/// Removes the containers that do not run.
pub(crate) fn prune(_ui: &Ui, _filters: &Filters) -> Result<PruneReport> {
    unready("container prune")
}
