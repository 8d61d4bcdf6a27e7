//! Containers that run: frozen, limited anew, looked at.

use varve_types::container::listing::{ProcessTable, Usage};

use super::{Result, Stats, Update, unready};
use crate::ui::Ui;

/// Freezes all processes of a container.
pub(crate) fn pause(_ui: &Ui, _name: &str) -> Result<()> {
    unready("pause")
}

/// Lets the processes of a container go on.
pub(crate) fn unpause(_ui: &Ui, _name: &str) -> Result<()> {
    unready("unpause")
}

/// Changes limits of a container.
pub(crate) fn update(_ui: &Ui, _name: &str, _request: &Update) -> Result<()> {
    unready("update")
}

/// Lists the processes of a container with `ps` and the options given.
pub(crate) fn top(_ui: &Ui, _name: &str, _options: &[String]) -> Result<ProcessTable> {
    unready("top")
}

/// Counts what containers use.
pub(crate) fn stats(_ui: &Ui, _request: &Stats<'_>) -> Result<Vec<Usage>> {
    unready("stats")
}
