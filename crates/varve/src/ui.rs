//! Standard output, standard error and the terminal.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    path::Path,
    process::ExitCode,
    sync::{Mutex, MutexGuard, OnceLock},
};

use jiff::tz::TimeZone;
use varve_engine::{
    BackendKind, Engine, Registries, StoreOptions,
    rootless::{self, Membership},
};
use varve_types::{Clock, Ctx, Environment, Progress, container::parse_size};

use crate::{
    commands::{flags, privileges::Need},
    error::CommandError,
    format::template::print,
    process::{self, SystemClock},
    user::User,
};

/// Bytes of an answer to a question.
const ANSWER_SIZE_BYTES_MAX: u64 = 4096;

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
    engine: OnceLock<Engine>,
    user: User,
    membership: Option<Membership>,
}

impl Ui {
    pub(crate) fn new(environment: Environment, globals: crate::commands::Globals) -> Self {
        let user = User::of_this_process(&environment);
        Self {
            out: Mutex::new(io::BufWriter::with_capacity(1 << 16, io::stdout())),
            environment,
            clock: SystemClock,
            globals,
            engine: OnceLock::new(),
            user,
            membership: None,
        }
    }

    /// Who runs this.
    pub(crate) fn user(&self) -> User {
        self.user
    }

    /// Enters the namespace in which a user without privileges is root, if there is need. No thread may
    /// exist yet.
    pub(crate) fn enter_namespace(&mut self, need: Need) -> Result<(), CommandError> {
        if need == Need::Nothing {
            return Ok(());
        }
        let run = process::run_root(&self.environment, self.user);
        match self.user.enter(&run) {
            Err(error) if need == Need::IfPossible && rootless::is_refused(&error) => {}
            entered => self.membership = entered?,
        }
        Ok(())
    }

    /// Fails for a user without privileges who may not write to the store. To be asked before their
    /// namespace is entered.
    pub(crate) fn may_write(&self) -> Result<(), CommandError> {
        match self.user {
            User::Plain { is_inside: false, .. } => Ok(rootless::may_write(&self.root())?),
            User::Root | User::Plain { is_inside: true, .. } => Ok(()),
        }
    }

    /// What makes this process one of those in the user's namespace, if it entered.
    pub(crate) fn membership(&self) -> Option<&Membership> {
        self.membership.as_ref()
    }

    /// What stands before the command on the line.
    pub(crate) fn globals(&self) -> &crate::commands::Globals {
        &self.globals
    }

    /// The environment variables.
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

    /// What the engine is handed when nobody is told how it goes on.
    pub(crate) fn silent(&self) -> Ctx<'_> {
        self.ctx(&varve_types::Silent)
    }

    /// The engine on the store, which is opened when it is first asked for.
    pub(crate) fn engine(&self) -> Result<&Engine, CommandError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let options = StoreOptions {
            run: Some(process::run_root(&self.environment, self.user)),
            backend: self.backend()?,
            cache_mounts_size_bytes_max: self.cache_mounts_size_bytes_max()?,
            emptier: Some(varve_engine::container::role::start_emptier),
        };
        let engine = Engine::open_with(&self.root(), options, self.registries()?)?;
        Ok(self.engine.get_or_init(|| engine))
    }

    /// The store's directory.
    fn root(&self) -> std::path::PathBuf {
        let given = flags::given(self.globals.root.as_ref());
        process::store_root(&self.environment, self.user, given)
    }

    /// Makes a store openable that is not, because its format file is no number.
    pub(crate) fn restore_store_format(&self) -> Result<(), CommandError> {
        varve_engine::check::restore_format(&self.root())?;
        Ok(())
    }

    /// How layers are to be shown; `None`: as is best.
    fn backend(&self) -> Result<Option<BackendKind>, CommandError> {
        if let Some(given) = self.globals.storage_backend {
            return Ok(given.0);
        }
        let Some(text) = self.environment.get("VARVE_STORAGE_BACKEND") else { return Ok(None) };
        let wrong = |reason| {
            let text = format!("VARVE_STORAGE_BACKEND is \"{text}\": {reason}");
            CommandError::plain(text, 125)
        };
        Ok(flags::storage_backend(text).map_err(wrong)?.0)
    }

    /// Bytes that cache mounts of builds may take; `None`: as is usual.
    fn cache_mounts_size_bytes_max(&self) -> Result<Option<u64>, CommandError> {
        const NAME: &str = "VARVE_CACHE_MOUNTS_SIZE";
        let Some(text) = self.environment.get(NAME) else { return Ok(None) };
        let size_bytes = parse_size(text)
            .map_err(|error| CommandError::plain(format!("{NAME} is \"{text}\": {error}"), 125))?;
        Ok(Some(size_bytes.unsigned_abs()))
    }

    /// The registries as the user reaches them.
    pub(crate) fn registries(&self) -> Result<Registries, CommandError> {
        let config = self.globals.config.as_deref().map(Path::new);
        let (registries, warning) = Registries::load(&self.environment, config)?;
        if let Some(warning) = warning {
            self.complain(format_args!("WARNING: {}", print::lines(&warning)));
        }
        Ok(registries)
    }

    /// Asks whether to go on. Everything but `y` and `Y` means no.
    pub(crate) fn confirm(&self, warning: &str) -> Result<bool, CommandError> {
        self.text(&format!("{warning}Are you sure you want to continue? [y/N] "))?;
        self.flush()?;
        let mut answer = String::new();
        let limited = io::stdin().lock().take(ANSWER_SIZE_BYTES_MAX);
        // Input that cannot be read is no answer.
        let _ = io::BufReader::new(limited).read_line(&mut answer);
        Ok(matches!(answer.trim(), "y" | "Y"))
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

/// The zone in which times are shown.
pub(crate) fn zone() -> TimeZone {
    TimeZone::system()
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

/// Whether standard error is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Columns of the terminal on standard output, now.
pub(crate) fn width() -> usize {
    columns(io::stdout()).unwrap_or(WIDTH_DEFAULT)
}

/// Columns that help is wrapped at: those of the terminal that is typed on, as Docker has it.
pub(crate) fn help_width() -> usize {
    columns(io::stdin()).unwrap_or(WIDTH_DEFAULT)
}

/// Rows and columns of the terminal on standard output; zeros when it is none.
pub(crate) fn console_size() -> [u32; 2] {
    rustix::termios::tcgetwinsize(io::stdout())
        .map_or([0, 0], |size| [size.ws_row.into(), size.ws_col.into()])
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
    let written = if stray {
        io::stderr().write_all(text.as_bytes())
    } else {
        io::stdout().write_all(text.as_bytes())
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
