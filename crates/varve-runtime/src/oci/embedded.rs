//! The embedded runtime: containers without any other program.
//!
//! ```text
//! create ─┬─ one thread, own program not writable ──────────▶ run here
//!         └─ else: this binary again, in a role (`role.rs`) ─▶ run there
//!                                                               │ clone: namespaces
//!                                                               ▼
//!          parent: cgroup, id maps ──go──▶ first process: mounts, devices, root, identity
//!                   ▲                                          │ ready, or why not
//!                   └───────────────────────────────◀──────────┘ waits for start, then exec
//! ```
//!
//! # Invariants
//!
//! 1. Only a process with one thread is copied: what another thread held locked would stay so.
//! 2. Nothing of the host is open in the container's process when its directory is entered or its
//!    program looked for, and it cannot be looked into until the program runs.
//! 3. The running program cannot be written through `/proc/self/exe`: it is executed from a
//!    read-only mount of its own, or a sealed copy.

mod create;
mod devices;
mod exec;
pub(super) mod foreign;
mod identity;
mod mounts;
mod namespaces;
mod order;
mod place;
mod program;
mod record;
mod rootfs;
mod streams;

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use self::{
    order::{Order, Work},
    record::Record,
};
use crate::{
    cgroup::{Stats, Unenforced},
    oci::{
        Created, Delete, OciError, Process, Reach, Resources, Runtime, StartFailure, Started,
        State, Status, Stdio, checked_id, errno_text, io_error,
    },
    sys::Instruction,
};

pub(crate) use order::serve;
pub(crate) use program::protected_command;

/// Seccomp filters in the order of their installation; the kernel asks all, the strictest wins.
type Filters = Vec<Vec<Instruction>>;

/// Why a step in the container's own process failed.
type Step<T> = Result<T, StartFailure>;

/// Names the step that the system refused.
fn init<E: Into<io::Error>>(what: &str) -> impl FnOnce(E) -> StartFailure {
    let what = what.to_owned();
    move |error| StartFailure::Init(format!("{what}: {}", errno_text(&error.into())))
}

/// Containers made by this program itself. Their states are directories in `state_dir`, which is
/// to be gone after a reboot (below `/run`).
#[derive(Debug, Clone)]
pub struct Embedded {
    state_dir: PathBuf,
    program: PathBuf,
}

impl Embedded {
    /// A runtime that keeps its states in `state_dir`. This process's own program plays the roles;
    /// its `main` must ask for [`role::is_asked`](crate::role::is_asked) before anything else.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        let program = PathBuf::from("/proc/self/exe");
        Self { state_dir: state_dir.into(), program }
    }

    /// The same with another program to play the roles.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    fn record(&self, id: &str) -> Result<Record, OciError> {
        Record::load(&self.state_dir, checked_id(id)?)
    }

    fn signal(record: &Record, signal: Signal) -> Result<(), OciError> {
        let stopped = || OciError::State { id: record.id.clone(), state: Status::Stopped };
        let pid = Pid::from_raw(record.pid).ok_or_else(stopped)?;
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Err(stopped()),
            other => other.map_err(io_error("reach", "the container's first process"))?,
        };
        // The number may be another process's by now; once the handle is open it stays this one's.
        if !record.is_alive() {
            return Err(stopped());
        }
        match pidfd_send_signal(&pidfd, signal) {
            Err(Errno::SRCH) => Err(stopped()),
            other => other.map_err(io_error("signal", "the container's first process")),
        }
    }

    fn freeze(&self, id: &str, frozen: bool) -> Result<(), OciError> {
        let record = self.record(id)?;
        let status = record.status();
        let wanted = if frozen { Status::Running } else { Status::Paused };
        if status != wanted {
            return Err(OciError::State { id: record.id, state: status });
        }
        record.cgroup.freeze(frozen).map_err(io_error("freeze", "the container's cgroup"))
    }
}

impl Runtime for Embedded {
    fn create(&self, id: &str, bundle: &Path, stdio: Stdio) -> Result<Created, OciError> {
        let id = checked_id(id)?;
        let config = create::read_config(bundle)?;
        let done = if create::may_run_here(&config) {
            let done = create::run((&self.state_dir, id), bundle, config, stdio, false);
            done.map_err(|failed| {
                order::reap(failed.pid);
                failed.error
            })
        } else {
            let terminal = matches!(stdio, Stdio::Terminal);
            let work = Work::Create { bundle: bundle.to_owned() };
            let state_dir = self.state_dir.clone();
            Order { state_dir, id: id.to_owned(), work, terminal }.send(&self.program, stdio)
        }?;
        Ok(Created { pid: done.pid, terminal: done.terminal, unenforced: done.unenforced })
    }

    fn start(&self, id: &str) -> Result<(), OciError> {
        self.record(id)?.start(&self.state_dir)
    }

    fn exec(&self, id: &str, process: &Process, stdio: Stdio) -> Result<Started, OciError> {
        let terminal = matches!(stdio, Stdio::Terminal);
        let order = Order {
            state_dir: self.state_dir.clone(),
            id: checked_id(id)?.to_owned(),
            work: Work::Exec { process: Box::new(process.clone()) },
            terminal,
        };
        let done = order.send(&self.program, stdio)?;
        Ok(Started { pid: done.pid, terminal: done.terminal })
    }

    fn kill(&self, id: &str, signal: Signal, reach: Reach) -> Result<(), OciError> {
        let record = self.record(id)?;
        match reach {
            Reach::Init => Self::signal(&record, signal),
            Reach::All => record.kill_all(signal),
        }
    }

    fn pause(&self, id: &str) -> Result<(), OciError> {
        self.freeze(id, true)
    }

    fn resume(&self, id: &str) -> Result<(), OciError> {
        self.freeze(id, false)
    }

    fn delete(&self, id: &str, how: Delete) -> Result<(), OciError> {
        let record = match self.record(id) {
            // Nothing was written yet when its maker was killed, or nothing is there.
            Err(OciError::NotFound(_)) if how == Delete::Force => {
                return Record::discard_half(&self.state_dir, id);
            }
            other => other?,
        };
        if how == Delete::Stopped && record.status() != Status::Stopped {
            return Err(OciError::State { id: record.id.clone(), state: record.status() });
        }
        record.kill_all(Signal::KILL)?;
        record.wait_until_stopped()?;
        record.cgroup.delete().map_err(io_error("remove", "the container's cgroup"))?;
        Record::discard(&self.state_dir, id)
    }

    fn state(&self, id: &str) -> Result<State, OciError> {
        let record = self.record(id)?;
        let status = record.status();
        let pid = (status != Status::Stopped).then_some(record.pid);
        Ok(State { status, pid, bundle: record.bundle })
    }

    fn pids(&self, id: &str) -> Result<Vec<i32>, OciError> {
        self.record(id)?.pids()
    }

    fn update(&self, id: &str, resources: &Resources) -> Result<Vec<Unenforced>, OciError> {
        Ok(self.record(id)?.cgroup.apply(resources))
    }

    fn stats(&self, id: &str) -> Result<Stats, OciError> {
        Ok(self.record(id)?.cgroup.stats())
    }

    fn oom_kills(&self, id: &str) -> Result<u64, OciError> {
        Ok(self.record(id)?.cgroup.oom_kills())
    }
}
