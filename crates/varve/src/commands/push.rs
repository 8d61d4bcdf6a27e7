//! `varve push`

use varve_engine::{Push, PushCompression};
use varve_types::Reference;

use super::flags;
use crate::{error::CommandError, progress::Reporter, ui::Ui};

const PLATFORM_NOTE: &str = "
 Info -> Using --platform pushes only the specified platform manifest of a multi-platform image index.
         Other components, like attestations, will not be included.
         To push the complete multi-platform image, remove the --platform flag.
         
";

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

    // Docker prints this help to the byte; docs/compatibility.md says what it does.
    #[arg(long, hide = true, value_name = "string", value_parser = compression)]
    compression: Option<PushCompression>,

    #[arg(long, value_name = "string", help = PLATFORM_HELP)]
    platform: Option<String>,

    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,

    name: String,
}

fn compression(text: &str) -> Result<PushCompression, String> {
    match text {
        "gzip" => Ok(PushCompression::Gzip),
        "zstd" => Ok(PushCompression::Zstd),
        _ => Err("it is neither gzip nor zstd".to_owned()),
    }
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let reference = args.name.parse::<Reference>();
    let reference = reference.map_err(|error| CommandError::plain(error.to_string(), 1))?;
    let progress = Reporter::new(ui, args.quiet);
    let platform = flags::platform(args.platform.as_deref())?;
    if platform.is_some() && progress.is_shown() {
        ui.text(PLATFORM_NOTE)?;
    }
    if args.all_tags && !reference.is_name_only() {
        return Err(CommandError::plain("tag can't be used with --all-tags/-a", 1));
    }
    if !args.all_tags && reference.is_name_only() && progress.is_shown() {
        ui.line("Using default tag: latest")?;
        ui.flush()?;
    }
    let request = Push {
        reference: &reference,
        text: &args.name,
        all_tags: args.all_tags,
        platform: platform.as_ref(),
        compression: args.compression,
    };
    ui.engine()?.push(&ui.ctx(&progress), &request)?;
    if !args.quiet {
        return Ok(());
    }
    let pushed = if args.all_tags { reference } else { reference.or_latest() };
    progress.result(&pushed.to_string())
}
