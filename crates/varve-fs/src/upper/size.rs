//! How many bytes the files below a directory have, and when any was last changed.

use std::{
    collections::HashSet,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::fs::{AtFlags, FileType, Stat};

use super::{Frame, UpperError, names, open_directory};
use crate::tar::Time;

/// Bytes of all files and links below a directory, one with several names counted once, as Docker
/// counts a container's changes and a volume. Directories count nothing, and neither does what
/// goes while it is looked at.
pub fn size(directory: BorrowedFd) -> Result<u64, UpperError> {
    let bytes = |stat: &Stat| {
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_directory { 0 } else { stat.st_size.max(0) as u64 }
    };
    sum(directory, bytes)
}

/// What all below a directory takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of disk, as `du` counts them: a file with several names once, directories too, and
    /// what goes while it is looked at not.
    pub allocated_bytes: u64,
    /// When anything was last written, made, renamed or removed there, as the kernel has it: no
    /// program can set this.
    pub changed: Time,
}

/// What all below a directory takes, and when anything of it was last changed; the directory's own
/// entries count.
pub fn usage(directory: BorrowedFd) -> Result<Usage, UpperError> {
    let own = rustix::fs::fstat(directory).map_err(UpperError::io("read", &[]))?;
    let mut changed = changed(&own);
    let allocated_bytes = sum(directory, |stat| {
        changed = changed.max(self::changed(stat));
        (stat.st_blocks.max(0) as u64).saturating_mul(512)
    })?;
    Ok(Usage { allocated_bytes, changed })
}

/// When a file was last changed, as the kernel has it.
fn changed(stat: &Stat) -> Time {
    Time { seconds: stat.st_ctime, nanoseconds: stat.st_ctime_nsec as u32 }
}

fn sum(directory: BorrowedFd, mut bytes_of: impl FnMut(&Stat) -> u64) -> Result<u64, UpperError> {
    let mut path = Vec::new();
    let root = open_directory(directory, &path)?;
    let mut frames: Vec<Frame> = vec![(0, names(&root, &path)?)];
    let mut here = Some(root);
    let (mut bytes, mut seen) = (0_u64, HashSet::new());
    while let Some((length, names_here)) = frames.last_mut() {
        path.truncate(*length);
        let Some(name) = names_here.next() else {
            frames.pop();
            here = None;
            continue;
        };
        let parent = match here.take() {
            Some(parent) => parent,
            None => match open_directory(directory, &path) {
                Ok(parent) => parent,
                Err(error) if error.is_gone() => {
                    frames.pop();
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        let stat = match rustix::fs::statat(parent.as_fd(), &*name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(rustix::io::Errno::NOENT) => {
                here = Some(parent);
                continue;
            }
            Err(errno) => return Err(UpperError::io("read", &path)(errno)),
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            bytes = bytes.saturating_add(bytes_of(&stat));
            match open_directory(directory, &path) {
                Ok(inner) => {
                    frames.push((path.len(), names(&inner, &path)?));
                    here = Some(inner);
                }
                Err(error) if error.is_gone() => here = Some(parent),
                Err(error) => return Err(error),
            }
            continue;
        }
        here = Some(parent);
        if stat.st_nlink < 2 || seen.insert((stat.st_dev, stat.st_ino)) {
            bytes = bytes.saturating_add(bytes_of(&stat));
        }
    }
    Ok(bytes)
}
