//! `varve pull`

use varve_engine::{Pull, PullPlatform};
use varve_types::{Platform, Reference};

use crate::{error::CommandError, progress::Reporter, ui::Ui};

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
    let reference = args.name.parse::<Reference>();
    let reference = reference.map_err(|error| CommandError::plain(error.to_string(), 1))?;
    if args.all_tags && !reference.is_name_only() {
        return Err(CommandError::plain("tag can't be used with --all-tags/-a", 1));
    }
    let progress = Reporter::new(ui, args.quiet);
    if !args.all_tags && reference.is_name_only() && progress.is_shown() {
        ui.line("Using default tag: latest")?;
        ui.flush()?;
    }
    let platform = match args.platform.as_deref() {
        None | Some("") => PullPlatform::Host,
        Some("all") => PullPlatform::All,
        Some(text) => PullPlatform::Only(text.parse::<Platform>().map_err(CommandError::daemon)?),
    };
    let request = Pull { reference: &reference, all_tags: args.all_tags, platform };
    let pulled = ui.engine()?.pull(&ui.ctx(&progress), &request)?;
    progress.result(&pulled.name)
}
