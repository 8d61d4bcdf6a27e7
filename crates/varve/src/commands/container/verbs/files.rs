//! What is in containers: files copied, compared, written out and made into images.

use std::io;

use varve_engine::{Copied, CopyIn, CopyOut, Error as EngineError};
use varve_types::{Printable, Reference, container::listing::Change};

use super::{Commit, Copy, Result};
use crate::{commands::output::Output, error::CommandError, format::units, ui::Ui};

/// Lists what a container has changed.
pub(crate) fn diff(ui: &Ui, name: &str) -> Result<Vec<Change>> {
    Ok(ui.engine()?.container_changes(name)?)
}

/// Writes a container's files as a tar.
pub(crate) fn export(ui: &Ui, name: &str, output: Output<'_>) -> Result<()> {
    output.write(
        ui,
        |engine| engine.prepare_container_export(name),
        |engine, container, output| engine.export_container(&ui.silent(), container, output),
    )
}

/// Makes an image of a container; gives its ID.
pub(crate) fn commit(ui: &Ui, request: &Commit<'_>) -> Result<String> {
    let reference = request.name.map(|name| {
        let parsed = name.parse::<Reference>();
        parsed.map_err(|error| CommandError::plain(error.to_string(), 1))
    });
    let reference = reference.transpose()?;
    let request = varve_engine::Commit {
        container: request.container,
        reference: reference.as_ref(),
        author: request.author,
        message: request.message,
        changes: request.changes,
        pause: request.pause,
    };
    Ok(ui.engine()?.commit(&ui.silent(), &request)?.to_string())
}

/// Copies out of a container, to a path here or `-` for a tar on standard output.
pub(crate) fn copy_from(ui: &Ui, name: &str, path: &str, to: &str, how: Copy) -> Result<()> {
    let request = CopyOut { container: name, path, follow_link: how.follow_link };
    let engine = ui.engine()?;
    if to == "-" {
        return match engine.copy_out_as_tar(&ui.silent(), request, &mut io::stdout()) {
            Err(EngineError::Output(error)) => Err(CommandError::Output(error)),
            copied => Ok(copied.map(drop)?),
        };
    }
    let copied = engine.copy_out(&ui.silent(), request, &from_here(to)?, how.archive)?;
    say(ui, copied, how, &from_here(to)?);
    Ok(())
}

/// Copies into a container, from a path here or `-` for a tar on standard input.
pub(crate) fn copy_to(ui: &Ui, from: &str, name: &str, path: &str, how: Copy) -> Result<()> {
    let request = CopyIn { container: name, path };
    let engine = ui.engine()?;
    let copied = if from == "-" {
        engine.copy_in_tar(&ui.silent(), &mut io::stdin(), request)?
    } else {
        engine.copy_in(&ui.silent(), &from_here(from)?, how.follow_link, request)?
    };
    say(ui, copied, how, &format!("{name}:{path}"));
    Ok(())
}

/// A path from the root, with the slash or dot at its end.
fn from_here(path: &str) -> Result<String> {
    if path.starts_with('/') {
        return Ok(path.to_owned());
    }
    let here = std::env::current_dir();
    let here = here.map_err(|error| CommandError::plain(format!("getwd: {error}"), 1))?;
    Ok(format!("{}/{path}", here.display()))
}

fn say(ui: &Ui, copied: Copied, how: Copy, to: &str) {
    if how.progress {
        let size = units::size(copied.size_bytes, 3);
        ui.complain(format_args!("Successfully copied {size} to {}", Printable(to)));
    }
}
