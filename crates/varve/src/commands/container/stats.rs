//! `varve stats`

use std::time::Duration;

use super::verbs::{self, Stats};
use crate::{commands::flags, error::CommandError, report::stats, ui::Ui};

/// Time between two pictures.
const EVERY: Duration = Duration::from_millis(500);
/// The cursor to the upper left, and nothing below it.
const CLEAR: &str = "\x1b[H\x1b[J";

pub(crate) const USAGE: &str = "[OPTIONS] [CONTAINER...]";
pub(crate) const NAMES: &str = "varve container stats, varve stats";

/// Display a live stream of container(s) resource usage statistics
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,

    #[arg(long, value_name = "string", default_value = "", help = flags::FORMAT_TABLE_HELP)]
    format: String,

    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,

    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,

    #[arg(num_args = 0..)]
    containers: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let request = Stats { containers: &args.containers, all: args.all };
    loop {
        let rows = verbs::stats(ui, &request)?;
        let text = stats::table(&rows, &args.format, args.no_trunc)?;
        if args.no_stream {
            return ui.text(&text);
        }
        ui.text(&format!("{CLEAR}{text}"))?;
        ui.flush()?;
        std::thread::sleep(EVERY);
    }
}
