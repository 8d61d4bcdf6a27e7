//! Volumes.

use varve_engine::Filters;
use varve_types::{
    Printable,
    container::listing::{PruneReport, Volume},
};

use super::{NewVolume, Result, unready};
use crate::{error::CommandError, ui::Ui};

/// Makes a volume; gives its name.
pub(crate) fn create_volume(_ui: &Ui, _request: NewVolume<'_>) -> Result<String> {
    unready("volume create")
}

/// Lists volumes by name.
pub(crate) fn list_volumes(_ui: &Ui, _filters: &Filters) -> Result<Vec<Volume>> {
    unready("volume ls")
}

/// Tells all of a volume.
pub(crate) fn inspect_volume(_ui: &Ui, name: &str) -> Result<Volume> {
    Err(CommandError::daemon(format_args!("get {}: no such volume", Printable(name))))
}

/// Removes a volume; by force, one that is not there too.
pub(crate) fn remove_volume(_ui: &Ui, _name: &str, _force: bool) -> Result<()> {
    unready("volume rm")
}

/// Removes the volumes that no container has.
pub(crate) fn prune_volumes(_ui: &Ui, _filters: &Filters) -> Result<PruneReport> {
    unready("volume prune")
}
