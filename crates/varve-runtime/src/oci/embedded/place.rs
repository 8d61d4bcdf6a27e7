//! Places in a container's root, by names that came from an image or a user.
//!
//! The kernel resolves them as if the root were the file system's; what comes back is a handle, and
//! mounts are put on handles. So nobody who changes a link at the same time changes the place.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

/// Times that a resolution is tried again when somebody renamed something on its way.
const TRIES_MAX: usize = 64;
/// Most links to nothing on one way.
const LINKS_MAX: usize = 40;
/// Longest way through a root.
const COMPONENTS_MAX: usize = 255;

/// Whether links in the image count on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// Within the root.
    Follow,
    /// A link anywhere is an error (`ELOOP`).
    Refuse,
}

/// What to make where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    Directory,
    File,
}

/// Opens what is there, without reading it.
pub(super) fn open(root: impl AsFd, path: &str, links: Links) -> io::Result<OwnedFd> {
    let mut how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        how |= ResolveFlags::NO_SYMLINKS;
    }
    let path = if path.trim_matches('/').is_empty() { "." } else { path };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES_MAX => tries += 1,
            other => return Ok(other?),
        }
    }
}

/// Opens what is there, or makes it with the directories that lead to it. A link that leads to
/// nothing is followed within the root, and what it names is made.
pub(super) fn open_or_make(
    root: impl AsFd,
    path: &str,
    make: Make,
    links: Links,
) -> io::Result<OwnedFd> {
    match open(&root, path, links) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match walk(root.as_fd(), &path, make, links)? {
            Walk::Arrived(handle) => return Ok(handle),
            Walk::Link(further) => path = further,
        }
    }
    Err(Errno::LOOP.into())
}

enum Walk {
    Arrived(OwnedFd),
    /// There was a link to nothing; this is the way with the link read.
    Link(String),
}

fn walk(root: BorrowedFd<'_>, path: &str, make: Make, links: Links) -> io::Result<Walk> {
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if names.len() > COMPONENTS_MAX {
        return Err(Errno::NAMETOOLONG.into());
    }
    let mut parent = open(root, ".", links)?;
    for end in 1..=names.len() {
        let so_far = names[..end].join("/");
        let make = if end == names.len() { make } else { Make::Directory };
        let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        parent = match open(root, &so_far, links) {
            Err(error) if missing(&error) => {
                match self::make(&parent, names[end - 1], make) {
                    // Somebody else was quicker, or a link leads nowhere: the next lines tell.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                match open(root, &so_far, links) {
                    Err(error) if missing(&error) => {
                        let link = rustix::fs::readlinkat(&parent, names[end - 1], Vec::new())?;
                        let link = link.to_str().map_err(|_| Errno::ILSEQ)?;
                        let rest = names[end..].join("/");
                        let before =
                            if link.starts_with('/') { "" } else { &names[..end - 1].join("/") };
                        return Ok(Walk::Link(format!("{before}/{link}/{rest}")));
                    }
                    other => other?,
                }
            }
            other => other?,
        };
    }
    Ok(Walk::Arrived(parent))
}

fn make(parent: &OwnedFd, name: &str, make: Make) -> Result<(), Errno> {
    if name == ".." {
        return Err(Errno::NOENT);
    }
    let mode = Mode::from_raw_mode(0o755);
    match make {
        Make::Directory => rustix::fs::mkdirat(parent, name, mode),
        Make::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags | OFlags::NOFOLLOW, mode).map(drop)
        }
    }
}

/// Opens the directory that holds `path`, making it where it is not, and the last name.
pub(super) fn parent_of(root: impl AsFd, path: &str) -> io::Result<(OwnedFd, String)> {
    let path = path.trim_end_matches('/');
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    if matches!(name, "" | "." | "..") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a name of a file"));
    }
    let directory = open_or_make(root, directory, Make::Directory, Links::Follow)?;
    Ok((directory, name.to_owned()))
}

/// What kind of file a handle is.
pub(super) fn kind(handle: impl AsFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(handle)?.st_mode))
}

/// Whether a handle lies on the kernel's process file system.
pub(super) fn is_procfs(handle: impl AsFd) -> io::Result<bool> {
    const PROC: i64 = 0x9fa0;
    Ok(rustix::fs::fstatfs(handle)?.f_type == PROC)
}
