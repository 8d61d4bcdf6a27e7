//! `varve pull`

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] NAME[:TAG|@DIGEST]";
pub(crate) const NAMES: &str = "varve image pull, varve pull";

/// Download an image from a registry
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Download all tagged images in the repository
    #[arg(short, long = "all-tags")]
    all_tags: bool,

    /// Skip image verification (default true)
    #[arg(long = "disable-content-trust", action = clap::ArgAction::SetFalse)]
    #[allow(dead_code, reason = "taken and not looked at: there is no content trust")]
    disable_content_trust: bool,

    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,

    name: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}
