//! A user at a container: what commands that attach have in common.

mod talk;

use crate::{
    error::CommandError,
    ui::{self, Ui},
};

pub(crate) use talk::{Ended, Session};

/// How a command stays with a container.
#[derive(Debug, Clone)]
pub(crate) struct Attachment {
    /// The keys that leave it running, as typed (`ctrl-p,ctrl-q`); empty for the default.
    pub(crate) keys: String,
    /// Whether standard input goes to it.
    pub(crate) input: bool,
    /// Whether its standard output comes here.
    pub(crate) output: bool,
    /// Whether its standard error comes here.
    pub(crate) errors: bool,
    /// Whether signals that reach this process go to it.
    pub(crate) forwards_signals: bool,
}

/// The keys that leave a container running: the flag's, else those of the client's
/// configuration.
pub(crate) fn keys(ui: &Ui, flag: &str) -> String {
    if !flag.is_empty() {
        return flag.to_owned();
    }
    let config = ui.globals().config.as_deref();
    let path = crate::process::config_dir(ui.environment(), config).join("config.json");
    // A configuration that cannot be read is told of where registries are looked up.
    let config: serde_json::Value = std::fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    config["detachKeys"].as_str().unwrap_or_default().to_owned()
}

/// Refuses to give a terminal to a container whose input is none.
pub(crate) fn check_terminal(attaches_input: bool, tty: bool) -> Result<(), CommandError> {
    if attaches_input && tty && !ui::stdin_is_terminal() {
        return Err(CommandError::plain("the input device is not a TTY", 1));
    }
    Ok(())
}

/// Ends with the exit code of what ran.
pub(crate) fn exit(code: u8) -> Result<(), CommandError> {
    if code == 0 { Ok(()) } else { Err(CommandError::Said { code }) }
}
