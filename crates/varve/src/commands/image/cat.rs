//! `varve image cat`

use std::io::{self, Write as _};

use varve_engine::Error as EngineError;

use crate::{commands::flags, error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE PATH";

/// Print a file of an image
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the given platform's file. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    image: String,

    path: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let platform = flags::platform(args.platform.as_deref())?;
    let engine = ui.engine()?;
    let mut output = io::stdout().lock();
    let written = engine.cat(&args.image, &args.path, platform.as_ref(), &mut output);
    let written = written.and_then(|()| output.flush().map_err(EngineError::Output));
    written.map_err(|error| match error {
        EngineError::Output(error) => CommandError::Output(error),
        other => other.into(),
    })
}
