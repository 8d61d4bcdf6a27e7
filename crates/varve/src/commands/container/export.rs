//! `varve export`: a container's files as a tar

use std::path::PathBuf;

use super::verbs;
use crate::{
    commands::{flags, output::Output},
    error::CommandError,
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER";
pub(crate) const NAMES: &str = "varve container export, varve export";

/// Export a container's filesystem as a tar archive
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string", value_parser = flags::path)]
    output: Option<PathBuf>,

    #[arg(required = true)]
    container: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let output = Output { path: flags::given(args.output.as_ref()), action: "export container" };
    verbs::export(ui, &args.container, output)
}
