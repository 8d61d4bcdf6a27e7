//! The mounts of a configuration: options read, file systems made, put on their places.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::CWD,
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
    },
};

use crate::sys::{self, MountAttributes};

/// A mount's options, sorted by what they are for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Attributes of the mount, `MOUNT_ATTR_…`.
    pub(super) set: u64,
    pub(super) clear: u64,
    /// The same for what is mounted beneath a bind.
    pub(super) set_below: u64,
    pub(super) clear_below: u64,
    /// `MS_SHARED` and so on.
    pub(super) propagation: u64,
    pub(super) propagation_below: u64,
    pub(super) bind: Option<Bind>,
    /// What is left is the file system's.
    pub(super) data: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bind {
    Alone,
    Recursive,
}

impl Options {
    pub(super) fn parse(options: &[String]) -> Self {
        let mut parsed = Self::default();
        for option in options {
            parsed.add(option);
        }
        parsed
    }

    fn add(&mut self, option: &str) {
        match option {
            "bind" => self.bind = self.bind.or(Some(Bind::Alone)),
            "rbind" => self.bind = Some(Bind::Recursive),
            "defaults" | "async" => {}
            _ => {
                if let Some((set, clear)) = attribute(option) {
                    self.clear = (self.clear & !set) | clear;
                    self.set = (self.set & !clear) | set;
                } else if let Some((set, clear)) = option.strip_prefix('r').and_then(attribute) {
                    self.clear_below = (self.clear_below & !set) | clear;
                    self.set_below = (self.set_below & !clear) | set;
                } else if let Some(kind) = propagation(option) {
                    self.propagation = kind;
                } else if let Some(kind) = option.strip_prefix('r').and_then(propagation) {
                    self.propagation_below = kind;
                } else {
                    self.data.push(option.to_owned());
                }
            }
        }
    }
}

/// What an option sets and clears.
fn attribute(option: &str) -> Option<(u64, u64)> {
    let atime = libc::MOUNT_ATTR__ATIME;
    Some(match option {
        "ro" => (libc::MOUNT_ATTR_RDONLY, 0),
        "rw" => (0, libc::MOUNT_ATTR_RDONLY),
        "nosuid" => (libc::MOUNT_ATTR_NOSUID, 0),
        "suid" => (0, libc::MOUNT_ATTR_NOSUID),
        "nodev" => (libc::MOUNT_ATTR_NODEV, 0),
        "dev" => (0, libc::MOUNT_ATTR_NODEV),
        "noexec" => (libc::MOUNT_ATTR_NOEXEC, 0),
        "exec" => (0, libc::MOUNT_ATTR_NOEXEC),
        "nodiratime" => (libc::MOUNT_ATTR_NODIRATIME, 0),
        "diratime" => (0, libc::MOUNT_ATTR_NODIRATIME),
        "nosymfollow" => (libc::MOUNT_ATTR_NOSYMFOLLOW, 0),
        "symfollow" => (0, libc::MOUNT_ATTR_NOSYMFOLLOW),
        "noatime" => (libc::MOUNT_ATTR_NOATIME, atime),
        "strictatime" => (libc::MOUNT_ATTR_STRICTATIME, atime),
        // Relative times are value 0 of the field.
        "relatime" | "atime" | "norelatime" | "nostrictatime" => (0, atime),
        _ => return None,
    })
}

fn propagation(option: &str) -> Option<u64> {
    Some(match option {
        "shared" => libc::MS_SHARED,
        "slave" => libc::MS_SLAVE,
        "private" => libc::MS_PRIVATE,
        "unbindable" => libc::MS_UNBINDABLE,
        _ => return None,
    })
}

/// Makes a file system that is mounted nowhere yet.
pub(super) fn make(
    kind: &str,
    source: Option<&str>,
    data: &[String],
    attributes: u64,
) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    if let Some(source) = source {
        fsconfig_set_string(&context, "source", source)?;
    }
    for option in data {
        match option.split_once('=') {
            Some((key, value)) => fsconfig_set_string(&context, key, value)?,
            None => fsconfig_set_flag(&context, option.as_str())?,
        }
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::from_bits_retain(attributes as u32);
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Copies a mount, from a path of the caller's, into one that is mounted nowhere yet.
pub(super) fn copy(path: &Path, bind: Bind) -> io::Result<OwnedFd> {
    Ok(open_tree(CWD, path, copy_flags(bind))?)
}

/// Copies what a handle names into a mount that is mounted nowhere yet.
pub(super) fn copy_handle(handle: impl AsFd, bind: Bind) -> io::Result<OwnedFd> {
    let flags = copy_flags(bind) | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(open_tree(handle, "", flags)?)
}

fn copy_flags(bind: Bind) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match bind {
        Bind::Alone => flags,
        Bind::Recursive => flags | OpenTreeFlags::AT_RECURSIVE,
    }
}

/// Puts a mount on a place. Both are handles: no name is looked up.
pub(super) fn put(mount: impl AsFd, place: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", place, "", flags)?)
}

/// Gives a mount its attributes and propagation.
pub(super) fn set_attributes(mount: impl AsFd, options: &Options) -> io::Result<()> {
    let mount = mount.as_fd();
    let steps = [
        (options.set_below, options.clear_below, 0, true),
        (options.set, options.clear, 0, false),
        (0, 0, options.propagation_below, true),
        (0, 0, options.propagation, false),
    ];
    for (set, clear, propagation, below) in steps {
        if (set, clear, propagation) != (0, 0, 0) {
            let attributes = MountAttributes { set, clear, propagation, user_namespace: 0 };
            sys::set_mount_attributes(mount, attributes, below)?;
        }
    }
    Ok(())
}

/// Makes what a handle shows read-only from now on: a copy of it is laid over it.
pub(super) fn make_read_only(place: impl AsFd) -> io::Result<()> {
    let copy = copy_handle(&place, Bind::Recursive)?;
    let attributes = MountAttributes { set: libc::MOUNT_ATTR_RDONLY, ..Default::default() };
    sys::set_mount_attributes(copy.as_fd(), attributes, true)?;
    put(copy, place)
}

/// Whether an error says that there is nothing at a path.
pub(super) fn is_missing(error: &io::Error) -> bool {
    [Errno::NOENT, Errno::NOTDIR].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted_by_what_they_are_for() {
        let options = ["rbind", "ro", "nosuid", "suid", "rro", "rslave", "size=64k", "noatime"];
        let parsed = Options::parse(&options.map(str::to_owned));
        assert_eq!(
            parsed,
            Options {
                set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOATIME,
                // The kernel wants the whole field of times cleared when one is set.
                clear: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR__ATIME,
                set_below: libc::MOUNT_ATTR_RDONLY,
                clear_below: 0,
                propagation: 0,
                propagation_below: libc::MS_SLAVE,
                bind: Some(Bind::Recursive),
                data: vec!["size=64k".to_owned()],
            }
        );
    }
}
