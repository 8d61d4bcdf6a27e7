//! `varve container inspect`

use super::verbs;
use crate::{
    commands::flags,
    error::CommandError,
    report::{container, inspect::Form},
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS] CONTAINER [CONTAINER...]";

/// Display detailed information on one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "string", default_value = "", help = flags::FORMAT_HELP)]
    format: String,

    /// Display total file sizes
    #[arg(short, long)]
    size: bool,

    #[arg(required = true, num_args = 1..)]
    containers: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let form = Form::new(&args.format)?;
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for name in &args.containers {
        match verbs::inspect(ui, name, args.size) {
            Ok(container) => found.push(container::object(&container)),
            Err(error) => errors.extend(error.text()),
        }
    }
    let text = form.show(&found, &mut errors);
    crate::commands::inspect::finish(ui, text, errors)
}
