//! One file or directory, with all in it, made into a tar to be copied elsewhere: Docker's `cp`.

use std::{
    collections::HashMap,
    io::Write,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::{Layer, Node, Times, UpperError, What, Xattrs, open_within};
use crate::{
    overlay::Marks,
    tar::{EntryKind, Writer},
};

/// Writes what is called `name` in a directory, under another name, which may be `.`; what is
/// mounted in it too. `name` is a single name, or `.` for the directory itself, and is not followed
/// when it is a symbolic link. `marks` are those of the overlay that shows it, if one does. Gives the
/// target back with the number of sockets left out.
pub fn write_copy<W: Write>(
    (directory, name): (BorrowedFd, &[u8]),
    as_name: &[u8],
    marks: Marks,
    target: W,
) -> Result<(W, u64), UpperError> {
    let failed = UpperError::io("read", name);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let node = rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(failed)?;
    let stat = rustix::fs::statat(&node, "", AtFlags::EMPTY_PATH).map_err(failed)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mut layer = Layer {
        upper: directory,
        prefix: Vec::new(),
        what: What::Files,
        xattrs: Xattrs::shown(marks),
        writer: Writer::new(target),
        links: HashMap::new(),
        sockets: 0,
        times: Times::Own,
        real_times: None,
    };
    let handle = format!("/proc/self/fd/{}", node.as_raw_fd());
    let found = layer.xattrs.read(&handle, name)?;
    let stat = found.facts(stat);
    // A slash at the end of what is no directory means nothing to a tar.
    let path = if as_name.is_empty() { b"." } else { as_name };
    let node_of = Node { path, stat: &stat, xattrs: &found.kept, mtime: layer.mtime(&stat) };
    match kind {
        FileType::Directory => {
            let entry = node_of.entry(EntryKind::Directory);
            layer.writer.append_bytes(&entry, b"").map_err(UpperError::Write)?;
            let inner = open_within(directory, name, What::Files)?;
            layer.upper = inner.as_fd();
            layer.prefix = [path, b"/"].concat();
            layer.walk()?;
            let target = layer.writer.finish().map_err(UpperError::Write)?;
            return Ok((target, layer.sockets));
        }
        FileType::Socket => layer.sockets += 1,
        kind => layer.first_name(&node_of, kind, &node, &handle)?,
    }
    let target = layer.writer.finish().map_err(UpperError::Write)?;
    Ok((target, layer.sockets))
}
