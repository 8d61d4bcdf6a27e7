//! `varve import`

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]";
pub(crate) const NAMES: &str = "varve image import, varve import";

/// Import the contents from a tarball to create a filesystem image
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long = "change", value_name = "list", action = clap::ArgAction::Append)]
    changes: Vec<String>,

    /// Set commit message for imported image
    #[arg(short, long, value_name = "string", default_value = "")]
    message: String,

    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    source: String,

    /// The name, and more that Docker takes and does not look at.
    #[arg(num_args = 0..)]
    names: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}
