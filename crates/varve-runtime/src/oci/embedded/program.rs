//! This program as it may be executed for a container: from where nobody in it can write to it.
//!
//! A container's program that is a link or a script with `/proc/self/exe` executes *us* in the
//! container, and what is executed can be opened through `/proc`. So it lies on a read-only mount
//! that is attached nowhere, or, where mounts cannot be made, in a sealed copy in memory.

use std::{
    fs::File,
    io::{self, Seek as _},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{MemfdFlags, SealFlags, StatVfsMountFlags};

use super::mounts::{self, Bind};
use crate::{
    role,
    sys::{self, MountAttributes},
};

/// Whether this process's own program is out of reach for writing.
pub(super) fn is_protected() -> bool {
    is_read_only(Path::new("/proc/self/exe"))
}

fn is_read_only(program: &Path) -> bool {
    let flags = rustix::fs::statvfs(program).map(|status| status.f_flag);
    flags.is_ok_and(|flags| flags.contains(StatVfsMountFlags::RDONLY))
}

/// A command that executes `program` in our role. The handle must live until it is spawned.
pub(super) fn command(program: &Path) -> io::Result<(Command, Option<OwnedFd>)> {
    let (path, handle) = if is_read_only(program) {
        (program.to_owned(), None)
    } else {
        let handle = read_only_view(program).or_else(|_| sealed_copy(program))?;
        use std::os::fd::AsRawFd as _;
        (PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd())), Some(handle))
    };
    let mut command = Command::new(path);
    std::os::unix::process::CommandExt::arg0(&mut command, role::NAME);
    Ok((command, handle))
}

/// A command that executes `program` from a place where nobody can write to it, if that can be had
/// without a copy: then it may become containers' processes itself. The handle must live until it
/// is spawned.
pub(crate) fn protected_command(program: &Path) -> (Command, Option<OwnedFd>) {
    let view = if is_read_only(program) { None } else { read_only_view(program).ok() };
    use std::os::fd::AsRawFd as _;
    let path = view.as_ref().map(|view| format!("/proc/self/fd/{}", view.as_raw_fd()));
    (Command::new(path.map_or_else(|| program.to_owned(), PathBuf::from)), view)
}

fn read_only_view(program: &Path) -> io::Result<OwnedFd> {
    let view = mounts::copy(program, Bind::Alone)?;
    let read_only = MountAttributes { set: libc::MOUNT_ATTR_RDONLY, ..Default::default() };
    sys::set_mount_attributes(view.as_fd(), read_only, false)?;
    Ok(view)
}

fn sealed_copy(program: &Path) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = rustix::fs::memfd_create("varve", flags)?;
    let mut copy = File::from(copy);
    io::copy(&mut File::open(program)?, &mut copy)?;
    copy.rewind()?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&copy, seals)?;
    // Executed through a handle that cannot write: the kernel refuses an open writer (ETXTBSY).
    let path = {
        use std::os::fd::AsRawFd as _;
        format!("/proc/self/fd/{}", copy.as_raw_fd())
    };
    Ok(File::open(path)?.into())
}
