//! Why a container could not be made, started or reached.

use std::{borrow::Cow, io, path::PathBuf};

use serde::{Deserialize, Serialize};
use varve_types::{Kind, Printable, container::start_exit_code};

/// Why a runtime did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The process of a new container could not be started; nothing of it is left.
    #[error("cannot start the container's process: {0}")]
    Create(StartFailure),

    /// A further process could not be started in a running container.
    #[error("cannot start a process in the container: {0}")]
    Exec(StartFailure),

    /// There is no container of this name.
    #[error("container {} does not exist", Printable(.0))]
    NotFound(String),

    /// There is one already.
    #[error("container {} exists already", Printable(.0))]
    Exists(String),

    /// The container is not in the state that this needs.
    #[error("container {} is {state}", Printable(.id))]
    State {
        /// Which.
        id: String,
        /// What it is.
        state: Status,
    },

    /// `config.json` is not what the runtime specification asks for, or asks for what is not done.
    #[error("the container's configuration is not usable: {0}")]
    Config(String),

    /// The kernel refused. `action` is a verb with its object.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// Such as "read" or "create".
        action: Cow<'static, str>,
        /// What was touched.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// An installed runtime failed in a way that has no name here. `message` is what it said.
    #[error("{} failed: {}", Printable(.program), Printable(.message))]
    Foreign {
        /// The runtime.
        program: String,
        /// Its words.
        message: String,
    },

    /// The runtime's own helper process ended without an answer.
    #[error("the process that was to start the container ended early")]
    Vanished,
}

/// Why a process could not be started, in runc's words, which docker shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum StartFailure {
    /// No directory of `PATH` has the program.
    #[error("exec: {0:?}: executable file not found in $PATH")]
    NotInPath(String),
    /// The program was given as a path, and nothing is there.
    #[error("exec: {0:?}: stat {0}: no such file or directory")]
    NoSuchFile(String),
    /// It may not be executed.
    #[error("exec: {0:?}: permission denied")]
    NotExecutable(String),
    /// It is a directory.
    #[error("exec: {0:?}: is a directory")]
    IsDirectory(String),
    /// The working directory cannot be entered.
    #[error("chdir to cwd ({cwd:?}) set in config.json failed: {why}")]
    Cwd {
        /// The directory.
        cwd: String,
        /// Why not.
        why: String,
    },
    /// The working directory lies outside of the container's root.
    #[error(
        "current working directory is outside of container mount namespace root -- possible container breakout detected"
    )]
    CwdOutside,
    /// A mount could not be made.
    #[error(
        "error during container init: error mounting {source_path:?} to rootfs at {destination:?}: {why}"
    )]
    Mount {
        /// What.
        source_path: String,
        /// Where.
        destination: String,
        /// Why not.
        why: String,
    },
    /// Anything else on the way to the program.
    #[error("error during container init: {0}")]
    Init(String),
    /// An installed runtime's words that have no form of their own here.
    #[error("{0}")]
    Other(String),
}

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything is there but the program does not run yet.
    Created,
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

impl StartFailure {
    /// Exit code of `docker run`: 127 for a command that is not there, 126 for one that cannot be
    /// executed, else 125 … but docker goes by the text, so that any missing file gives 127.
    pub fn exit_code(&self) -> i32 {
        start_exit_code(&self.to_string()).into()
    }

    /// What docker puts behind the reason.
    fn tail(&self) -> &'static str {
        match self {
            StartFailure::IsDirectory(_) => ": unknown: permission denied",
            _ => ": unknown",
        }
    }
}

impl OciError {
    /// Classifies the error for exit codes and retry decisions.
    pub fn kind(&self) -> Kind {
        match self {
            OciError::Create(_) | OciError::Exec(_) | OciError::Config(_) => Kind::Invalid,
            OciError::NotFound(_) => Kind::NotFound,
            OciError::Exists(_) | OciError::State { .. } => Kind::Conflict,
            OciError::Io { .. } | OciError::Foreign { .. } | OciError::Vanished => Kind::Internal,
        }
    }

    /// What docker's daemon says of it, without `Error response from daemon: `.
    pub fn docker_text(&self) -> String {
        match self {
            OciError::Create(failure) => format!(
                "failed to create task for container: failed to create shim task: OCI runtime \
                 create failed: runc create failed: unable to start container process: {failure}{}",
                failure.tail()
            ),
            OciError::Exec(failure) => format!(
                "OCI runtime exec failed: exec failed: unable to start container process: \
                 {failure}{}",
                failure.tail()
            ),
            other => {
                let mut text = other.to_string();
                let mut cause = std::error::Error::source(other);
                while let Some(error) = cause {
                    text = format!("{text}: {error}");
                    cause = error.source();
                }
                text
            }
        }
    }

    /// Exit code of `docker run` (for [`OciError::Create`]) and `docker exec` of engine 26, which
    /// answers 126 for every process that could not be started.
    pub fn exit_code(&self) -> i32 {
        match self {
            OciError::Create(failure) => failure.exit_code(),
            OciError::Exec(_) => 126,
            _ => 125,
        }
    }
}

/// The system's answer as Go programs write it: `no such file or directory`.
pub(crate) fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain([second]).chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_read_as_docker_writes_them() {
        let create = |failure| OciError::Create(failure);
        let missing = create(StartFailure::NotInPath("nosuchcmd".to_owned()));
        assert_eq!(
            missing.docker_text(),
            "failed to create task for container: failed to create shim task: OCI runtime create \
             failed: runc create failed: unable to start container process: exec: \"nosuchcmd\": \
             executable file not found in $PATH: unknown"
        );
        let codes = [
            (StartFailure::NotInPath(String::new()), 127),
            (StartFailure::NoSuchFile("./nope".to_owned()), 127),
            (StartFailure::NotExecutable("/etc/passwd".to_owned()), 126),
            (StartFailure::IsDirectory("/tmp".to_owned()), 126),
            (StartFailure::Init("x: operation not permitted".to_owned()), 125),
        ];
        for (failure, code) in codes {
            assert_eq!(create(failure.clone()).exit_code(), code, "{failure}");
            assert_eq!(OciError::Exec(failure).exit_code(), 126);
        }
        let directory = OciError::Exec(StartFailure::IsDirectory("/etc".to_owned()));
        assert_eq!(
            directory.docker_text(),
            "OCI runtime exec failed: exec failed: unable to start container process: exec: \
             \"/etc\": is a directory: unknown: permission denied"
        );
        let text = errno_text(&io::Error::from_raw_os_error(2));
        assert_eq!(text, "no such file or directory");
    }
}
