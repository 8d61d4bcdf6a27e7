//! Work for a process with one thread: done here, or sent to this binary in a role.
//!
//! The role's standard input is a channel. One message brings the order (as a file, for it may be
//! long) and the three streams; one brings the answer back, with the terminal.

use std::{
    borrow::Cow,
    io::{self, Read as _, Seek as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    process,
};

use rustix::{fs::MemfdFlags, process::Pid, process::WaitOptions};
use serde::{Deserialize, Serialize};

use super::{create, exec, foreign, program};
use crate::{
    cgroup::Unenforced,
    oci::{OciError, Process, StartFailure, Status, Stdio, io_error, terminal},
};

/// Most bytes of an order: a process with all its environment.
const ORDER_BYTES_MAX: u64 = 64 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) state_dir: PathBuf,
    pub(super) id: String,
    pub(super) work: Work,
    pub(super) terminal: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Work {
    Create {
        bundle: PathBuf,
    },
    Exec {
        process: Box<Process>,
    },
    /// Becoming an installed runtime, in a mount namespace where it finds groups of version 2.
    Foreign {
        program: PathBuf,
        arguments: Vec<String>,
    },
}

/// What came of an order.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) pid: i32,
    pub(super) terminal: Option<OwnedFd>,
    pub(super) unenforced: Vec<Unenforced>,
}

/// An order that failed. The process that was to run may be waited for.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) pid: Option<i32>,
    pub(super) error: OciError,
}

impl From<OciError> for Failed {
    fn from(error: OciError) -> Self {
        Self { pid: None, error }
    }
}

/// The answer of a role.
#[derive(Serialize, Deserialize)]
enum Answer {
    Done { pid: i32, unenforced: Vec<Unenforced> },
    Failed { pid: Option<i32>, error: Refusal },
}

/// An error on its way between processes.
#[derive(Serialize, Deserialize)]
enum Refusal {
    Create(StartFailure),
    Exec(StartFailure),
    NotFound(String),
    Exists(String),
    State { id: String, state: Status },
    Config(String),
    Io { action: String, path: PathBuf, code: i32, text: String },
    Vanished,
}

impl Order {
    /// Does the work in the role: the new process becomes a child of this process's parent, who
    /// asked for it.
    fn run(self, stdio: Stdio) -> Result<Done, Failed> {
        match self.work {
            Work::Create { bundle } => {
                let config = create::read_config(&bundle)?;
                create::run((&self.state_dir, &self.id), &bundle, config, stdio, true)
            }
            Work::Exec { process } => exec::run(&self.state_dir, &self.id, *process, stdio),
            Work::Foreign { program, arguments } => {
                Err(foreign::become_runtime(&program, &arguments, stdio).into())
            }
        }
    }

    /// Has `program` do the work in a role.
    pub(super) fn send(self, program: &Path, stdio: Stdio) -> Result<Done, OciError> {
        let (answer, terminal) =
            self.ask(program, stdio).map_err(io_error("start", "the helper process"))?;
        if answer.is_empty() {
            return Err(OciError::Vanished);
        }
        let answer = serde_json::from_slice(&answer).map_err(io::Error::other);
        match answer.map_err(io_error("understand", "the helper process"))? {
            Answer::Done { pid, unenforced } => Ok(Done { pid, terminal, unenforced }),
            Answer::Failed { pid, error } => {
                reap(pid);
                Err(error.into())
            }
        }
    }

    fn ask(self, program: &Path, stdio: Stdio) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
        let (mut child, channel) = self.start(program, stdio)?;
        let answer = terminal::receive(&channel);
        if answer.is_err() {
            child.kill()?;
        }
        child.wait()?;
        let (answer, terminal) = answer?;
        Ok((answer, terminal.into_iter().next()))
    }

    /// Starts `program` in a role with this order.
    pub(super) fn start(
        self,
        program: &Path,
        stdio: Stdio,
    ) -> io::Result<(process::Child, OwnedFd)> {
        let (ours, theirs) = terminal::channel()?;
        let mut text = std::fs::File::from(rustix::fs::memfd_create("order", MemfdFlags::CLOEXEC)?);
        text.write_all(&serde_json::to_vec(&self)?)?;
        text.rewind()?;
        let mut fds: Vec<OwnedFd> = vec![text.into()];
        if let Stdio::Descriptors { input, output, error } = stdio {
            fds.extend([input, output, error]);
        }
        let (mut command, _view) = program::command(program)?;
        let mut child = command
            .stdin(theirs)
            .stdout(process::Stdio::null())
            .stderr(process::Stdio::null())
            .current_dir("/")
            .spawn()?;
        // The command holds the other end; without it, a dead child is noticed.
        drop(command);
        let borrowed: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        if let Err(error) = terminal::send(&ours, b"order", &borrowed) {
            child.kill()?;
            child.wait()?;
            return Err(error);
        }
        Ok((child, ours))
    }
}

/// Waits for a process of ours that is about to end.
pub(super) fn reap(pid: Option<i32>) {
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
    }
}

/// Plays the role: one order from standard input, one answer.
pub(crate) fn serve() -> io::Result<()> {
    let channel = rustix::stdio::stdin().try_clone_to_owned()?;
    let (_, fds) = terminal::receive(&channel)?;
    let mut fds = fds.into_iter();
    let text = fds.next().ok_or_else(|| io::Error::other("there is no order"))?;
    let mut order = Vec::new();
    std::fs::File::from(text).take(ORDER_BYTES_MAX).read_to_end(&mut order)?;
    let order: Order = serde_json::from_slice(&order)?;
    let stdio = match (order.terminal, fds.next(), fds.next(), fds.next()) {
        (true, ..) => Stdio::Terminal,
        (false, Some(input), Some(output), Some(error)) => {
            Stdio::Descriptors { input, output, error }
        }
        _ => return Err(io::Error::other("there are no streams")),
    };
    let (answer, terminal) = match order.run(stdio) {
        Ok(done) => (Answer::Done { pid: done.pid, unenforced: done.unenforced }, done.terminal),
        Err(failed) => (Answer::Failed { pid: failed.pid, error: failed.error.into() }, None),
    };
    let terminal: Vec<_> = terminal.iter().map(|fd| fd.as_fd()).collect();
    terminal::send(&channel, &serde_json::to_vec(&answer)?, &terminal)
}

impl From<OciError> for Refusal {
    fn from(error: OciError) -> Self {
        match error {
            OciError::Create(failure) => Refusal::Create(failure),
            OciError::Exec(failure) => Refusal::Exec(failure),
            OciError::NotFound(id) => Refusal::NotFound(id),
            OciError::Exists(id) => Refusal::Exists(id),
            OciError::State { id, state } => Refusal::State { id, state },
            OciError::Config(text) => Refusal::Config(text),
            OciError::Io { action, path, source } => Refusal::Io {
                action: action.into_owned(),
                path,
                code: source.raw_os_error().unwrap_or_default(),
                text: source.to_string(),
            },
            OciError::Foreign { message, .. } => Refusal::Config(message),
            OciError::Vanished => Refusal::Vanished,
        }
    }
}

impl From<Refusal> for OciError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Create(failure) => OciError::Create(failure),
            Refusal::Exec(failure) => OciError::Exec(failure),
            Refusal::NotFound(id) => OciError::NotFound(id),
            Refusal::Exists(id) => OciError::Exists(id),
            Refusal::State { id, state } => OciError::State { id, state },
            Refusal::Config(text) => OciError::Config(text),
            Refusal::Io { action, path, code, text } => {
                let source = match code {
                    0 => io::Error::other(text),
                    code => io::Error::from_raw_os_error(code),
                };
                OciError::Io { action: Cow::Owned(action), path, source }
            }
            Refusal::Vanished => OciError::Vanished,
        }
    }
}
