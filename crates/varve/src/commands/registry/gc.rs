//! `varve registry gc`

use std::path::PathBuf;

use varve_serve::registry;

use crate::{commands::flags, error::CommandError, report::removal, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Remove what no repository of a registry has any more
///
/// Blobs whose repositories were removed by hand or by a crash, and uploads that nobody has written
/// to for a day. Servers of the directory may go on meanwhile.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory that holds the repositories (default "varve-registry" beside the store)
    #[arg(long = "root", id = "registry-root", value_name = "string", value_parser = flags::path)]
    directory: Option<PathBuf>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let directory = super::directory(ui, args.directory.as_ref());
    let own = |error| CommandError::Own { error: Box::new(error), hint: None };
    let collected = registry::collect(&directory, &ui.silent()).map_err(own)?;
    if collected.blobs > 0 {
        ui.line(format_args!("Deleted blobs: {}", collected.blobs))?;
    }
    ui.text(&removal::total(collected.freed_bytes))
}
