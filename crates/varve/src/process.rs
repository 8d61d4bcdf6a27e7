//! What the process is asked for once, at its start: arguments, environment, user, time.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use varve_types::{Clock, Environment};

use crate::{error::CommandError, user::User};

/// The clock of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// For tests, and in no program that users get: where the environment names a socket, whoever listens
/// there is asked before each call that changes the disk. Processes that this one starts ask too.
#[cfg(debug_assertions)]
pub(crate) fn ask_about_durable_calls() {
    if let Some(socket) = std::env::var_os("VARVE_TEST_DURABLE_CALLS") {
        varve_engine::observe(Box::new(varve_engine::AskedAbout::at(Path::new(&socket))));
    }
}

/// The command line without the program's name.
pub(crate) fn arguments() -> Result<Vec<String>, CommandError> {
    let utf8 = |argument: std::ffi::OsString| {
        argument.into_string().map_err(|argument| {
            CommandError::plain(format!("argument \"{}\" is not UTF-8", argument.display()), 125)
        })
    };
    std::env::args_os().skip(1).map(utf8).collect()
}

/// The environment variables that are UTF-8. Where `HOME` is not among them (cron, systemd), the
/// user database says what it would be.
pub(crate) fn environment() -> Environment {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let home = match std::env::var_os("HOME") {
        Some(_) => None,
        None => std::env::home_dir().and_then(|home| home.into_os_string().into_string().ok()),
    };
    Environment::new(variables.chain(home.map(|home| ("HOME".to_owned(), home))))
}

/// The directory of the client's configuration: `--config`, `DOCKER_CONFIG`, `~/.docker`.
pub(crate) fn config_dir(environment: &Environment, flag: Option<&str>) -> PathBuf {
    if let Some(given) = flag.or(environment.get("DOCKER_CONFIG")) {
        return PathBuf::from(given);
    }
    home(environment).join(".docker")
}

/// The directory of the store: `--root`, `VARVE_ROOT`, else by who runs this. Absolute: who watches
/// a container has another working directory.
pub(crate) fn store_root(environment: &Environment, user: User, flag: Option<&Path>) -> PathBuf {
    let given = flag.or_else(|| environment.get("VARVE_ROOT").map(Path::new));
    if let Some(given) = given {
        return absolute(given);
    }
    if user == User::Root {
        return PathBuf::from("/var/lib/varve");
    }
    match environment.get("XDG_DATA_HOME").filter(|dir| dir.starts_with('/')) {
        Some(dir) => Path::new(dir).join("varve"),
        None => home(environment).join(".local/share/varve"),
    }
}

/// Where run directories are: what is mounted, until the machine is restarted. Absolute. Without
/// `XDG_RUNTIME_DIR` the place that login managers make for a user; where there is none, one in
/// `/tmp`, of which is checked later that it is the user's.
pub(crate) fn run_root(environment: &Environment, user: User) -> PathBuf {
    if let Some(given) = environment.get("VARVE_RUN").filter(|given| !given.is_empty()) {
        return absolute(Path::new(given));
    }
    let User::Plain { uid, .. } = user else { return PathBuf::from("/run/varve") };
    if let Some(given) = environment.get("XDG_RUNTIME_DIR").filter(|dir| dir.starts_with('/')) {
        return Path::new(given).join("varve");
    }
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    if usual.is_dir() { usual.join("varve") } else { format!("/tmp/varve-run-{uid}").into() }
}

/// An empty path stays one, for the store to refuse.
fn absolute(given: &Path) -> PathBuf {
    std::path::absolute(given).unwrap_or_else(|_| given.to_owned())
}

fn home(environment: &Environment) -> PathBuf {
    PathBuf::from(environment.get("HOME").unwrap_or("/"))
}
