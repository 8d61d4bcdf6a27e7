//! Volumes.

use varve_engine::{CreateVolume, Filters, RemoveVolume};
use varve_types::container::listing::{PruneReport, Volume};

use super::Result;
use crate::ui::Ui;

/// Makes a volume; gives its name.
pub(crate) fn create_volume(ui: &Ui, request: &CreateVolume<'_>) -> Result<String> {
    Ok(ui.engine()?.create_volume(&ui.silent(), request)?.name.to_string())
}

/// Lists volumes by name.
pub(crate) fn list_volumes(ui: &Ui, filters: &Filters) -> Result<Vec<Volume>> {
    Ok(ui.engine()?.list_volumes(filters)?)
}

/// Tells all of a volume.
pub(crate) fn inspect_volume(ui: &Ui, name: &str) -> Result<Volume> {
    Ok(ui.engine()?.inspect_volume(name)?)
}

/// Removes a volume; by force, one that is not there too.
pub(crate) fn remove_volume(ui: &Ui, name: &str, force: bool) -> Result<()> {
    ui.engine()?.remove_volume(RemoveVolume { name, force })?;
    Ok(())
}

/// Removes the volumes that no container has.
pub(crate) fn prune_volumes(ui: &Ui, filters: &Filters) -> Result<PruneReport> {
    Ok(ui.engine()?.prune_volumes(filters)?)
}
