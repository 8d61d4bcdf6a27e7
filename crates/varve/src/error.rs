//! Errors as they are shown.

use std::{error::Error, fmt::Write as _, io, path::Path};

use varve_engine::{Error as EngineError, Origin, go_io_text};
use varve_types::Kind;

use crate::format::template::print;

/// What stands before the words of what would be Docker's daemon.
const DAEMON: &str = "Error response from daemon: ";

/// Why a command ends with a code other than 0.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// A text to print as it is, because Docker has it so.
    Plain { text: String, code: u8, kind: Option<Kind> },
    /// An error that Docker has no words for: printed with its causes and a hint.
    Own { error: Box<dyn Error>, hint: Option<String> },
    /// Everything was said already.
    Said { code: u8 },
    /// Standard output cannot be written.
    Output(io::Error),
}

impl CommandError {
    /// A text to print as it is.
    pub(crate) fn plain(text: impl Into<String>, code: u8) -> Self {
        Self::Plain { text: text.into(), code, kind: None }
    }

    /// Docker's words for a failure of what would be its daemon.
    pub(crate) fn daemon(text: impl std::fmt::Display) -> Self {
        Self::plain(format!("{DAEMON}{text}"), 1)
    }

    /// Whether it says that there is no such container, image, volume or network.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Plain { kind: Some(Kind::NotFound), .. })
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Plain { code, .. } | Self::Said { code } => *code,
            // As if the signal had ended us, which is what other programs leave to happen.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 141,
            Self::Own { .. } | Self::Output(_) => 1,
        }
    }

    /// What to print on standard error, if anything.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Plain { text, .. } => Some(safe(text)),
            Self::Said { .. } => None,
            Self::Own { error, hint } => {
                let mut text = format!("error: {error}");
                let mut cause = error.source();
                while let Some(error) = cause {
                    let _ = write!(text, "\n  caused by: {error}");
                    cause = error.source();
                }
                if let Some(hint) = hint {
                    let _ = write!(text, "\nhint: {hint}");
                }
                Some(safe(&text))
            }
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Output(error) => Some(format!("error: cannot write to standard output: {error}")),
        }
    }
}

impl From<EngineError> for CommandError {
    fn from(error: EngineError) -> Self {
        let kind = Some(error.kind());
        let plain = |text: String| Self::Plain { text, code: 1, kind };
        match error.origin() {
            Origin::Client | Origin::Stream => plain(error.to_string()),
            Origin::Daemon => plain(format!("{DAEMON}{error}")),
            Origin::Varve => Self::Own { hint: error.hint(), error: Box::new(error) },
        }
    }
}

/// Makes a message safe to show: it may quote what a registry or an archive said.
fn safe(text: &str) -> String {
    print::lines(text)
}

/// What the system said about a file, as Go puts it: `open x: no such file or directory`.
pub(crate) fn go_text(action: &str, path: &Path, error: &io::Error) -> String {
    format!("{action} {}: {}", path.display(), go_io_text(error))
}

/// The error about a file that the user named.
pub(crate) fn of_file(action: &str, path: &Path, error: &io::Error) -> CommandError {
    CommandError::plain(go_text(action, path, error), 1)
}
