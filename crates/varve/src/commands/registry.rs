//! `varve registry`: a registry of one's own

mod gc;
mod serve;

use std::path::{Path, PathBuf};

use crate::{commands::flags, error::CommandError, process, ui::Ui};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    #[command(override_usage = gc::USAGE)]
    Gc(gc::Args),
    #[command(override_usage = serve::USAGE)]
    Serve(serve::Args),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(&self, ui: &Ui) -> Result<(), CommandError> {
        match self {
            Self::Gc(args) => gc::run(ui, args),
            Self::Serve(args) => serve::run(ui, args),
        }
    }
}

/// The registry's directory: the one given, or one beside the store.
fn directory(ui: &Ui, given: Option<&PathBuf>) -> PathBuf {
    let beside_the_store = || {
        let root = flags::given(ui.globals().root.as_ref());
        process::store_root(ui.environment(), ui.user(), root).with_file_name("varve-registry")
    };
    flags::given(given).map_or_else(beside_the_store, Path::to_owned)
}
