//! What a build leaves behind: names and digests in files, warnings, and errors with their lines.

use std::{error::Error as _, fmt::Write as _, fs, io, path::Path};

use serde_json::{Map, Value};
use varve_engine::{
    Engine, Error as EngineError, Origin,
    build::{BuildError, BuildPhase, Built, BuiltImage, summary},
    go_io_text,
};
use varve_types::{Digest, Printable};

use super::{Args, refused};
use crate::{
    build_progress::Form,
    error::{self, CommandError},
    format::template::print,
    interrupt::Interrupts,
    ui::Ui,
};

/// Tells what came of a build.
pub(crate) fn finish(
    ui: &Ui,
    args: &Args,
    form: &Form,
    interrupts: &Interrupts,
    built: Result<Built, BuildError>,
) -> Result<(), CommandError> {
    let built = match built {
        Ok(built) => built,
        Err(error) => return Err(failed(ui, form, interrupts, &error)),
    };
    if let Some(image) = &built.image {
        if let Some(path) = &args.iidfile {
            write(path, image.id.to_string().as_bytes())?;
        }
        if matches!(form, Form::Quiet) {
            ui.line(image.id)?;
            ui.flush()?;
        }
    }
    if let Some(path) = &args.metadata_file {
        write(path, metadata(ui, built.image.as_ref()).as_bytes())?;
    }
    warn(ui, form, &built.warnings);
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    fs::write(path, bytes).map_err(|error| refused(error::go_text("open", path, &error)))
}

/// The yellow list at the end, where lines are shown.
fn warn(ui: &Ui, form: &Form, warnings: &[varve_engine::build::Warning]) {
    if matches!(form, Form::Plain | Form::Tty(_))
        && let Some(text) = summary(warnings)
    {
        let _ = ui.flush();
        ui.complain(text.trim_end_matches('\n'));
    }
}

/// What docker writes of an error: the lines that are to blame, and why.
pub(crate) fn failed(
    ui: &Ui,
    form: &Form,
    interrupts: &Interrupts,
    error: &BuildError,
) -> CommandError {
    warn(ui, form, &error.warnings);
    if interrupts.has_come() {
        let text = "ERROR: failed to solve: Canceled: context canceled";
        return CommandError::plain(text, INTERRUPTED);
    }
    let mut text = String::new();
    if let Some(excerpt) = &error.excerpt {
        // It has tabs, and has been made safe.
        text += &excerpt.to_string();
    }
    let lead = match error.phase {
        BuildPhase::Solve => "failed to solve: ",
        BuildPhase::Push => "",
    };
    let _ = write!(text, "ERROR: {lead}{}", print::lines(&error.to_string()));
    let own = error.cause.downcast_ref::<EngineError>();
    if let Some(own) = own.filter(|error| error.origin() == Origin::Varve) {
        // Not one of docker's errors: what is behind it is not in its text.
        let mut cause = own.source();
        while let Some(error) = cause {
            let _ = write!(text, "\n  caused by: {}", print::lines(&error.to_string()));
            cause = error.source();
        }
        text.extend(own.hint().map(|hint| format!("\nhint: {hint}")));
    }
    if own.is_none()
        && let Some(reason) = unsaid(error, &text)
    {
        let _ = write!(text, "\n  caused by: {}", print::lines(&reason.to_string()));
    }
    ui.complain(text);
    CommandError::Said { code: 1 }
}

/// What the system said, where an error keeps it to itself. Docker's own texts say it.
fn unsaid<'a>(error: &'a BuildError, text: &str) -> Option<&'a io::Error> {
    let mut cause = error.cause.source();
    while let Some(error) = cause {
        if let Some(said) = error.downcast_ref::<io::Error>() {
            return (!text.contains(&go_io_text(said))).then_some(said);
        }
        cause = error.source();
    }
    None
}

/// Tells whether two builds gave the same, and if not, which file differs first.
pub(crate) fn verify(
    ui: &Ui,
    engine: &Engine,
    first: &Built,
    second: &Built,
) -> Result<(), CommandError> {
    let (Some(first), Some(second)) = (&first.image, &second.image) else {
        return Err(refused("--verify compares images, and none was made"));
    };
    if first.id == second.id {
        ui.complain(format_args!("Both builds gave {}", first.id));
        return Ok(());
    }
    let found = engine.compare(&first.id.to_string(), &second.id.to_string(), None)?;
    let what = match found.first() {
        Some(file) => {
            let path = String::from_utf8_lossy(&file.path);
            let how = match file.aspects.as_slice() {
                [] => file.kind.to_owned(),
                aspects => aspects.join(", "),
            };
            format!("{} ({how})", Printable(&path))
        }
        None => "no file, but config or history".to_owned(),
    };
    let text = format!("the second build gave {}, not {}: {what} differs", second.id, first.id);
    Err(refused(text))
}

/// As if the signal had ended the program.
const INTERRUPTED: u8 = 130;

/// The members that docker's builder writes, sorted.
fn metadata(ui: &Ui, image: Option<&BuiltImage>) -> String {
    let mut members = Map::new();
    members.insert("buildx.build.ref".into(), format!("default/default/{}", build_id(ui)).into());
    if let Some(image) = image {
        members.insert("containerimage.config.digest".into(), image.id.to_string().into());
        // Of an image that is in no registry, docker tells the ID.
        let digest = image.pushed.unwrap_or(image.id.0);
        members.insert("containerimage.digest".into(), digest.to_string().into());
        let names: Vec<String> = image.names.iter().map(ToString::to_string).collect();
        if !names.is_empty() {
            members.insert("image.name".into(), names.join(",").into());
        }
    }
    serde_json::to_string_pretty(&Value::Object(members)).unwrap_or_default()
}

/// 25 letters and digits that no other build has.
fn build_id(ui: &Ui) -> String {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let seed = format!("{} {}", ui.now(), std::process::id());
    let digest = Digest::of(seed.as_bytes()).hex();
    let letter = |pair: &[u8]| {
        let byte = std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok());
        char::from(LETTERS[usize::from(byte.unwrap_or_default()) % LETTERS.len()])
    };
    digest.as_bytes().chunks(2).take(25).map(letter).collect()
}
