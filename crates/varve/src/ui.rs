//! Standard output, standard error and the terminal.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    sync::{Mutex, MutexGuard},
};

use varve_types::{Clock, Ctx, Environment, Progress};

use crate::{error::CommandError, process::SystemClock};

/// Columns of a terminal that is none.
const WIDTH_DEFAULT: usize = 80;

/// What commands talk to the user through.
///
/// Data goes to standard output and is kept until [`Ui::flush`]; everything else goes to
/// standard error at once.
pub(crate) struct Ui {
    out: Mutex<io::BufWriter<io::Stdout>>,
    environment: Environment,
    clock: SystemClock,
    globals: crate::commands::Globals,
}

impl Ui {
    pub(crate) fn new(environment: Environment, globals: crate::commands::Globals) -> Self {
        Self {
            out: Mutex::new(io::BufWriter::with_capacity(1 << 16, io::stdout())),
            environment,
            clock: SystemClock,
            globals,
        }
    }

    /// What stands before the command on the line.
    pub(crate) fn globals(&self) -> &crate::commands::Globals {
        &self.globals
    }

    /// The environment variables, with `--config` as `DOCKER_CONFIG`.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The time now.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// What the engine is handed.
    pub(crate) fn ctx<'a>(&'a self, progress: &'a dyn Progress) -> Ctx<'a> {
        Ctx { progress, clock: &self.clock, environment: &self.environment }
    }

    /// Writes to standard output.
    pub(crate) fn text(&self, text: &str) -> Result<(), CommandError> {
        self.out().write_all(text.as_bytes()).map_err(CommandError::Output)
    }

    /// Writes a line to standard output.
    pub(crate) fn line(&self, text: impl std::fmt::Display) -> Result<(), CommandError> {
        writeln!(self.out(), "{text}").map_err(CommandError::Output)
    }

    /// Writes what is kept.
    pub(crate) fn flush(&self) -> Result<(), CommandError> {
        self.out().flush().map_err(CommandError::Output)
    }

    /// Writes a line to standard error, after what standard output was given before it.
    pub(crate) fn complain(&self, text: impl std::fmt::Display) {
        let _ = self.flush();
        complain(&text);
    }

    fn out(&self) -> MutexGuard<'_, io::BufWriter<io::Stdout>> {
        self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn complain(text: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard input is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Columns of the terminal on standard output, now.
pub(crate) fn width() -> usize {
    columns(io::stdout()).unwrap_or(WIDTH_DEFAULT)
}

/// Columns that help is wrapped at: those of the terminal that is typed on, as Docker has it.
pub(crate) fn help_width() -> usize {
    columns(io::stdin()).unwrap_or(WIDTH_DEFAULT)
}

fn columns(of: impl rustix::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(of).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Prints help: on standard output when it was asked for, else on standard error.
pub(crate) fn help(text: &str, stray: bool, warning: Option<&str>) -> ExitCode {
    if let Some(warning) = warning {
        complain(&warning);
    }
    let written = match stray {
        true => io::stderr().write_all(text.as_bytes()),
        false => io::stdout().write_all(text.as_bytes()),
    };
    written.map_or_else(|error| fail(&CommandError::Output(error)), |()| ExitCode::SUCCESS)
}

/// Prints what is wrong with the command line.
pub(crate) fn wrong(text: &str, code: u8) -> ExitCode {
    complain(&text);
    ExitCode::from(code)
}

/// Prints an error and gives its exit code.
pub(crate) fn fail(error: &CommandError) -> ExitCode {
    if let Some(text) = error.text() {
        complain(&text);
    }
    ExitCode::from(error.code())
}
