//! `varve push`

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] NAME[:TAG]";
pub(crate) const NAMES: &str = "varve image push, varve push";

const PLATFORM_HELP: &str =
    "Push a platform-specific manifest as a single-platform image to the registry.
Image index won't be pushed, meaning that other manifests, including attestations won't be preserved.
'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)";

/// Upload an image to a registry
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Push all tags of an image to the repository
    #[arg(short, long = "all-tags")]
    all_tags: bool,

    /// Skip image signing (default true)
    #[arg(long = "disable-content-trust", action = clap::ArgAction::SetFalse)]
    #[allow(dead_code, reason = "taken and not looked at: there is no content trust")]
    disable_content_trust: bool,

    #[arg(long, value_name = "string", help = PLATFORM_HELP)]
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
