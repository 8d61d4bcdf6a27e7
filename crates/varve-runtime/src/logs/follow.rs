//! Waiting for a log to grow, or for its container to end.

use std::{
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    fs::inotify,
    io::Errno,
};

use super::LogError;
use crate::state;

/// Notices whatever happens in a container's directory: the log is written to or replaced, the
/// state is replaced, a monitor that dies lets go of its lock's file.
#[derive(Debug)]
pub(super) struct Watch {
    dir: PathBuf,
    events: OwnedFd,
}

impl Watch {
    pub(super) fn new(dir: &Path) -> Result<Self, LogError> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let watched = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::CLOSE_WRITE;
        let events = inotify::init(flags)
            .and_then(|events| inotify::add_watch(&events, dir, watched).map(|_| events))
            .map_err(|error| LogError::io("watch", dir)(error.into()))?;
        Ok(Self { dir: dir.to_owned(), events })
    }

    /// Whether nobody writes to the log any more. A container that waits to be started again is
    /// not over.
    pub(super) fn is_over(&self) -> bool {
        !state::read(&self.dir).is_ok_and(|state| state.monitor.is_some())
    }

    /// Returns when something happened, or after a second: a lock over a network's file system
    /// tells nobody.
    pub(super) fn wait(&self) -> Result<(), LogError> {
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        let mut poll = PollFd::new(&self.events, PollFlags::IN);
        match rustix::event::poll(std::slice::from_mut(&mut poll), Some(&second)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(LogError::io("watch", &self.dir)(error.into())),
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.events, &mut buffer);
        while reader.next().is_ok() {}
        Ok(())
    }
}
