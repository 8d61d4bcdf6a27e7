//! What is kept of a container between commands: `<state_dir>/<id>/`.
//!
//! ```text
//! state.json   the record; written last, so a directory without it is half made
//! group        the path of its cgroup, from before that is made
//! start        a pipe that the first process reads from; gone once it was told to start
//! ```
//!
//! Nothing here outlives a reboot, so nothing is synced.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags},
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use serde::{Deserialize, Serialize};
use varve_fs::durable;

use crate::{
    cgroup::{Cgroup, Machine},
    oci::{OciError, Status, io_error},
};

const TRIES_MAX: u32 = 2000;
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    /// The first process.
    pub(super) pid: i32,
    /// When it began, in ticks since boot: tells it from a later process of the same number.
    pub(super) began: u64,
    pub(super) bundle: PathBuf,
    pub(super) cgroup: Cgroup,
    /// Set once the first process was told to start.
    #[serde(skip)]
    waits: bool,
}

impl Record {
    pub(super) fn new(id: &str, pid: i32, bundle: &Path, cgroup: Cgroup) -> io::Result<Self> {
        let (_, began) = letter_and_beginning(pid)?;
        Ok(Self { id: id.to_owned(), pid, began, bundle: bundle.to_owned(), cgroup, waits: true })
    }

    /// Makes the directory of a container; there must be none.
    pub(super) fn reserve(state_dir: &Path, id: &str) -> Result<(), OciError> {
        let directory = state_dir.join(id);
        durable::create_directories_unsynced(state_dir, 0o755)
            .map_err(io_error("create", state_dir))?;
        if !durable::create_directory(&directory, 0o700).map_err(io_error("create", &directory))? {
            return Err(OciError::Exists(id.to_owned()));
        }
        let pipe = pipe(state_dir, id);
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .map_err(io_error("create", pipe))
    }

    pub(super) fn load(state_dir: &Path, id: &str) -> Result<Self, OciError> {
        let path = state_dir.join(id).join("state.json");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OciError::NotFound(id.to_owned()));
            }
            other => other.map_err(io_error("read", &path))?,
        };
        let mut record: Self = serde_json::from_slice(&text)
            .map_err(|error| io_error("understand", path)(io::Error::other(error)))?;
        record.waits = pipe(state_dir, id).exists();
        Ok(record)
    }

    /// Makes the record visible, whole.
    pub(super) fn store(&self, state_dir: &Path) -> Result<(), OciError> {
        let path = state_dir.join(&self.id).join("state.json");
        let new = path.with_extension("new");
        let text = serde_json::to_vec(self).map_err(io::Error::other);
        text.and_then(|text| durable::replace_through_unsynced(&new, &path, &text, 0o644))
            .map_err(io_error("write", path))
    }

    /// Removes a container's directory, if it is there.
    pub(super) fn discard(state_dir: &Path, id: &str) -> Result<(), OciError> {
        let directory = state_dir.join(id);
        if !directory.exists() {
            return Ok(());
        }
        for name in ["state.json", "state.new", "start", "group", "group.new"] {
            let path = directory.join(name);
            durable::unlink(&path).map_err(io_error("remove", path))?;
        }
        durable::remove_directory(&directory).map(drop).map_err(io_error("remove", directory))
    }

    /// Removes what a maker that was killed left of a container, which has no record then.
    pub(super) fn discard_half(state_dir: &Path, id: &str) -> Result<(), OciError> {
        let path = state_dir.join(id).join("group");
        // Without it there is no group yet. An empty one finds none.
        if let Ok(group) = fs::read_to_string(&path) {
            let machine = Machine::detect().map_err(io_error("read", "/proc/self/mountinfo"))?;
            let group = Cgroup::find(&machine, &group);
            let what = "the container's cgroup";
            // Its first process, when there was one, dies with the maker, but not at once.
            for _ in 0..TRIES_MAX {
                group.kill(Signal::KILL).map_err(io_error("signal", what))?;
                if group.pids().map_err(io_error("read", what))?.is_empty() {
                    break;
                }
                thread::sleep(PAUSE);
            }
            group.delete().map_err(io_error("remove", what))?;
        }
        Self::discard(state_dir, id)
    }

    /// Tells the first process to go on.
    pub(super) fn start(&self, state_dir: &Path) -> Result<(), OciError> {
        let wrong = |state| OciError::State { id: self.id.clone(), state };
        match self.status() {
            Status::Created => {}
            other => return Err(wrong(other)),
        }
        let pipe = pipe(state_dir, &self.id);
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let writer = match rustix::fs::open(&pipe, flags, Mode::empty()) {
            Err(Errno::NXIO) => return Err(wrong(Status::Stopped)),
            Err(Errno::NOENT) => return Err(wrong(Status::Running)),
            other => other.map_err(io_error("open", &pipe))?,
        };
        // Whoever removes it is the one who starts.
        if !durable::unlink(&pipe).map_err(io_error("remove", &pipe))? {
            return Err(wrong(Status::Running));
        }
        rustix::io::write(&writer, b"1").map_err(io_error("write to", pipe))?;
        Ok(())
    }

    /// Whether the first process has not ended.
    pub(super) fn is_alive(&self) -> bool {
        let ended = ['Z', 'X', 'x'];
        letter_and_beginning(self.pid)
            .is_ok_and(|(state, began)| began == self.began && !ended.contains(&state))
    }

    pub(super) fn status(&self) -> Status {
        if !self.is_alive() {
            Status::Stopped
        } else if self.cgroup.is_frozen() {
            Status::Paused
        } else if self.waits {
            Status::Created
        } else {
            Status::Running
        }
    }

    /// All processes: the cgroup's, or where there is none those in the same process namespace.
    pub(super) fn pids(&self) -> Result<Vec<i32>, OciError> {
        if !self.cgroup.is_empty() {
            return self.cgroup.pids().map_err(io_error("read", "the container's cgroup"));
        }
        if !self.is_alive() {
            return Ok(Vec::new());
        }
        let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let (own, theirs) = (namespace(std::process::id() as i32), namespace(self.pid));
        if theirs.is_none() || own == theirs {
            return Ok(vec![self.pid]);
        }
        let entries = fs::read_dir("/proc").map_err(io_error("read", "/proc"))?;
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut pids: Vec<i32> = pids.filter(|pid| namespace(*pid) == theirs).collect();
        pids.sort_unstable();
        Ok(pids)
    }

    pub(super) fn kill_all(&self, signal: Signal) -> Result<(), OciError> {
        if !self.cgroup.is_empty() {
            let group = "the processes of the container";
            self.cgroup.kill(signal).map_err(io_error("signal", group))?;
        }
        for pid in self.pids()?.into_iter().filter_map(Pid::from_raw) {
            match kill_process(pid, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(io_error("signal", pid.to_string())(error)),
            }
        }
        Ok(())
    }

    pub(super) fn wait_until_stopped(&self) -> Result<(), OciError> {
        for _ in 0..TRIES_MAX {
            if !self.is_alive() {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        let error = io::Error::from(io::ErrorKind::TimedOut);
        Err(io_error("stop", "the container's first process")(error))
    }
}

/// Says where the cgroup of a container will be, whose directory is reserved.
pub(super) fn note_group(state_dir: &Path, id: &str, group: &str) -> Result<(), OciError> {
    let path = state_dir.join(id).join("group");
    let new = path.with_extension("new");
    // Never a part of it: what has that name is killed when its maker was.
    durable::replace_through_unsynced(&new, &path, group.as_bytes(), 0o644)
        .map_err(io_error("write", path))
}

/// Where a container's first process waits.
pub(super) fn pipe(state_dir: &Path, id: &str) -> PathBuf {
    state_dir.join(id).join("start")
}

/// The state letter of a process and when it began, in ticks since boot.
fn letter_and_beginning(pid: i32) -> io::Result<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let strange = || io::Error::other("a line of /proc is not as expected");
    // The name in parentheses may hold anything.
    let (_, rest) = text.rsplit_once(") ").ok_or_else(strange)?;
    let mut fields = rest.split(' ');
    let state = fields.next().and_then(|field| field.chars().next()).ok_or_else(strange)?;
    let began = fields.nth(18).and_then(|field| field.parse().ok()).ok_or_else(strange)?;
    Ok((state, began))
}
