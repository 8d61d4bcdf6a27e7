//! `varve network inspect`

use crate::{
    commands::{container::verbs, flags, inspect},
    error::CommandError,
    report::{inspect::Form, networks},
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS] NETWORK [NETWORK...]";

/// Display detailed information on one or more networks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "string", default_value = "", help = flags::FORMAT_HELP)]
    format: String,

    /// Verbose output for diagnostics
    #[arg(short, long)]
    #[allow(dead_code, reason = "it is about swarms, which there are none of")]
    verbose: bool,

    #[arg(required = true, num_args = 1..)]
    networks: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let form = Form::new(&args.format)?;
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for name in &args.networks {
        match verbs::inspect_network(ui, name) {
            Ok(it) => found.push(networks::object(&it)),
            Err(error) => errors.extend(error.text()),
        }
    }
    let text = form.show(&found, &mut errors);
    inspect::finish(ui, text, errors)
}
