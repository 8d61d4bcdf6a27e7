//! `varve inspect`: any kind of object

pub(crate) mod image;

use varve_engine::{Engine, Error as EngineError};
use varve_types::{Kind, Printable};

use super::{container::verbs, flags};
use crate::{
    error::CommandError,
    report::{
        self,
        inspect::{self, Form, Object},
        networks, volumes,
    },
    ui::Ui,
};

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
    if !args.kind.is_empty() && !KINDS.contains(&format!("{:?}", args.kind)) {
        let text = format!("unknown type: {:?}: must be one of {KINDS}", args.kind);
        return Err(CommandError::plain(text, 1));
    }
    let form = Form::new(&args.format)?;
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    let engine = ui.engine()?;
    for name in &args.names {
        match args.find(engine, ui, name) {
            Ok(object) => found.push(object),
            Err(error) => errors.extend(error.text()),
        }
    }
    let text = form.show(&found, &mut errors);
    finish(ui, text, errors)
}

impl Args {
    /// Finds an object of the kind asked for, or of the first kind that has one of the name.
    fn find(&self, engine: &Engine, ui: &Ui, name: &str) -> Result<Object, CommandError> {
        match self.kind.as_str() {
            "container" => return container(ui, name, self.size),
            "image" => return self.image(engine, ui, name).map_err(CommandError::from),
            "network" => return network(ui, name),
            "volume" => return volume(ui, name),
            "" => {}
            kind => {
                let text = format!("Error: No such {kind}: {}", Printable(name));
                return Err(CommandError::plain(text, 1));
            }
        }
        match container(ui, name, self.size) {
            Err(error) if error.is_missing() => {}
            found => return found,
        }
        match self.image(engine, ui, name) {
            Err(error) if error.kind() == Kind::NotFound => {}
            found => return found.map_err(CommandError::from),
        }
        for find in [network, volume] {
            match find(ui, name) {
                Err(error) if error.is_missing() => {}
                found => return found,
            }
        }
        Err(CommandError::plain(format!("Error: No such object: {}", Printable(name)), 1))
    }

    fn image(&self, engine: &Engine, ui: &Ui, name: &str) -> Result<Object, EngineError> {
        let facts = engine.inspect(name, None)?;
        if self.size {
            ui.complain("WARNING: --size ignored for image");
        }
        Ok(inspect::image(&facts))
    }
}

fn container(ui: &Ui, name: &str, size: bool) -> Result<Object, CommandError> {
    Ok(report::container::object(&verbs::inspect(ui, name, size)?))
}

fn network(ui: &Ui, name: &str) -> Result<Object, CommandError> {
    Ok(networks::object(&verbs::inspect_network(ui, name)?))
}

fn volume(ui: &Ui, name: &str) -> Result<Object, CommandError> {
    Ok(volumes::object(&verbs::inspect_volume(ui, name)?))
}

/// Prints what was found, and then what was not.
pub(crate) fn finish(ui: &Ui, text: String, errors: Vec<String>) -> Result<(), CommandError> {
    ui.text(&text)?;
    if errors.is_empty() { Ok(()) } else { Err(CommandError::plain(errors.join("\n"), 1)) }
}
