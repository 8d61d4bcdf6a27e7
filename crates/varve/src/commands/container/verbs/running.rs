//! Containers that run: frozen, limited anew, looked at.

use varve_engine::container::UpdateContainer;
use varve_types::container::listing::{ProcessTable, Usage};

use super::{Result, Stats};
use crate::ui::Ui;

/// Freezes all processes of a container.
pub(crate) fn pause(ui: &Ui, name: &str) -> Result<()> {
    let engine = ui.engine()?;
    Ok(engine.pause_container(&ui.silent(), &engine.container(name)?)?)
}

/// Lets the processes of a container go on.
pub(crate) fn unpause(ui: &Ui, name: &str) -> Result<()> {
    let engine = ui.engine()?;
    Ok(engine.unpause_container(&ui.silent(), &engine.container(name)?)?)
}

/// Changes limits of a container.
pub(crate) fn update(ui: &Ui, name: &str, request: &UpdateContainer) -> Result<()> {
    Ok(ui.engine()?.update_container(&ui.silent(), name, request)?)
}

/// Lists the processes of a container with `ps` and the options given.
pub(crate) fn top(ui: &Ui, name: &str, options: &[String]) -> Result<ProcessTable> {
    let engine = ui.engine()?;
    Ok(engine.top_container(&ui.silent(), &engine.container(name)?, options)?)
}

/// Counts what containers use.
pub(crate) fn stats(ui: &Ui, request: &Stats<'_>) -> Result<Vec<Usage>> {
    Ok(ui.engine()?.container_usage(&ui.silent(), request.containers, request.all)?)
}
