//! `varve image diff`

use crate::{commands::flags, error::CommandError, report::differences, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE OTHER_IMAGE";

/// List the files in which two images differ
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "string", default_value = "", help = flags::FORMAT_TABLE_HELP)]
    format: String,

    /// Compare the given platform's files. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    image: String,

    other_image: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let platform = flags::platform(args.platform.as_deref())?;
    let engine = ui.engine()?;
    let found = engine.compare(&args.image, &args.other_image, platform.as_ref())?;
    ui.text(&differences::list(found, &args.format)?)
}
