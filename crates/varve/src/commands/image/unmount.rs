//! `varve image unmount`

use crate::{commands::flags, error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE [IMAGE...]\n\tvarve image unmount --all [OPTIONS]";
pub(crate) const NAMES: &str = "varve image unmount, varve image umount";

/// Unmount images that were mounted, and print their IDs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Unmount all images
    #[arg(short, long)]
    all: bool,

    /// Unmount images also while they are in use
    #[arg(short, long)]
    force: bool,

    /// Unmount the given platform's files. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    images: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let platform = flags::platform(args.platform.as_deref())?;
    if args.all != args.images.is_empty() {
        let text = "name the images to unmount, or say --all";
        return Err(CommandError::plain(text, 1));
    }
    let engine = ui.engine()?;
    if args.all {
        return engine.unmount_images(args.force)?.iter().try_for_each(|id| ui.line(id));
    }
    for image in &args.images {
        ui.line(engine.unmount_image(image, platform.as_ref(), args.force)?)?;
    }
    Ok(())
}
