//! Which containers there are: listed, told of, named anew and removed.

use varve_engine::{Filters, ListContainers, RemoveContainer};
use varve_types::container::listing::{Facts, PruneReport, Summary};

use super::Result;
use crate::ui::Ui;

/// Removes a container.
pub(crate) fn remove(ui: &Ui, name: &str, request: RemoveContainer) -> Result<()> {
    Ok(ui.engine()?.remove_container(&ui.silent(), name, request)?)
}

/// Removes a link between containers.
pub(crate) fn remove_link(ui: &Ui, name: &str) -> Result<()> {
    Ok(ui.engine()?.remove_link(name)?)
}

/// Names a container anew.
pub(crate) fn rename(ui: &Ui, old: &str, new: &str) -> Result<()> {
    Ok(ui.engine()?.rename_container(old, new)?)
}

/// Lists containers, the newest first.
pub(crate) fn list(ui: &Ui, request: &ListContainers) -> Result<Vec<Summary>> {
    Ok(ui.engine()?.list_containers(request)?)
}

/// Tells all of a container, with its sizes where they are asked for.
pub(crate) fn inspect(ui: &Ui, name: &str, size: bool) -> Result<Facts> {
    Ok(ui.engine()?.inspect_container(name, size)?)
}

/// Removes the containers that do not run.
pub(crate) fn prune(ui: &Ui, filters: &Filters) -> Result<PruneReport> {
    Ok(ui.engine()?.prune_containers(&ui.silent(), filters)?)
}
