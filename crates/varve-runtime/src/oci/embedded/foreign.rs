//! Installed runtimes that do not run on a machine with both versions of control groups (crun).
//!
//! They are given a mount namespace of their own with version 2 alone at `/sys/fs/cgroup`, and make
//! no groups; those are made and limited by us.

use std::{
    ffi::CString,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Child,
};

use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{MountPropagationFlags, mount_change},
};

use super::{
    mounts,
    order::{Order, Work},
    streams,
};
use crate::{
    oci::{OciError, Stdio, io_error},
    sys,
};

/// Starts an installed runtime that way. `role` is the program that plays our roles.
pub(in crate::oci) fn start(
    role: &Path,
    program: &Path,
    arguments: Vec<String>,
    stdio: Stdio,
) -> io::Result<Child> {
    let work = Work::Foreign { program: program.to_owned(), arguments };
    let terminal = matches!(stdio, Stdio::Terminal);
    let order = Order { state_dir: PathBuf::new(), id: String::new(), work, terminal };
    // The channel's other end closes when the role becomes the runtime.
    order.start(role, stdio).map(|(child, _)| child)
}

/// Becomes the runtime. Returns only when that failed.
pub(super) fn become_runtime(program: &Path, arguments: &[String], stdio: Stdio) -> OciError {
    let failed = |error: io::Error| io_error("start", program)(error);
    if let Err(error) = show_groups_of_version_2() {
        return failed(error);
    }
    if let Stdio::Descriptors { input, output, error } = &stdio
        && let Err(error) = streams::replace(input, output, error)
    {
        return failed(error);
    }
    sys::reset_signals();
    let own_name = program.as_os_str().as_bytes();
    let all: Result<Vec<CString>, _> = std::iter::once(own_name)
        .chain(arguments.iter().map(String::as_bytes))
        .map(CString::new)
        .collect();
    match all {
        Ok(all) => {
            let path = format!("PATH={}", super::super::external::SYSTEM_PATH);
            let environment = CString::new(path).into_iter().collect::<Vec<_>>();
            failed(sys::exec(&all[0], &all, &environment))
        }
        Err(error) => failed(io::Error::other(error)),
    }
}

fn show_groups_of_version_2() -> io::Result<()> {
    sys::unshare(libc::CLONE_NEWNS)?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    let groups = mounts::make("cgroup2", Some("cgroup2"), &[], attributes)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = rustix::fs::openat(CWD, "/sys/fs/cgroup", flags, Mode::empty())?;
    mounts::put(groups, place)
}
