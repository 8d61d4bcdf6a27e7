//! `varve cp`

use super::verbs::{self, Copy};
use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str =
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tvarve cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH";
pub(crate) const NAMES: &str = "varve container cp, varve cp";

/// Copy files/folders between a container and the local filesystem
///
/// Use '-' as the source to read a tar archive from stdin
/// and extract it to a directory destination in a container.
/// Use '-' as the destination to stream a tar archive of a
/// container source to stdout.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,

    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,

    #[arg(short, long)]
    #[arg(
        help = "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached"
    )]
    quiet: bool,

    #[arg(required = true)]
    source: String,

    #[arg(required = true)]
    destination: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let wrong = |text: &str| Err(CommandError::plain(text, 1));
    if args.source.is_empty() {
        return wrong("source can not be empty");
    }
    if args.destination.is_empty() {
        return wrong("destination can not be empty");
    }
    let request = Copy {
        archive: args.archive,
        follow_link: args.follow_link,
        // Docker shows its progress on a terminal only.
        progress: !args.quiet && crate::ui::stdout_is_terminal(),
    };
    match (place(&args.source), place(&args.destination)) {
        (Place::Container(container, path), Place::Here(destination)) => {
            verbs::copy_from(ui, container, path, destination, request)
        }
        (Place::Here(source), Place::Container(container, path)) => {
            verbs::copy_to(ui, source, container, path, request)
        }
        (Place::Container(..), Place::Container(..)) => {
            wrong("copying between containers is not supported")
        }
        (Place::Here(_), Place::Here(_)) => wrong("must specify at least one container source"),
    }
}

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// A container and a path in it.
    Container(&'a str, &'a str),
    /// A path here, or `-` for a stream.
    Here(&'a str),
}

/// Reads one end. What begins like a path is one, colons or not.
fn place(text: &str) -> Place<'_> {
    if text.starts_with(['/', '.']) {
        return Place::Here(text);
    }
    match text.split_once(':') {
        Some((container, path)) if !container.is_empty() => Place::Container(container, path),
        _ => Place::Here(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_makes_a_container_unless_a_path_begins_before_it() {
        assert_eq!(place("web:/etc"), Place::Container("web", "/etc"));
        assert_eq!(place("web:"), Place::Container("web", ""));
        for here in ["-", "./a:b", "/a:b", "../a:b", "file", ":x"] {
            assert_eq!(place(here), Place::Here(here));
        }
    }
}
