//! `varve volume create`

use varve_engine::CreateVolume;
use varve_types::container::parse::option;

use crate::{commands::container::verbs, error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] [VOLUME]";

/// Create a volume
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "string", default_value = "local")]
    #[arg(help = "Specify volume driver name (default \"local\")")]
    driver: String,

    /// Set metadata for a volume
    #[arg(long = "label", value_name = "list", action = clap::ArgAction::Append)]
    labels: Vec<String>,

    #[arg(short, long = "opt", value_name = "map", action = clap::ArgAction::Append)]
    #[arg(help = "Set driver specific options (default map[])")]
    options: Vec<String>,

    volume: Option<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let request = CreateVolume {
        name: args.volume.as_deref().filter(|name| !name.is_empty()),
        driver: &args.driver,
        labels: option::pairs(&args.labels),
        options: option::pairs(&args.options),
    };
    ui.line(verbs::create_volume(ui, &request)?)
}
