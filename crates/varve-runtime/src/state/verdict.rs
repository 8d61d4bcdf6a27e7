//! What a state on disk means now, and what is to be done about a monitor that died.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec};
use varve_fs::lock::FileLock;
use varve_types::container::{ProcessIdentity, State, Status};

use super::{
    EXIT_CODE_KILLED, EXIT_CODE_NOT_STARTED, EXIT_CODE_REBOOT, LOCK_FILE, STATE_FILE, StateError,
    boot_id, open,
    record::{Loaded, load},
    save_durably,
};

/// How long a lock that is held may be a reader's, who holds it for moments.
const READERS_TIME_MAX: Duration = Duration::from_millis(200);
/// How long killed processes may take to be gone.
const KILLED_TIME_MAX: Duration = Duration::from_secs(10);

/// Takes away what a container whose monitor died has left: the runtime, then the host, knows it by
/// the container's ID. Everything here is called again after a crash in the middle of it.
pub trait Leftovers {
    /// Kills every process of the container, by its cgroup.
    fn kill_all(&mut self);
    /// Deletes what the runtime keeps, unmounts the root, frees the network.
    fn release(&mut self, state: &State);
}

/// What [`recover`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovered {
    /// Nothing to do: the state is true.
    Sound(State),
    /// A dead monitor's container was put in order; this is its state now.
    Mended(State),
}

/// What is true of the container in `dir` now. Changes nothing.
///
/// Safe to call at any moment, from any process that may read the directory; [`StateError::Io`]
/// with `NotFound` when there is no such container.
pub fn read(dir: &Path) -> Result<State, StateError> {
    let claimed = match load(dir)? {
        Loaded::State(state) if !is_claimed(&state) => return Ok(*state),
        Loaded::State(state) if is_of_another_boot(&state)? => return Ok(ended(dir, Some(*state))),
        Loaded::State(state) => *state,
        Loaded::Torn => return Ok(ended(dir, None)),
    };
    // Shared, so that readers do not disturb each other; while we have it no monitor can begin.
    let Lock::Free(_held) = probe(dir)? else { return Ok(claimed) };
    Ok(match load(dir)? {
        Loaded::State(state) if is_claimed(&state) => lost(*state, written_at(dir)),
        Loaded::State(state) => *state,
        Loaded::Torn => ended(dir, None),
    })
}

/// Like [`read`], and puts in order what a dead monitor left: its processes are killed, the
/// container's things released, the verdict written durably. [`StateError::Watched`] when somebody
/// begins to watch it in the meantime.
pub fn recover(
    dir: &Path,
    leftovers: &mut dyn Leftovers,
    now: Timestamp,
) -> Result<Recovered, StateError> {
    let state = read(dir)?;
    if !claims_life(dir)? || state.monitor.is_some() {
        return Ok(Recovered::Sound(state));
    }
    let _held = lock(dir)?;
    let (state, mended) = mend(dir, leftovers, now)?;
    if !mended {
        return Ok(Recovered::Sound(state));
    }
    // One that is to be removed at its end is gone by now.
    if dir.exists() {
        save_durably(dir, &state)?;
    }
    Ok(Recovered::Mended(state))
}

/// What is true of a container whose lock we hold, after what a dead monitor left of it was taken
/// away; and whether there was anything.
pub(crate) fn mend(
    dir: &Path,
    leftovers: &mut dyn Leftovers,
    now: Timestamp,
) -> Result<(State, bool), StateError> {
    let mended = match load(dir)? {
        Loaded::State(state) if !is_claimed(&state) => return Ok((*state, false)),
        Loaded::State(state) if is_of_another_boot(&state)? => ended(dir, Some(*state)),
        Loaded::State(state) => {
            kill(state.process.as_ref(), leftovers)?;
            lost(*state, Some(now))
        }
        Loaded::Torn => ended(dir, None),
    };
    leftovers.release(&mended);
    Ok((mended, true))
}

/// Takes the lock of a monitor, for as long as the value lives.
pub fn lock(dir: &Path) -> Result<FileLock, StateError> {
    let path = dir.join(LOCK_FILE);
    let until = Instant::now() + READERS_TIME_MAX;
    loop {
        match FileLock::try_exclusive(&path).map_err(StateError::io("lock", &path))? {
            Some(lock) => return Ok(lock),
            None if Instant::now() >= until => return Err(StateError::Watched),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Whether a monitor holds its lock: from before it makes anything for the container until after
/// it took everything away again.
pub fn is_watched(dir: &Path) -> Result<bool, StateError> {
    Ok(matches!(probe(dir)?, Lock::Held))
}

/// Whether the file says that the container lives, true or not.
fn claims_life(dir: &Path) -> Result<bool, StateError> {
    Ok(match load(dir)? {
        Loaded::State(state) => is_claimed(&state),
        Loaded::Torn => true,
    })
}

/// What became of the question for a monitor.
enum Lock {
    /// One is there.
    Held,
    /// None is, and none can begin while this is kept. No file: there never was one.
    Free(#[allow(dead_code, reason = "kept, not read")] Option<std::fs::File>),
}

/// A shared lock when no monitor holds its own. Readers must not create the file: they may not be
/// allowed to write, and where there is none there is no monitor.
fn probe(dir: &Path) -> Result<Lock, StateError> {
    use rustix::fs::{FlockOperation, flock};
    let path = dir.join(LOCK_FILE);
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock::Free(None)),
        Err(error) => return Err(StateError::io("open", path)(error)),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Lock::Free(Some(file))),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Lock::Held),
        Err(error) => Err(StateError::io("lock", path)(error.into())),
    }
}

/// The verdict over a state from before this boot. It was last true when the file was written.
fn ended(dir: &Path, state: Option<State>) -> State {
    let state = state.unwrap_or_else(|| State { status: Status::Running, ..State::default() });
    over(state, EXIT_CODE_REBOOT, written_at(dir))
}

fn written_at(dir: &Path) -> Option<Timestamp> {
    let modified = std::fs::metadata(dir.join(STATE_FILE)).and_then(|file| file.modified()).ok()?;
    Timestamp::try_from(modified).ok()
}

/// The verdict over a state of this boot whose monitor is gone.
fn lost(state: State, now: Option<Timestamp>) -> State {
    over(state, EXIT_CODE_KILLED, now)
}

fn over(mut state: State, exit_code: i32, at: Option<Timestamp>) -> State {
    match state.status {
        Status::Created => {
            state.exit_code = EXIT_CODE_NOT_STARTED;
            "the start was interrupted".clone_into(&mut state.error);
        }
        // It had ended before; what it returned then stands.
        Status::Exited | Status::Restarting | Status::Dead | Status::Removing => {
            state.status = Status::Exited;
        }
        Status::Running | Status::Paused => {
            state.status = Status::Exited;
            state.exit_code = exit_code;
            state.finished_at = at.or(state.finished_at);
        }
    }
    state.process = None;
    state.monitor = None;
    state.execs.clear();
    state
}

/// Whether the file says that a monitor is there, true or not.
fn is_claimed(state: &State) -> bool {
    state.monitor.is_some()
}

fn is_of_another_boot(state: &State) -> Result<bool, StateError> {
    let boot_id = this_boot()?;
    Ok(state.monitor.as_ref().is_some_and(|monitor| monitor.boot_id != boot_id))
}

/// Kills the first process, then the others, and waits until the first is gone.
fn kill(init: Option<&ProcessIdentity>, leftovers: &mut dyn Leftovers) -> Result<(), StateError> {
    let failed = || StateError::io("kill", "the container's first process");
    let handle = match init {
        Some(init) => open(init).map_err(failed())?,
        None => None,
    };
    if let Some(handle) = &handle {
        match crate::sys::send_signal(handle, 9) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                return Err(failed()(error));
            }
            _ => {}
        }
    }
    leftovers.kill_all();
    let Some(handle) = handle else { return Ok(()) };
    let until = Instant::now() + KILLED_TIME_MAX;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or_default();
        let mut ended = PollFd::new(&handle, PollFlags::IN);
        match rustix::event::poll(std::slice::from_mut(&mut ended), Some(&timeout)) {
            Ok(0) => return Err(StateError::Undead),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed()(error.into())),
        }
    }
}

fn this_boot() -> Result<String, StateError> {
    boot_id().map_err(StateError::io("read", "/proc/sys/kernel/random/boot_id"))
}
