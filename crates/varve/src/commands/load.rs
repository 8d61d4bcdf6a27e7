//! `varve load`

use std::{fs, io, path::PathBuf};

use varve_engine::{Load, LoadSource};

use super::flags;
use crate::{
    error::{self, CommandError},
    progress::Reporter,
    ui::{self, Ui},
};

pub(crate) const USAGE: &str = "[OPTIONS]";
pub(crate) const NAMES: &str = "varve image load, varve load";

/// Load an image from a tar archive or STDIN
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "string", value_parser = flags::path)]
    input: Option<PathBuf>,

    /// Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let platform = flags::platform(args.platform.as_deref())?;
    let mut stdin = io::stdin();
    let mut file;
    let source = match flags::given(args.input.as_ref()) {
        Some(path) if path.join("oci-layout").is_file() => LoadSource::Directory(path),
        Some(path) => {
            file = fs::File::open(path).map_err(|error| error::of_file("open", path, &error))?;
            if path.is_dir() {
                let is_directory = rustix::io::Errno::ISDIR.into();
                return Err(error::of_file("read", path, &is_directory));
            }
            LoadSource::Stream(&mut file)
        }
        None if ui::stdin_is_terminal() => {
            return Err(CommandError::plain("requested load from stdin, but stdin is empty", 1));
        }
        None => LoadSource::Stream(&mut stdin),
    };
    // What was loaded is the result, not progress: `-q` leaves it.
    let progress = Reporter::for_load(ui, args.quiet);
    let request = Load { source, platform: platform.as_ref() };
    Ok(ui.engine()?.load(&ui.ctx(&progress), request)?)
}
