//! `varve image export`

use std::path::{Path, PathBuf};

use varve_types::Platform;

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

    /// Make the files in a directory, which must be empty or absent, instead of a tar archive
    #[arg(short, long, value_name = "string", value_parser = flags::path)]
    #[arg(conflicts_with = "output")]
    directory: Option<PathBuf>,

    /// Export the given platform's files. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    image: String,
}

fn export_to(
    ui: &Ui,
    image: &str,
    platform: Option<&Platform>,
    directory: &Path,
) -> Result<(), CommandError> {
    let engine = ui.engine()?;
    let exporting = engine.prepare_export(image, platform)?;
    let made = engine.export_to(&exporting, directory)?;
    let refused = [(made.xattrs_refused, "extended attributes"), (made.devices_refused, "devices")];
    for (count, what) in refused.into_iter().filter(|(count, _)| *count > 0) {
        ui.complain(format_args!("WARNING: {count} {what} could not be made here"));
    }
    Ok(())
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let platform = flags::platform(args.platform.as_deref())?;
    if let Some(directory) = flags::given(args.directory.as_ref()) {
        return export_to(ui, &args.image, platform.as_ref(), directory);
    }
    let output = Output { path: flags::given(args.output.as_ref()), action: "export image" };
    output.write(
        ui,
        |engine| engine.prepare_export(&args.image, platform.as_ref()),
        |engine, exporting, output| engine.export(exporting, output),
    )
}
