//! Where an archive goes: to standard output, or to a file that is there whole or not at all.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
    sync::mpsc::{self, SyncSender},
    thread,
};

use varve_engine::{Engine, Error as EngineError};

use crate::{
    error::{self, CommandError},
    ui::{self, Ui},
};

/// To replace a link with the archive would surprise, and to follow it Docker refuses.
const LINK: &str = "cannot write to a symbolic link directly";

/// Bytes between two syncs of an archive that is being written.
const SYNC_SIZE_BYTES: usize = 32 << 20;

/// Where an archive goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output<'a> {
    /// The file; none is standard output.
    pub(crate) path: Option<&'a Path>,
    /// What fails when the file cannot be written: `save image`.
    pub(crate) action: &'static str,
}

impl Output<'_> {
    /// Writes what was prepared. Nothing is written when that fails.
    pub(crate) fn write<T>(
        self,
        ui: &Ui,
        prepare: impl FnOnce(&Engine) -> Result<T, EngineError>,
        write: impl FnOnce(&Engine, &T, &mut dyn Write) -> Result<(), EngineError>,
    ) -> Result<(), CommandError> {
        let write = |engine: &Engine, prepared: &T, output: &mut dyn Write| {
            let mut output = io::BufWriter::with_capacity(1 << 18, output);
            write(engine, prepared, &mut output)?;
            output.flush().map_err(EngineError::Output)
        };
        let Some(path) = self.path else {
            if ui::stdout_is_terminal() {
                let text = "cowardly refusing to save to a terminal. Use the -o flag or redirect";
                return Err(CommandError::plain(text, 1));
            }
            let engine = ui.engine()?;
            let prepared = prepare(engine)?;
            let written = write(engine, &prepared, &mut io::stdout().lock());
            return written.map_err(|error| match error {
                EngineError::Output(error) => CommandError::Output(error),
                other => other.into(),
            });
        };
        let in_place = self.check(path)?;
        let engine = ui.engine()?;
        let prepared = prepare(engine)?;
        if in_place {
            let mut file = fs::OpenOptions::new().write(true).open(path);
            let file = file.as_mut().map_err(|error| error::of_file("open", path, error))?;
            return write(engine, &prepared, file).map_err(|error| of_output(path, error));
        }
        write_beside(path, |file| write(engine, &prepared, file))
    }

    /// Refuses places that an archive cannot be written to. Says whether the file that is there
    /// is not a plain one (a pipe), so that it must be written in place.
    fn check(self, path: &Path) -> Result<bool, CommandError> {
        let refused =
            |text: String| CommandError::plain(format!("failed to {}: {text}", self.action), 1);
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
}

/// Writes beside the file and puts the whole archive in its place, so that there is never half of one.
fn write_beside(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), EngineError>,
) -> Result<(), CommandError> {
    let beside = path.with_file_name(format!(".varve-save-{}.tmp", std::process::id()));
    let mut file = fs::OpenOptions::new();
    // An image may hold what is nobody else's business.
    let file = file.write(true).create_new(true).mode(0o600).open(&beside);
    let mut file = file.map_err(|error| error::of_file("open", path, &error))?;
    let written = synced_as_it_grows(&mut file, write);
    let written = written.map_err(|error| of_output(path, error)).and_then(|()| {
        let placed = file.sync_all().and_then(|()| fs::rename(&beside, path));
        placed.map_err(|error| error::of_file("write", path, &error))
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Has the disk begin while there is more to come: what is to be waited for in the end is little.
fn synced_as_it_grows(
    file: &mut fs::File,
    write: impl FnOnce(&mut dyn Write) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let again = file.try_clone().map_err(EngineError::Output)?;
    thread::scope(|scope| {
        let (wake, woken) = mpsc::sync_channel::<()>(1);
        // An error is told once, to whoever syncs first.
        let syncing = scope.spawn(move || woken.iter().try_for_each(|()| again.sync_data()));
        let written = write(&mut Growing { file, since_sync: 0, wake });
        let synced = syncing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written.and_then(|()| synced.map_err(EngineError::Output))
    })
}

/// A file that asks for a sync of what it has from time to time.
struct Growing<'a> {
    file: &'a mut fs::File,
    since_sync: usize,
    wake: SyncSender<()>,
}

impl Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.since_sync += count;
        if self.since_sync >= SYNC_SIZE_BYTES {
            self.since_sync = 0;
            // A full channel means that it is about to sync anyway.
            let _ = self.wake.try_send(());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Names the file that could not be written.
fn of_output(path: &Path, error: EngineError) -> CommandError {
    match error {
        EngineError::Output(error) => error::of_file("write", path, &error),
        other => other.into(),
    }
}
