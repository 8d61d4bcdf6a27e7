//! `varve image mount`

use crate::{commands::flags, error::CommandError, report::mounts, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] [IMAGE...]";

/// Mount images read-only and print where
///
/// With one image its path alone is printed, with several their names and paths. Without any, the
/// images that are mounted are listed. An image stays mounted until it is unmounted or removed, or
/// the machine is restarted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "string", default_value = "", help = flags::FORMAT_TABLE_HELP)]
    format: String,

    /// Mount the given platform's files. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    images: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let platform = flags::platform(args.platform.as_deref())?;
    let engine = ui.engine()?;
    if args.images.is_empty() {
        return ui.text(&mounts::list(engine.mounted_images()?, &args.format)?);
    }
    let mut mounted = Vec::new();
    for image in &args.images {
        let mount = engine.mount_image(image, platform.as_ref())?;
        if mount.is_private {
            ui.complain(format_args!(
                "note: {image} is mounted in this mount namespace only, and ends with it"
            ));
        }
        mounted.push(mount);
    }
    match &mounted[..] {
        [one] if args.format.is_empty() => ui.line(one.path.display()),
        _ => ui.text(&mounts::list(mounted, &args.format)?),
    }
}
