//! Who executes a container: one trait over the embedded runtime and installed ones.
//!
//! ```text
//! bundle (config.json) ─▶ create ─▶ init waits ─▶ start ─▶ the program runs ─▶ … ─▶ delete
//!                           │                                 ▲
//!                           └ process, terminal, what is not  └ exec, kill, pause, stats
//!                             enforced on this machine
//! ```
//!
//! # Contract
//!
//! 1. After [`create`](Runtime::create) failed nothing is left: no process, mount, cgroup or file.
//! 2. The first process and those of [`exec`](Runtime::exec) become children of the caller, which
//!    waits for them. [`External`] runtimes let go of them, so their caller is to be a child
//!    subreaper (`PR_SET_CHILD_SUBREAPER`). The kernel ends a first process only after every other
//!    process of its namespace was waited for: who waits for it waits for the others as well.
//!    An [`Embedded`] first process is killed with the thread that called: nothing runs unwatched.
//! 3. Only the bundle says what a container is; image data in it never names a path of the host.
//! 4. [`delete`](Runtime::delete) succeeds only when nothing is left.
//!
//! `tests/oci` holds every implementation to it.

pub(crate) mod config;
mod embedded;
mod error;
mod external;
pub(crate) mod terminal;

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::cgroup::{Stats, Unenforced};

pub use config::{
    BlockIo, Capabilities, ConsoleSize, Cpu, DeviceRule, Memory, Pids, Process, Resources, Rlimit,
    Throttle, User,
};
pub use embedded::Embedded;
pub(crate) use embedded::{protected_command, serve};
pub(crate) use error::errno_text;
pub use error::{OciError, StartFailure, Status};
pub use external::External;
pub(crate) use external::SYSTEM_PATH;

/// Executes containers from bundles: directories with a `config.json`, whose `root.path` names the
/// mounted root.
pub trait Runtime: Send + Sync {
    /// Makes everything a container needs and its first process, which waits before the program.
    fn create(&self, id: &str, bundle: &Path, stdio: Stdio) -> Result<Created, OciError>;

    /// Lets the first process execute its program.
    fn start(&self, id: &str) -> Result<(), OciError>;

    /// Starts a further process in a running container. Its environment, user, capabilities and
    /// so on are `process`'s alone, the seccomp filter is the container's.
    fn exec(&self, id: &str, process: &Process, stdio: Stdio) -> Result<Started, OciError>;

    /// Sends a signal.
    fn kill(&self, id: &str, signal: Signal, reach: Reach) -> Result<(), OciError>;

    /// Stops every process where it is.
    fn pause(&self, id: &str) -> Result<(), OciError>;

    /// Lets them go on.
    fn resume(&self, id: &str) -> Result<(), OciError>;

    /// Removes what is left of a container. With [`Delete::Force`] a running one is killed, and a
    /// container that does not exist is no error.
    fn delete(&self, id: &str, how: Delete) -> Result<(), OciError>;

    /// What the container is doing.
    fn state(&self, id: &str) -> Result<State, OciError>;

    /// Its processes, by the caller's numbers, sorted.
    fn pids(&self, id: &str) -> Result<Vec<i32>, OciError>;

    /// Changes limits. Returns what the machine does not enforce.
    fn update(&self, id: &str, resources: &Resources) -> Result<Vec<Unenforced>, OciError>;

    /// What it uses and has used.
    fn stats(&self, id: &str) -> Result<Stats, OciError>;

    /// How many of its processes the kernel ended for want of memory.
    fn oom_kills(&self, id: &str) -> Result<u64, OciError>;
}

/// Where a process reads and writes.
#[derive(Debug)]
pub enum Stdio {
    /// These three.
    Descriptors {
        /// Standard input.
        input: OwnedFd,
        /// Standard output.
        output: OwnedFd,
        /// Standard error.
        error: OwnedFd,
    },
    /// A new terminal, whose other side comes back. Its size at the start is `process.consoleSize`.
    Terminal,
}

/// A container whose first process waits.
#[derive(Debug)]
pub struct Created {
    /// The first process.
    pub pid: i32,
    /// The other side of its terminal, when it has one.
    pub terminal: Option<OwnedFd>,
    /// Limits that were asked for and are not in force.
    pub unenforced: Vec<Unenforced>,
}

/// A further process that runs.
#[derive(Debug)]
pub struct Started {
    /// Its number.
    pub pid: i32,
    /// The other side of its terminal, when it has one.
    pub terminal: Option<OwnedFd>,
}

/// Whom a signal goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The first process.
    Init,
    /// Every process.
    All,
}

/// How a container is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delete {
    /// Only when its first process has ended.
    Stopped,
    /// In any state.
    Force,
}

/// What is known of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What it is doing.
    pub status: Status,
    /// Its first process; none when that has ended.
    pub pid: Option<i32>,
    /// Where its configuration is.
    pub bundle: PathBuf,
}

/// Whether a name can be a directory's, and nothing else: ids are made by us, but runtimes are
/// given them as arguments and file names.
pub(crate) fn checked_id(id: &str) -> Result<&str, OciError> {
    let ordinary = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    let first = id.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if first && id.len() <= 128 && id.chars().all(ordinary) {
        Ok(id)
    } else {
        Err(OciError::Config(format!("{id:?} is no id of a container")))
    }
}

/// The system refused something about a path.
pub(crate) fn io_error<P: Into<PathBuf>, E: Into<std::io::Error>>(
    action: &'static str,
    path: P,
) -> impl FnOnce(E) -> OciError {
    move |source| OciError::Io { action: action.into(), path: path.into(), source: source.into() }
}
