//! `varve rmi`

use varve_engine::Remove;
use varve_types::Kind;

use super::flags;
use crate::{error::CommandError, report::removal, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE [IMAGE...]";
pub(crate) const NAMES: &str = "varve image rm, varve image remove, varve rmi";

/// Remove one or more images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,

    /// Do not delete untagged parents
    #[arg(long = "no-prune")]
    no_prune: bool,

    /// Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long = "platform", value_name = "strings", action = clap::ArgAction::Append)]
    platforms: Vec<String>,

    #[arg(required = true, num_args = 1..)]
    images: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let mut platforms = Vec::new();
    for text in args.platforms.iter().flat_map(|list| list.split(',')) {
        platforms.extend(flags::platform(Some(text))?);
    }
    let engine = ui.engine()?;
    let (mut errors, mut fatal) = (Vec::new(), false);
    for image in &args.images {
        if image.is_empty() {
            errors.push("Error response from daemon: page not found".to_owned());
            continue;
        }
        let request =
            Remove { image, force: args.force, keep_parents: args.no_prune, platforms: &platforms };
        match engine.remove(&request) {
            Ok(removed) => ui.text(&removal::removed(&removed))?,
            Err(error) => {
                fatal |= error.kind() != Kind::NotFound;
                errors.extend(CommandError::from(error).text());
            }
        }
    }
    engine.empty_trash(&std::env::var_os("PATH").unwrap_or_default())?;
    if errors.is_empty() {
        return Ok(());
    }
    let text = errors.join("\n");
    if args.force && !fatal {
        // By force, what is not there counts as removed.
        ui.complain(text);
        return Ok(());
    }
    Err(CommandError::plain(text, 1))
}
