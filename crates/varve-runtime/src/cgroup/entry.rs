//! The way into a group for a process that enters by itself.
//!
//! Whoever puts *another* process into a group waits 10 to 20 ms for the kernel, which lets no
//! process begin or end meanwhile. Two ways do without: to be born in a group (version 2, Linux
//! 5.7), and to enter with the only thread that a process has, by writing `0` to `tasks` (version 1,
//! Linux 5.5; before that it waits as well).

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::fd::{AsFd as _, BorrowedFd},
};

use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{Pid, WaitOptions},
};

use super::{Cgroup, Version};
use crate::sys::{self, Side, SingleThread};

/// The opened ways into a group. They lead there whatever namespaces their user is in by then.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Files of version 1.
    tasks: Vec<File>,
    /// Directory and file of version 2.
    unified: Option<(File, File)>,
    born_inside: bool,
}

impl Cgroup {
    /// Opens the ways into the group, for a process to be.
    pub(crate) fn entry(&self) -> io::Result<Entry> {
        let mut entry = Entry { tasks: Vec::new(), unified: None, born_inside: false };
        for (directory, hierarchy) in self.directories() {
            let open = |name: &str| fs::OpenOptions::new().write(true).open(directory.join(name));
            match hierarchy.version {
                Version::V1 => entry.tasks.push(open("tasks")?),
                Version::V2 => {
                    entry.unified = Some((File::open(directory)?, open("cgroup.procs")?));
                }
            }
        }
        Ok(entry)
    }
}

impl Entry {
    /// Copies this process, as [`sys::copy_process`] does, the copy being born in the group of
    /// version 2 where the kernel can. It is to [`take`](Self::take) the rest of the way.
    pub(crate) fn copy_process(
        &mut self,
        alone: &SingleThread,
        namespaces: libc::c_int,
        sibling: bool,
    ) -> io::Result<Side> {
        if let Some((directory, _)) = &self.unified {
            self.born_inside = true;
            let group = directory.as_fd();
            if let Ok(Some(side)) = born_in(group, alone, namespaces, sibling) {
                return Ok(side);
            }
            // What else is in the way is told without it.
            self.born_inside = false;
        }
        sys::copy_process(alone, namespaces, sibling, None)
    }

    /// Has this process, which has one thread, enter; what it starts is in the group too.
    pub(crate) fn take(self) -> io::Result<()> {
        let mut files = self.tasks;
        files.extend(self.unified.filter(|_| !self.born_inside).map(|(_, procs)| procs));
        files.iter_mut().try_for_each(|file| file.write_all(b"0"))
    }
}

/// Copies this process into a group. `None` when the copy did not live: kernels from 6.14 on kill
/// who is born in another group when `cgroup.kill` was ever used on either, since they compare how
/// often it was on the one with how often on the other.
fn born_in(
    group: BorrowedFd<'_>,
    alone: &SingleThread,
    namespaces: libc::c_int,
    sibling: bool,
) -> io::Result<Option<Side>> {
    let (cry, crying) = pipe_with(PipeFlags::CLOEXEC)?;
    let side = sys::copy_process(alone, namespaces, sibling, Some(group))?;
    if side == Side::Child {
        let _ = rustix::io::write(&crying, &[1]);
        return Ok(Some(side));
    }
    drop(crying);
    let mut heard = [0; 1];
    let lives = rustix::io::retry_on_intr(|| rustix::io::read(&cry, &mut heard))? > 0;
    if let (Side::Parent { child }, false, false) = (side, lives, sibling) {
        let child = Pid::from_raw(child);
        rustix::process::waitpid(child, WaitOptions::empty())?;
    }
    Ok(lives.then_some(side))
}
