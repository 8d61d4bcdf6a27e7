//! `varve inspect`: any kind of object

pub(crate) mod image;

use varve_types::{Kind, Printable};

use super::flags;
use crate::{error::CommandError, report::inspect::Form, ui::Ui};

/// What Docker can be asked about.
const KINDS: &str = r#""config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume""#;

pub(crate) const USAGE: &str = "[OPTIONS] NAME|ID [NAME|ID...]";

/// Return low-level information on Docker objects
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(short, long, value_name = "string", default_value = "", help = flags::FORMAT_HELP)]
    format: String,

    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,

    /// Only inspect objects of the given type
    #[arg(long = "type", value_name = "string", default_value = "")]
    kind: String,

    #[arg(required = true, num_args = 1..)]
    names: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    match args.kind.as_str() {
        "" | "image" => {}
        kind if KINDS.contains(&format!("{kind:?}")) => {
            let form = Form::new(&args.format)?;
            let errors = args.names.iter().map(|name| nothing_but_images(kind, name));
            return finish(ui, form.show(&[], &mut Vec::new()), errors.collect());
        }
        kind => {
            let text = format!("unknown type: {kind:?}: must be one of {KINDS}");
            return Err(CommandError::plain(text, 1));
        }
    }
    let form = Form::new(&args.format)?;
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    let engine = ui.engine()?;
    for name in &args.names {
        match engine.inspect(name, None) {
            Ok(facts) => found.push(facts),
            Err(error) if args.kind.is_empty() && error.kind() == Kind::NotFound => {
                errors.push(format!("Error: No such object: {}", Printable(name)));
            }
            Err(error) => errors.extend(CommandError::from(error).text()),
        }
    }
    if args.size && !found.is_empty() {
        ui.complain("WARNING: --size ignored for image");
    }
    let text = form.show(&found, &mut errors);
    finish(ui, text, errors)
}

/// What Docker says when there is no such object of a kind that varve has none of.
fn nothing_but_images(kind: &str, name: &str) -> String {
    let name = Printable(name);
    match kind {
        "container" => format!("Error response from daemon: No such container: {name}"),
        "network" => format!("Error response from daemon: network {name} not found"),
        "volume" => format!("Error response from daemon: get {name}: no such volume"),
        kind => format!("Error: No such {kind}: {name}"),
    }
}

/// Prints what was found, and then what was not.
fn finish(ui: &Ui, text: String, errors: Vec<String>) -> Result<(), CommandError> {
    ui.text(&text)?;
    if errors.is_empty() { Ok(()) } else { Err(CommandError::plain(errors.join("\n"), 1)) }
}
