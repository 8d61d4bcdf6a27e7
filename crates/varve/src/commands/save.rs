//! `varve save`

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use varve_engine::{Engine, Error as EngineError, Save, save::Saving};

use super::flags;
use crate::{
    error::{self, CommandError},
    ui::{self, Ui},
};

pub(crate) const USAGE: &str = "[OPTIONS] IMAGE [IMAGE...]";
pub(crate) const NAMES: &str = "varve image save, varve save";

/// Save one or more images to a tar archive (streamed to STDOUT by default)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string", value_parser = flags::path)]
    output: Option<PathBuf>,

    /// Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,

    #[arg(required = true, num_args = 1..)]
    images: Vec<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let platform = flags::platform(args.platform.as_deref())?;
    let request = Save { images: &args.images, platform: platform.as_ref() };
    let Some(path) = flags::given(args.output.as_ref()) else {
        if ui::stdout_is_terminal() {
            let text = "cowardly refusing to save to a terminal. Use the -o flag or redirect";
            return Err(CommandError::plain(text, 1));
        }
        let engine = ui.engine()?;
        let saving = engine.prepare_save(&request)?;
        return write_to(&engine, &saving, &mut io::stdout().lock()).map_err(|error| match error {
            EngineError::Output(error) => CommandError::Output(error),
            other => other.into(),
        });
    };
    let in_place = check_output(path)?;
    let engine = ui.engine()?;
    let saving = engine.prepare_save(&request)?;
    if in_place {
        let mut file = fs::OpenOptions::new().write(true).open(path);
        let file = file.as_mut().map_err(|error| error::of_file("open", path, error))?;
        return write_to(&engine, &saving, file).map_err(|error| of_output(path, error));
    }
    write_beside(&engine, &saving, path)
}

/// To replace a link with the archive would surprise, and to follow it Docker refuses.
const LINK: &str = "cannot write to a symbolic link directly";

/// Refuses places that an archive cannot be written to. Says whether the file that is there is
/// not a plain one (a pipe), so that it must be written in place.
fn check_output(path: &Path) -> Result<bool, CommandError> {
    let refused = |text: String| CommandError::plain(format!("failed to save image: {text}"), 1);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder
        && let Err(error) = fs::metadata(folder)
    {
        let reason = error::go_text("stat", folder, &error);
        return Err(refused(format!("invalid output path: {reason}")));
    }
    let is_link = path.is_symlink();
    let Ok(facts) = fs::metadata(path) else {
        return if is_link { Err(refused(LINK.to_owned())) } else { Ok(false) };
    };
    let kind = facts.file_type();
    let reason = if kind.is_dir() {
        "cannot write to a directory"
    } else if kind.is_char_device() {
        "cannot write to a character device file"
    } else if kind.is_block_device() {
        "cannot write to a block device file"
    } else if kind.is_file() && is_link {
        LINK
    } else {
        return Ok(!kind.is_file());
    };
    Err(refused(reason.to_owned()))
}

/// Writes beside the file and puts the whole archive in its place, so that there is never half of one.
fn write_beside(engine: &Engine, saving: &Saving, path: &Path) -> Result<(), CommandError> {
    let beside = path.with_file_name(format!(".varve-save-{}.tmp", std::process::id()));
    let mut file = fs::OpenOptions::new();
    // An image may hold what is nobody else's business.
    let file = file.write(true).create_new(true).mode(0o600).open(&beside);
    let mut file = file.map_err(|error| error::of_file("open", path, &error))?;
    let written = write_to(engine, saving, &mut file);
    let written = written.map_err(|error| of_output(path, error)).and_then(|()| {
        let placed = file.sync_all().and_then(|()| fs::rename(&beside, path));
        placed.map_err(|error| error::of_file("write", path, &error))
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Names the file that could not be written.
fn of_output(path: &Path, error: EngineError) -> CommandError {
    match error {
        EngineError::Output(error) => error::of_file("write", path, &error),
        other => other.into(),
    }
}

fn write_to(
    engine: &Engine,
    saving: &Saving,
    output: &mut dyn io::Write,
) -> Result<(), EngineError> {
    let mut output = io::BufWriter::with_capacity(1 << 18, output);
    engine.save(saving, &mut output)?;
    output.flush().map_err(EngineError::Output)
}
