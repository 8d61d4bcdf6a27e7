//! `varve volume inspect`

use crate::{
    commands::{container::verbs, flags, inspect},
    error::CommandError,
    report::{inspect::Form, volumes},
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS] VOLUME [VOLUME...]";

/// Display detailed information on one or more volumes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "string", default_value = "", help = flags::FORMAT_HELP)]
    format: String,

    #[arg(required = true, num_args = 1..)]
    volumes: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let form = Form::new(&args.format)?;
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for name in &args.volumes {
        match verbs::inspect_volume(ui, name) {
            Ok(it) => found.push(volumes::object(&it)),
            Err(error) => errors.extend(error.text()),
        }
    }
    let text = form.show(&found, &mut errors);
    inspect::finish(ui, text, errors)
}
