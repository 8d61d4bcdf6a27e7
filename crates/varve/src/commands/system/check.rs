//! `varve system check`

use varve_types::Printable;

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS]";

/// Verify layout, digests and references of the store
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only say by the exit code whether something is wrong
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let findings = ui.engine()?.check()?;
    if findings.is_empty() {
        return if args.quiet { Ok(()) } else { ui.line("The store is sound.") };
    }
    if !args.quiet {
        for finding in &findings {
            let path = finding.path.display().to_string();
            let affects = match finding.affects.as_slice() {
                [] => String::new(),
                names => format!(" (needed by {})", Printable(&names.join(", "))),
            };
            ui.line(format!("{}: {}{affects}", Printable(&path), Printable(&finding.problem)))?;
        }
    }
    Err(CommandError::Said { code: 1 })
}
