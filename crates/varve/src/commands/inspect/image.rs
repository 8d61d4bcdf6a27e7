//! `varve image inspect`

use crate::commands::flags;
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE [IMAGE...]";

const PLATFORM_HELP: &str = "Inspect a specific platform of the multi-platform image.
If the image or the server is not multi-platform capable, the command will error out if the platform does not match.
'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)";

/// Display detailed information on one or more images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "string", default_value = "", help = flags::FORMAT_HELP)]
    format: String,

    #[arg(long, value_name = "string", help = PLATFORM_HELP)]
    platform: Option<String>,

    #[arg(required = true, num_args = 1..)]
    images: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let _ = (ui, args);
    Err(CommandError::plain("not yet", 1))
}
