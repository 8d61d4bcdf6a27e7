//! Making one file of any kind in a directory's handle.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::FileExt,
    },
    sync::atomic::Ordering,
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

use super::{
    Marks, Work,
    error::{Failure, Tried},
};
use crate::{
    owners::{self, Missing, Owner},
    tar::Device,
    tree::{Content, FileBytes, Inode, InodeId},
};

/// Bytes asked of the kernel, or copied by hand, at once.
const COPY_SIZE_BYTES: u64 = 1 << 30;
const BUFFER_SIZE_BYTES: usize = 256 << 10;

impl Work<'_> {
    /// Makes what `name` is; a directory without its attributes.
    pub(super) fn make(
        &self,
        directory: BorrowedFd,
        name: &[u8],
        id: InodeId,
    ) -> Result<(), Failure> {
        let inode = self.request.source.tree().inode(id);
        match &inode.content {
            Content::File(bytes) => self.make_file(directory, name, id, inode, bytes),
            Content::Directory(_) => {
                rustix::fs::mkdirat(directory, name, Mode::RWXU).tried("create directory")
            }
            Content::Symlink(target) => {
                rustix::fs::symlinkat(&**target, directory, name).tried("create")?;
                self.attributes_of_node(directory, name, inode)
            }
            Content::CharacterDevice(device) => {
                self.make_device(directory, name, inode, FileType::CharacterDevice, *device)
            }
            Content::BlockDevice(device) => {
                self.make_device(directory, name, inode, FileType::BlockDevice, *device)
            }
            Content::Fifo => {
                rustix::fs::mknodat(directory, name, FileType::Fifo, Mode::RUSR, 0)
                    .tried("create")?;
                self.attributes_of_node(directory, name, inode)
            }
            Content::Whiteout => self.make_whiteout(directory, name),
            // In a layer it is nothing yet, in a merged tree there is none.
            Content::ForeignHardLink(_) => Ok(()),
        }
    }

    /// Gives a directory its attributes, when nothing will be made in it any more.
    pub(super) fn finish_directory(
        &self,
        directory: BorrowedFd,
        id: InodeId,
    ) -> Result<(), Failure> {
        let tree = self.request.source.tree();
        let inode = tree.inode(id);
        let Content::Directory(own) = &inode.content else { return Ok(()) };
        let holds_whiteouts =
            || tree.children(id).any(|(_, id)| matches!(tree.inode(id).content, Content::Whiteout));
        let marks = self.request.marks;
        let opaque = if own.is_opaque {
            Some(b"y")
        } else if marks == Marks::UserAttributes && holds_whiteouts() {
            // Only there does overlayfs look for whiteouts that are files.
            Some(b"x")
        } else {
            None
        };
        if let (Some(value), Some(name)) = (opaque, marks.own("opaque")) {
            rustix::fs::fsetxattr(directory, name, value, XattrFlags::empty())
                .tried("mark as opaque")?;
        }
        self.attributes(directory, inode)
    }

    fn make_file(
        &self,
        directory: BorrowedFd,
        name: &[u8],
        id: InodeId,
        inode: &Inode,
        bytes: &FileBytes,
    ) -> Result<(), Failure> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = File::from(rustix::fs::openat(directory, name, flags, mode).tried("create")?);
        let tar = self.request.source.tar(id);
        let mut end = 0;
        for extent in bytes.extents() {
            copy(tar, extent.tar_offset, &file, extent.offset, extent.length)?;
            end = extent.offset + extent.length;
        }
        if end != bytes.size {
            rustix::fs::ftruncate(&file, bytes.size).tried("extend")?;
        }
        self.attributes(file.as_fd(), inode)
    }

    fn make_device(
        &self,
        directory: BorrowedFd,
        name: &[u8],
        inode: &Inode,
        kind: FileType,
        device: Device,
    ) -> Result<(), Failure> {
        let number = rustix::fs::makedev(device.major, device.minor);
        match rustix::fs::mknodat(directory, name, kind, Mode::RUSR, number) {
            Err(Errno::PERM)
                if matches!(self.request.marks, Marks::User | Marks::UserAttributes) =>
            {
                self.devices_refused.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            made => {
                made.tried("create")?;
                self.attributes_of_node(directory, name, inode)
            }
        }
    }

    fn make_whiteout(&self, directory: BorrowedFd, name: &[u8]) -> Result<(), Failure> {
        match self.request.marks {
            Marks::None => Ok(()),
            Marks::Trusted | Marks::User => {
                let kind = FileType::CharacterDevice;
                rustix::fs::mknodat(directory, name, kind, Mode::empty(), 0).tried("create")
            }
            Marks::UserAttributes => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let file = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)
                    .tried("create")?;
                let name = "user.overlay.whiteout";
                rustix::fs::fsetxattr(&file, name, b"y", XattrFlags::empty())
                    .tried("mark as whiteout")
            }
        }
    }

    /// Attributes of an open file or directory. The owner goes first: to change it takes
    /// set-user-ID bits and capabilities away. The mode may take the right to set the others.
    fn attributes(&self, file: BorrowedFd, inode: &Inode) -> Result<(), Failure> {
        let missing = self.give(inode, |user, group| rustix::fs::fchown(file, user, group))?;
        for (name, value) in self.xattrs(inode) {
            self.xattr(rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()))?;
        }
        if missing.any() && self.keeps_owners() {
            let value = Owner { uid: inode.uid, gid: inode.gid, mode: inode.mode }.value();
            let flags = XattrFlags::empty();
            rustix::fs::fsetxattr(file, owners::ATTRIBUTE, &value, flags)
                .tried("keep the owner of")?;
        }
        let is_directory = matches!(inode.content, Content::Directory(_));
        let mode = Mode::from(missing.safe(inode.mode, is_directory));
        rustix::fs::fchmod(file, mode).tried("change the mode of")?;
        rustix::fs::futimens(file, &times(inode)).tried("change the time of")
    }

    /// Gives a file its owner, as far as that can be.
    fn give(
        &self,
        inode: &Inode,
        set: impl Fn(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
    ) -> Result<Missing, Failure> {
        let is_plain = self.request.marks == Marks::None;
        match owners::give((inode.uid, inode.gid), set) {
            // An ordinary user exports files as their own, as everybody's tar does.
            Err(Errno::PERM) if is_plain => Ok(Missing { user: true, group: true }),
            given => given.tried("change the owner of"),
        }
    }

    /// Whether owners that cannot be expressed are kept beside the files.
    fn keeps_owners(&self) -> bool {
        matches!(self.request.marks, Marks::User | Marks::UserAttributes)
    }

    /// The attributes to be set, under the names that they are kept under.
    fn xattrs<'i>(&self, inode: &'i Inode) -> impl Iterator<Item = (Vec<u8>, &'i [u8])> {
        let kept = inode.xattrs.iter().filter(|(name, _)| {
            // From a tar it would be taken for ours.
            let is_ours = self.keeps_owners() && **name == *owners::ATTRIBUTE;
            if is_ours {
                self.xattrs_refused.fetch_add(1, Ordering::Relaxed);
            }
            !is_ours
        });
        kept.map(|(name, value)| (self.request.marks.escaped(name), &**value))
    }

    /// Attributes of something that must not be opened to be read or written.
    fn attributes_of_node(
        &self,
        directory: BorrowedFd,
        name: &[u8],
        inode: &Inode,
    ) -> Result<(), Failure> {
        let no_follow = AtFlags::SYMLINK_NOFOLLOW;
        let missing = self.give(inode, |user, group| {
            rustix::fs::chownat(directory, name, user, group, no_follow)
        })?;
        let is_symlink = matches!(inode.content, Content::Symlink(_));
        if !is_symlink || !inode.xattrs.is_empty() {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let node = rustix::fs::openat(directory, name, flags, Mode::empty()).tried("open")?;
            // The one way by which these calls reach a handle that is open for nothing.
            let path = format!("/proc/self/fd/{}", node.as_raw_fd());
            for (name, value) in self.xattrs(inode) {
                self.xattr(rustix::fs::setxattr(&path, name, value, XattrFlags::empty()))?;
            }
            if !is_symlink {
                let mode = Mode::from(missing.safe(inode.mode, false));
                rustix::fs::chmod(&path, mode).tried("change the mode of")?;
            }
        }
        rustix::fs::utimensat(directory, name, &times(inode), no_follow).tried("change the time of")
    }

    /// As in Docker, what the file system cannot keep, or the user may not set, is left out.
    fn xattr(&self, set: Result<(), Errno>) -> Result<(), Failure> {
        match set {
            // The last is what a name is answered with that is too long, escaped or not.
            Err(Errno::NOTSUP | Errno::PERM | Errno::RANGE) => {
                self.xattrs_refused.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            set => set.tried("set an attribute of"),
        }
    }
}

fn times(inode: &Inode) -> Timestamps {
    let time =
        Timespec { tv_sec: inode.mtime.seconds, tv_nsec: i64::from(inode.mtime.nanoseconds) as _ };
    Timestamps { last_access: time, last_modification: time }
}

/// Copies a range of the tar into a file, within the kernel where that can be.
fn copy(tar: &File, from: u64, file: &File, to: u64, length: u64) -> Result<(), Failure> {
    let (mut from, mut to, mut rest) = (from, to, length);
    while rest > 0 {
        let wanted = rest.min(COPY_SIZE_BYTES) as usize;
        match rustix::fs::copy_file_range(tar, Some(&mut from), file, Some(&mut to), wanted) {
            Ok(0) => return Err(Failure::TarTooShort),
            Ok(count) => rest -= count as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return copy_by_hand(tar, from, file, to, rest);
            }
            Err(error) => return Err(Failure::Io("write", error.into())),
        }
    }
    Ok(())
}

fn copy_by_hand(tar: &File, from: u64, file: &File, to: u64, length: u64) -> Result<(), Failure> {
    let mut buffer = vec![0; BUFFER_SIZE_BYTES.min(length as usize)];
    let mut done = 0;
    while done < length {
        let wanted = buffer.len().min((length - done) as usize);
        let count = match tar.read_at(&mut buffer[..wanted], from + done) {
            Ok(0) => return Err(Failure::TarTooShort),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::Io("read the data of", error)),
        };
        let written = file.write_all_at(&buffer[..count], to + done);
        written.map_err(|error| Failure::Io("write", error))?;
        done += count as u64;
    }
    Ok(())
}
