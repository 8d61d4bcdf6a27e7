//! Owners that a user namespace has no number for, kept as an attribute.
//!
//! In a namespace with one ID, or with 65,536, the kernel answers `chown` to any other with `EINVAL`.
//! The file then belongs to the namespace's root, and says whose it is in the attribute in which
//! containers/storage and fuse-overlayfs keep the same:
//!
//! ```text
//! user.containers.override_stat = "UID:GID:0MODE"
//! ```
//!
//! Overlayfs shows the attribute and copies it up, so what a container changes of such a file keeps
//! its owner, and the layer made of it names that owner again. Only files and directories may have
//! attributes of users; symbolic links and devices have their owners in the tar alone.
//!
//! A set-user-ID bit stays off where it would stand for another user than the owner.

use rustix::{
    fs::{FileType, Gid, Stat, Uid},
    io::Errno,
};

/// The attribute's name.
pub(crate) const ATTRIBUTE: &[u8] = b"user.containers.override_stat";

const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;

/// Who owns a file, and with which mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Permission bits.
    pub(crate) mode: u32,
}

/// What of an owner could not be given to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Missing {
    pub(crate) user: bool,
    pub(crate) group: bool,
}

impl Missing {
    pub(crate) fn any(self) -> bool {
        self.user || self.group
    }

    /// The bits of a mode that do not let anybody become somebody whom the tar does not name.
    pub(crate) fn safe(self, mode: u32, is_directory: bool) -> u32 {
        let mut safe = mode;
        if self.user {
            safe &= !SET_UID;
        }
        if self.group && !is_directory {
            safe &= !SET_GID;
        }
        safe
    }
}

/// Gives a file its owner by `set`, which is `chown` in some form, as far as both IDs can be
/// expressed here. What cannot is left as it was.
pub(crate) fn give(
    (uid, gid): (u32, u32),
    set: impl Fn(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
) -> Result<Missing, Errno> {
    let (user, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    let lacks = |set: Result<(), Errno>| match set {
        Ok(()) => Ok(false),
        Err(Errno::INVAL) => Ok(true),
        Err(error) => Err(error),
    };
    if !lacks(set(user, group))? {
        return Ok(Missing::default());
    }
    Ok(Missing { user: lacks(set(user, None))?, group: lacks(set(None, group))? })
}

impl Owner {
    /// The attribute's value.
    pub(crate) fn value(self) -> Vec<u8> {
        format!("{}:{}:0{:o}", self.uid, self.gid, self.mode).into_bytes()
    }

    /// Reads the attribute's value. What others add behind the mode is of no meaning here.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(value).ok()?.split(':');
        let (uid, gid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let mode = u32::from_str_radix(words.next()?, 8).ok().filter(|mode| *mode <= 0o7777)?;
        Some(Self { uid, gid, mode })
    }

    /// Puts into a file's facts what the attribute knows better. Who was given the file since, other
    /// than root, has it, and so does a mode that was changed.
    pub(crate) fn restore(self, stat: &mut Stat) {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::Directory) {
            return;
        }
        let mode = stat.st_mode & 0o7777;
        let missing = Missing {
            user: stat.st_uid == 0 && self.uid != 0,
            group: stat.st_gid == 0 && self.gid != 0,
        };
        if missing.safe(self.mode, kind == FileType::Directory) == mode {
            stat.st_mode = stat.st_mode - mode + self.mode;
        }
        if missing.user {
            stat.st_uid = self.uid;
        }
        if missing.group {
            stat.st_gid = self.gid;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_that_of_containers_storage() {
        let owner = Owner { uid: 1000, gid: 70_000, mode: 0o4755 };
        assert_eq!(owner.value(), b"1000:70000:04755");
        assert_eq!(Owner::parse(b"1000:70000:04755"), Some(owner));
        assert_eq!(Owner::parse(b"1000:70000:04755:file"), Some(owner));
        for broken in ["", "1", "1:2", "1:2:", "1:2:9", "1:2:17777", "-1:2:0", "a:b:c", "\u{ff}"] {
            assert_eq!(Owner::parse(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn only_what_cannot_be_expressed_is_missing() {
        let namespace = |user: Option<Uid>, group: Option<Gid>| {
            let known = user.is_none_or(Uid::is_root) && group.is_none_or(Gid::is_root);
            if known { Ok(()) } else { Err(Errno::INVAL) }
        };
        let missing = |owner| give(owner, namespace).unwrap();
        assert_eq!(missing((0, 0)), Missing::default());
        assert_eq!(missing((0, 5)), Missing { user: false, group: true });
        assert_eq!(missing((5, 0)), Missing { user: true, group: false });
        assert_eq!(missing((5, 5)), Missing { user: true, group: true });
        assert_eq!(give((5, 5), |_, _| Err(Errno::PERM)), Err(Errno::PERM));
    }

    #[test]
    fn nobody_becomes_root_by_a_file_that_is_not_roots() {
        let missing = Missing { user: true, group: true };
        assert_eq!(missing.safe(0o6755, false), 0o755);
        assert_eq!(missing.safe(0o2775, true), 0o2775);
        assert_eq!(Missing { user: false, group: true }.safe(0o6755, false), 0o4755);
    }

    #[test]
    fn what_was_changed_since_counts() {
        let stat = |mode: u32, uid, gid| {
            let mut stat = rustix::fs::stat("/proc/self").unwrap();
            (stat.st_mode, stat.st_uid, stat.st_gid) = (0o100_000 | mode, uid, gid);
            stat
        };
        let restored = |mut stat: Stat| {
            Owner { uid: 33, gid: 34, mode: 0o4755 }.restore(&mut stat);
            (stat.st_mode, stat.st_uid, stat.st_gid)
        };
        assert_eq!(restored(stat(0o755, 0, 0)), (0o104_755, 33, 34));
        assert_eq!(restored(stat(0o700, 0, 0)), (0o100_700, 33, 34));
        assert_eq!(restored(stat(0o755, 7, 0)), (0o100_755, 7, 34));
        assert_eq!(restored(stat(0o755, 0, 8)), (0o104_755, 33, 8));
    }
}
