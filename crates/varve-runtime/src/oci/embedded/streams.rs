//! Standard input, output and error of a container's process.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, Uid},
    io::Errno,
};

use super::{Step, init};
use crate::{
    oci::{Stdio, terminal::Pair},
    sys,
};

/// Makes the streams this process's. With a terminal this process becomes the head of its session,
/// and the side that is kept comes back.
pub(super) fn take(stdio: Stdio, terminal: Option<Pair>, uid: u32) -> Step<Option<OwnedFd>> {
    let streams = init("take the standard streams");
    match (stdio, terminal) {
        (Stdio::Descriptors { input, output, error }, _) => {
            replace(&input, &output, &error).map_err(streams)?;
            drop((input, output, error));
            use_own_null().map_err(init("open /dev/null"))?;
            give_to(uid).map_err(init("change the owner of the standard streams"))?;
            Ok(None)
        }
        (Stdio::Terminal, Some(Pair { master, slave })) => {
            replace(&slave, &slave, &slave).map_err(streams)?;
            rustix::process::ioctl_tiocsctty(&slave).map_err(init("take the terminal"))?;
            rustix::fs::fchown(&slave, Some(Uid::from_raw(uid)), None)
                .map_err(init("change the owner of the terminal"))?;
            Ok(Some(master))
        }
        (Stdio::Terminal, None) => Err(init("open a terminal")(io::Error::other("there is none"))),
    }
}

pub(super) fn replace(input: &OwnedFd, output: &OwnedFd, error: &OwnedFd) -> io::Result<()> {
    // One of them may have a standard number itself: first out of the way, then into place.
    let away = |fd: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), 3);
    let (input, output, error) = (away(input)?, away(output)?, away(error)?);
    rustix::stdio::dup2_stdin(&input)?;
    rustix::stdio::dup2_stdout(&output)?;
    rustix::stdio::dup2_stderr(&error)?;
    Ok(())
}

/// Where a stream is the host's null device it becomes the container's: nothing of the host stays
/// open, and it can be read and written whatever it was opened for.
fn use_own_null() -> io::Result<()> {
    let null = rustix::fs::makedev(1, 3);
    let is_null = |stream: rustix::fd::BorrowedFd<'_>| -> io::Result<bool> {
        let status = rustix::fs::fstat(stream)?;
        let kind = FileType::from_raw_mode(status.st_mode);
        Ok(kind == FileType::CharacterDevice && status.st_rdev == null)
    };
    let nulls = sys::standard_streams().map(is_null);
    let [input, output, error] = [&nulls[0], &nulls[1], &nulls[2]].map(|is| matches!(is, Ok(true)));
    if !(input || output || error) {
        return Ok(());
    }
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(own) = rustix::fs::openat(CWD, "/dev/null", flags, Mode::empty()) else {
        // An image without one, and no /dev of ours: the host's does as well.
        return Ok(());
    };
    if !is_null(own.as_fd())? {
        return Ok(());
    }
    if input {
        rustix::stdio::dup2_stdin(&own)?;
    }
    if output {
        rustix::stdio::dup2_stdout(&own)?;
    }
    if error {
        rustix::stdio::dup2_stderr(&own)?;
    }
    Ok(())
}

/// Lets the user open its streams again (`/dev/stderr`). Only pipes and sockets, which are made for
/// the container: a file of the caller's keeps its owner.
fn give_to(uid: u32) -> io::Result<()> {
    for stream in sys::standard_streams() {
        let status = rustix::fs::fstat(stream)?;
        let kind = FileType::from_raw_mode(status.st_mode);
        if status.st_uid == uid || !matches!(kind, FileType::Fifo | FileType::Socket) {
            continue;
        }
        match rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None) {
            Ok(()) | Err(Errno::PERM | Errno::INVAL | Errno::ROFS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
