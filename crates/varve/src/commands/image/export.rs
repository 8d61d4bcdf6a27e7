//! `varve image export`

use std::path::PathBuf;

use crate::{
    commands::{flags, output::Output},
    error::CommandError,
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE";

/// Export an image's root filesystem as a tar archive (streamed to STDOUT by default)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string", value_parser = flags::path)]
    output: Option<PathBuf>,

    /// Export the given platform's files. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    image: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let platform = flags::platform(args.platform.as_deref())?;
    let output = Output { path: flags::given(args.output.as_ref()), action: "export image" };
    output.write(
        ui,
        |engine| engine.prepare_export(&args.image, platform.as_ref()),
        |engine, exporting, output| engine.export(exporting, output),
    )
}
