//! `varve system reset`

use varve_types::Printable;

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Remove everything: containers, images, volumes, networks, and the store itself
///
/// Containers that run are killed. Files that belong to users of containers go as well. The next command
/// begins with an empty store.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let engine = ui.engine()?;
    if !args.force && !ui.confirm(&warning(engine.store().root()))? {
        return Ok(());
    }
    Ok(engine.reset(&ui.silent())?)
}

/// As podman has it, for what there is here.
fn warning(root: &std::path::Path) -> String {
    let what = ["containers", "images", "networks", "build cache", "volumes"];
    let lines = what.map(|what| format!("        - all {what}\n")).concat();
    let store = root.display().to_string();
    let store = Printable(&store);
    format!("WARNING! This will remove:\n{lines}        - the store: \"{store}\"\n")
}
