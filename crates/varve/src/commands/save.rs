//! `varve save`

use std::path::PathBuf;

use varve_engine::Save;

use super::{flags, output::Output};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE [IMAGE...]";
pub(crate) const NAMES: &str = "varve image save, varve save";

/// Save one or more images to a tar archive (streamed to STDOUT by default)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string", value_parser = flags::path)]
    output: Option<PathBuf>,

    /// Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    #[arg(required = true, num_args = 1..)]
    images: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let platform = flags::platform(args.platform.as_deref())?;
    let request = Save { images: &args.images, platform: platform.as_ref() };
    let output = Output { path: flags::given(args.output.as_ref()), action: "save image" };
    output.write(
        ui,
        |engine| engine.prepare_save(&request),
        |engine, saving, output| engine.save(saving, output),
    )
}
