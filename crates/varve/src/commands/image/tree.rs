//! `varve image tree`

use crate::{commands::flags, error::CommandError, report::files, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE [PATH]";

/// List the files of an image
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "string", default_value = "", help = flags::FORMAT_TABLE_HELP)]
    format: String,

    /// List the given platform's files. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    image: String,

    path: Option<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let platform = flags::platform(args.platform.as_deref())?;
    let path = args.path.as_deref().unwrap_or("/");
    let entries = ui.engine()?.tree(&args.image, path, platform.as_ref())?;
    ui.text(&files::list(entries, &args.format)?)
}
