//! The process that watches one container: there is no daemon.
//!
//! A monitor is the binary executed again ([`Starter`], [`accept`]), or the foreground command
//! itself ([`Mode::Foreground`]). It has one thread and one `poll`. It owns the container's pipes
//! or terminal, its log, its exit code, its restarts and its health checks, and it writes
//! `state.json`, on which every other command relies (see [`state`]).
//!
//! ```text
//!          ┌─────────── wait, then again ◀── policy ──┐
//!          ▼                                          │
//! Host::prepare ─▶ Executor::create ─▶ start ─▶ runs ─▶ ended ─▶ drained ─▶ Host::release
//!                      │ process recorded  │ running recorded, starter told        │ exit recorded,
//!                      │ before it runs    │                                       │ clients told
//! ```
//!
//! # Invariants
//!
//! 1. The lock on `monitor.lock` is held from before anything exists until after nothing does.
//! 2. A process that runs the command was recorded before it began to.
//! 3. Everything the container wrote is in the log before its end is told to anybody.
//! 4. A client, whatever it does, neither costs the log a byte nor, if it asked for
//!    [`Pace::Drop`](crate::attach::Pace::Drop), holds up the container.

mod clients;
mod execs;
mod frames;
mod health;
mod life;
mod local;
mod probes;
mod restart;
mod start;
mod streams;
mod turn;

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use varve_fs::lock::FileLock;
use varve_types::{
    Clock, Kind,
    config::Healthcheck,
    container::{RestartPolicy, State},
};

use crate::{
    attach::{Refused, Size},
    logs::{self, LogError},
    state::{self, StateError},
};

pub use local::{Foreground, Signals};
pub use restart::Backoff;
pub use start::{StartChannel, Started, StartedAttached, Starter, Waiting, accept};

/// Executes the container's processes; the monitor's view of an OCI runtime.
///
/// Everything that is started becomes a child of the calling process, directly or because it is a
/// child subreaper. The monitor alone waits for children while it runs: an implementation waits for
/// helpers of its own before it returns.
pub trait Executor {
    /// Makes the container's first process, which must not run the command before
    /// [`start`](Self::start).
    fn create(&mut self, bundle: &Path, stdio: ProcessStdio) -> Result<Created, Refused>;
    /// What the container made last was to have and has not, such as a limit.
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// Lets the first process run the command.
    fn start(&mut self) -> Result<(), Refused>;
    /// Runs another process in the container (`process` of the OCI runtime specification).
    fn exec(&mut self, process: &RawValue, stdio: ProcessStdio) -> Result<Created, Refused>;
    /// Freezes all processes of the container, or lets them go on.
    fn freeze(&mut self, frozen: bool) -> Result<(), Refused>;
    /// Whether the kernel killed a process of the container for want of memory; asked after the
    /// first process ended, before [`delete`](Self::delete).
    fn oom_killed(&mut self) -> bool;
    /// Kills every process of the container that is left.
    fn kill_all(&mut self);
    /// Removes what the runtime keeps of the container. Nothing left is fine.
    fn delete(&mut self);
}

/// What the container needs of the machine: its root mounted, its network.
pub trait Host {
    /// Makes it ready; returns the bundle.
    fn prepare(&mut self) -> Result<PathBuf, Refused>;
    /// What was prepared last and does not work on this machine.
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// Takes it away again, after every run and after a start that failed. With
    /// [`Status::Restarting`](varve_types::container::Status::Restarting) it is prepared again soon.
    /// A container that is to be removed at its end is removed here, its directory last.
    fn release(&mut self, state: &State);
    /// From now on the container is not to be removed at its end.
    fn keep(&mut self) {}
    /// Does what [`release`](Self::release) put off, because nobody sees whether it is done yet;
    /// called when the end was told.
    fn finish(&mut self) {}
}

/// Where a process reads and writes.
#[derive(Debug)]
pub enum ProcessStdio {
    /// These three.
    Descriptors {
        /// Standard input.
        input: OwnedFd,
        /// Standard output.
        output: OwnedFd,
        /// Standard error.
        error: OwnedFd,
    },
    /// A new terminal of this size, whose other side comes back.
    Terminal(Option<Size>),
}

/// A process that was made.
#[derive(Debug)]
pub struct Created {
    /// Its number.
    pub pid: u32,
    /// The other side of its terminal.
    pub terminal: Option<OwnedFd>,
}

/// What a monitor must know of its container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// The container's ID, 64 hexadecimal digits.
    pub id: String,
    /// Its directory in the store.
    pub dir: PathBuf,
    /// Its directory below `/run`, mode 0700: whoever may enter it may speak to the monitor.
    pub run_dir: PathBuf,
    /// The signal that stops it, where it has one of its own; else empty.
    pub stop_signal: String,
    /// Whether it has a terminal.
    pub tty: bool,
    /// The terminal's size at the start.
    pub size: Option<Size>,
    /// Whether it has an input that clients can write to; else it reads `/dev/null`.
    pub open_stdin: bool,
    /// Whether its input closes with the first client that gave any.
    pub stdin_once: bool,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Whether it is removed at its end: then nothing is synced on its behalf.
    pub auto_remove: bool,
    /// How its log is kept.
    pub log: logs::Options,
    /// How to tell whether it works.
    pub health: Option<HealthCheck>,
}

/// A health check that can be run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Its intervals and number of retries; zeros are docker's defaults.
    pub check: Healthcheck,
    /// The process that checks (`process` of the OCI runtime specification).
    pub process: Box<RawValue>,
}

impl Config {
    /// Where the log is.
    pub fn log_path(&self) -> PathBuf {
        log_path(&self.dir, &self.id)
    }
}

/// Where the log of the container in `dir` is, as docker names it.
pub fn log_path(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}-json.log"))
}

/// Who is told that the container was started.
#[derive(Debug)]
pub enum Mode {
    /// The command that executed this process, by the channel it left.
    Detached(StartChannel),
    /// Nobody: this process is that command, and the container's streams are its own.
    Foreground(Foreground),
}

/// How a monitor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The container ran, and this is its state after the last run.
    Ran(State),
    /// It could not be started.
    NotStarted(Refused),
}

/// Why a monitor could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The state cannot be kept.
    #[error("cannot keep the container's state")]
    State(#[from] StateError),
    /// The log cannot be kept.
    #[error("failed to initialize logging driver")]
    Log(#[from] LogError),
    /// The operating system refused. `action` says what.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// Two processes wanted to start the container.
    #[error("the container is being started or watched by another process")]
    Watched,
    /// The monitor ended before it said how the start went.
    #[error("the container's monitor ended unexpectedly")]
    Gone,
    /// Starter and monitor do not speak the same protocol.
    #[error("the container's monitor and its starter do not understand each other")]
    Protocol,
}

impl MonitorError {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::State(error) => error.kind(),
            Self::Log(error) => error.kind(),
            Self::Io { .. } | Self::Gone => Kind::Internal,
            Self::Watched => Kind::Conflict,
            Self::Protocol => Kind::Corrupt,
        }
    }

    pub(crate) fn io<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { action, source: source.into() }
    }
}

/// Starts the container and watches it until its end, restarts included. `lock` is
/// [`state::lock`]'s; it is let go at the end. This process becomes a child subreaper.
pub fn run(
    config: Config,
    mode: Mode,
    lock: FileLock,
    host: &mut dyn Host,
    executor: &mut dyn Executor,
    clock: &dyn Clock,
) -> Result<Ended, MonitorError> {
    let me = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(me)).map_err(MonitorError::io("adopt orphans"))?;
    let identity = state::identify_child(me.as_raw_nonzero().get() as u32)
        .map_err(MonitorError::io("read /proc"))?;
    life::Life::new(config, mode, lock, identity, host, executor, clock)?.live()
}
