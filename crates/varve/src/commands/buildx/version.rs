//! `varve buildx version`

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "";

/// Show version information
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(ui: &Ui, _: &Args) -> Result<(), CommandError> {
    ui.line(concat!("varve/buildx v", env!("CARGO_PKG_VERSION")))
}
