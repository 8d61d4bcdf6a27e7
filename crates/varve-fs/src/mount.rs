//! Mounts: as data, made, found again and taken away.
//!
//! A [`Mount`] says what is to be seen and no place. [`Mount::open`] has the kernel make it,
//! attached to nothing: it can be read through its handle, and is gone with it. [`attach`] gives
//! it a place, where it stays until [`unmount`]. What is mounted is known to the kernel alone;
//! [`table`] reads it.
//!
//! Paths here are the caller's own, never an image's. The kernel is given handles of them
//! (`/proc/self/fd/…`): the new mount calls take no text of more than 255 bytes, and overlayfs
//! gives a meaning to colons, commas and backslashes.

mod error;
pub mod table;
#[cfg(test)]
mod tests;

use std::{
    ffi::CString,
    fs::File,
    io::Read,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Dir, Mode, OFlags},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags,
        MoveMountFlags, OpenTreeFlags, UnmountFlags,
    },
};

use crate::durable::{self, Announced, Call};
pub use crate::overlay::Marks;
pub use error::MountError;

/// What is to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// A layer.
    Erofs(Erofs),
    /// Layers one upon the other, and what is written on top.
    Overlay(Overlay),
}

/// A layer's index with its tar, read only. Both are plain files, or both are block devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erofs {
    /// The index.
    pub index: PathBuf,
    /// The tar that holds the files' data; none when nothing in the index has any.
    pub tar: Option<PathBuf>,
}

/// Directories merged into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// What is read, the lowest first; without an upper at least two.
    pub lowers: Vec<PathBuf>,
    /// Where changes go; without it the mount is read only.
    pub upper: Option<Upper>,
    /// Which attributes of the directories are overlayfs's own.
    pub marks: Marks,
    /// The SELinux label of all that is seen, where there is to be one: see
    /// [`selinux_context`](crate::overlay::selinux_context).
    pub context: Option<String>,
}

/// Where an overlay's changes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upper {
    /// The changes. Mode, owner and time of the root that is seen are this directory's own, not
    /// the lowers': whoever makes it gives it theirs.
    pub directory: PathBuf,
    /// An empty directory beside it, for overlayfs to work in.
    pub work: PathBuf,
    /// Whether the changes need not outlive the machine: then nothing waits for the disk, neither
    /// what is written in the mount nor its end, which otherwise writes out all of the file system
    /// that the changes lie on.
    pub is_fleeting: bool,
}

/// What happens to a mount that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InUse {
    /// It stays, and that is an error.
    Refused,
    /// Its place is free at once; it goes when nobody uses it any more.
    Detached,
}

impl Mount {
    /// Has the kernel make the mount, attached to nothing.
    pub fn open(&self) -> Result<OwnedFd, MountError> {
        match self {
            Mount::Erofs(erofs) => erofs.open(),
            Mount::Overlay(overlay) => {
                overlay.clear_note()?;
                overlay.open()
            }
        }
    }

    /// Makes the mount at a place.
    pub fn mount(&self, place: &Path) -> Result<(), MountError> {
        match self.open() {
            Err(MountError::TooOld) => match self {
                Mount::Erofs(_) => Err(MountError::TooOld),
                Mount::Overlay(overlay) => overlay.mount_as_of_old(place),
            },
            opened => attach(opened?.as_fd(), place),
        }
    }

    /// Tries whether the kernel makes such a mount and its root can be read; leaves nothing.
    pub fn probe(&self) -> Result<(), MountError> {
        let mount = self.open()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let list = rustix::fs::openat(&mount, c".", flags, Mode::empty()).and_then(|root| {
            let mut entries = Dir::read_from(&root)?;
            entries.try_for_each(|entry| entry.map(drop))
        });
        list.map_err(|errno| MountError::new("read", self.kind_of_fs(), errno, String::new()))
    }

    fn kind_of_fs(&self) -> &'static str {
        match self {
            Mount::Erofs(_) => "erofs",
            Mount::Overlay(_) => "overlay",
        }
    }
}

/// Gives a mount that is attached to nothing a place: a directory, or a file for a mount of a file.
pub fn attach(mount: BorrowedFd, place: &Path) -> Result<(), MountError> {
    let _made = point(Call::Mount, place)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(mount, c"", CWD, place, flags)
        .map_err(MountError::at("attach a mount to", place))
}

/// Shows what a handle names, with what is mounted in it, at a second place: a directory for a
/// directory, a file for anything else.
pub fn bind(shown: BorrowedFd, place: &Path) -> Result<(), MountError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let copy = rustix::mount::open_tree(shown, c"", flags)
        .map_err(MountError::at("copy a mount for", place))?;
    attach(copy.as_fd(), place)
}

/// A file system in memory at a place, of mode 0700: it is gone when it is unmounted.
pub fn in_memory(place: &Path) -> Result<(), MountError> {
    let context = Context::open("tmpfs")?;
    context.set("source", "tmpfs")?;
    context.set("mode", "0700")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    attach(context.create(attributes)?.as_fd(), place)
}

/// Takes the uppermost mount at a place away.
pub fn unmount(place: &Path, in_use: InUse) -> Result<(), MountError> {
    let _made = point(Call::Unmount, place)?;
    let flags = match in_use {
        InUse::Refused => UnmountFlags::NOFOLLOW,
        InUse::Detached => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    rustix::mount::unmount(place, flags).map_err(MountError::at("unmount", place))
}

/// Makes a directory a mount of its own, in which what is mounted appears nowhere else. One that
/// is a mount already is only made so.
pub fn make_private(directory: &Path, is_mount: bool) -> Result<(), MountError> {
    let _made = point(Call::Mount, directory)?;
    if !is_mount {
        rustix::mount::mount_bind(directory, directory)
            .map_err(MountError::at("mount", directory))?;
    }
    rustix::mount::mount_change(directory, MountPropagationFlags::PRIVATE)
        .map_err(MountError::at("make private", directory))
}

/// Runs `work` on a thread of its own in which everything may be mounted over without anybody
/// seeing it: what it mounts is gone when it returns. Root only.
pub fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, MountError> {
    let apart = || -> Result<T, MountError> {
        let root = Path::new("/");
        crate::sys::unshare_mounts().map_err(MountError::at("leave the mounts of", root))?;
        let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change(root, flags).map_err(MountError::at("keep apart", root))?;
        Ok(work())
    };
    std::thread::scope(|scope| match scope.spawn(apart).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Mounts are steps between which a process may die, as durable writes are.
fn point(call: Call, path: &Path) -> Result<Announced, MountError> {
    let failed = |source| MountError::Path { action: "mount", path: path.to_owned(), source };
    durable::point(call, path).map_err(failed)
}

impl Erofs {
    fn open(&self) -> Result<OwnedFd, MountError> {
        let index = Handle::open(&self.index)?;
        let tar = self.tar.as_deref().map(Handle::open).transpose()?;
        let context = Context::open("erofs")?;
        context.set("source", &index.path())?;
        if let Some(tar) = &tar {
            context.set("device", &tar.path())?;
        }
        context.flag("ro")?;
        context.create(MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOATIME)
    }
}

impl Overlay {
    fn open(&self) -> Result<OwnedFd, MountError> {
        let handles = self.handles()?;
        let context = Context::open("overlay")?;
        context.set("source", "overlay")?;
        for lower in handles.lowers.iter().rev() {
            match context.try_set("lowerdir+", &lower.path()) {
                // Linux 6.7 brought it.
                Err(Errno::INVAL) if context.said().is_empty_or_unknown() => {
                    return Err(MountError::TooOld);
                }
                set => set.map_err(|errno| context.failed("configure", errno))?,
            }
        }
        for (key, value) in self.settings(&handles) {
            context.set(key, &value)?;
        }
        for key in self.flags() {
            context.flag(key)?;
        }
        let attributes = if self.upper.is_some() {
            MountAttrFlags::empty()
        } else {
            MountAttrFlags::MOUNT_ATTR_RDONLY
        };
        context.create(attributes)
    }

    /// By the old call, which takes at most a page of text.
    fn mount_as_of_old(&self, place: &Path) -> Result<(), MountError> {
        let handles = self.handles()?;
        let lowers: Vec<String> = handles.lowers.iter().rev().map(Handle::path).collect();
        let mut options = vec![format!("lowerdir={}", lowers.join(":"))];
        // A label may have commas in it.
        let option = |(key, value)| match key {
            "context" => format!("{key}=\"{value}\""),
            key => format!("{key}={value}"),
        };
        options.extend(self.settings(&handles).into_iter().map(option));
        options.extend(self.flags().map(str::to_owned));
        let failed = MountError::at("mount an overlay at", place);
        let text = CString::new(options.join(",")).map_err(|_| failed(Errno::INVAL))?;
        let flags = if self.upper.is_some() { MountFlags::empty() } else { MountFlags::RDONLY };
        rustix::mount::mount("overlay", place, "overlay", flags, text.as_c_str())
            .map_err(MountError::at("mount an overlay at", place))
    }

    fn handles(&self) -> Result<Handles, MountError> {
        if self.lowers.len() + usize::from(self.upper.is_some()) < 2 {
            return Err(MountError::TooFewLowers);
        }
        let lowers = self.lowers.iter().map(|path| Handle::open(path));
        let upper = self.upper.as_ref().map(|upper| {
            Ok::<_, MountError>((Handle::open(&upper.directory)?, Handle::open(&upper.work)?))
        });
        Ok(Handles { lowers: lowers.collect::<Result<_, _>>()?, upper: upper.transpose()? })
    }

    /// What an upper's content would mean must not depend on how the kernel was built: no part of
    /// a file lies elsewhere, see [`crate::upper`].
    fn settings(&self, handles: &Handles) -> Vec<(&'static str, String)> {
        let mut settings = Vec::new();
        if let Some((upper, work)) = &handles.upper {
            settings.push(("upperdir", upper.path()));
            settings.push(("workdir", work.path()));
        }
        // "off" would still follow redirections where the kernel was built to.
        settings.push(("redirect_dir", "nofollow".to_owned()));
        for key in ["metacopy", "index", "xino"] {
            settings.push((key, "off".to_owned()));
        }
        if let Some(context) = &self.context {
            settings.push(("context", context.clone()));
        }
        settings
    }

    fn flags(&self) -> impl Iterator<Item = &'static str> {
        let marks = match self.marks {
            Marks::User | Marks::UserAttributes => Some("userxattr"),
            Marks::Trusted | Marks::None => None,
        };
        let is_fleeting = self.upper.as_ref().is_some_and(|upper| upper.is_fleeting);
        marks.into_iter().chain(is_fleeting.then_some("volatile"))
    }

    /// A mount for which nothing was to be written out leaves a note that says so, and the kernel
    /// makes no other from the same directories while it is there. That is meant for changes that
    /// are to be kept.
    fn clear_note(&self) -> Result<(), MountError> {
        let Some(upper) = self.upper.as_ref().filter(|upper| upper.is_fleeting) else {
            return Ok(());
        };
        let note = upper.work.join("work/incompat");
        durable::discard_tree(&note).map_err(|source| MountError::Path {
            action: "remove",
            path: note.clone(),
            source,
        })
    }
}

struct Handles {
    /// The lowest first.
    lowers: Vec<Handle>,
    upper: Option<(Handle, Handle)>,
}

/// A file or directory that is held while the kernel is told of it.
struct Handle(OwnedFd);

impl Handle {
    fn open(path: &Path) -> Result<Self, MountError> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        opened.map(Self).map_err(MountError::at("open", path))
    }

    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

/// A mount that is being configured.
struct Context {
    fs: &'static str,
    fd: OwnedFd,
}

impl Context {
    fn open(fs: &'static str) -> Result<Self, MountError> {
        match rustix::mount::fsopen(fs, FsOpenFlags::FSOPEN_CLOEXEC) {
            Ok(fd) => Ok(Self { fs, fd }),
            Err(Errno::NOSYS) => Err(MountError::TooOld),
            Err(errno) => Err(MountError::new("use", fs, errno, String::new())),
        }
    }

    fn set(&self, key: &str, value: &str) -> Result<(), MountError> {
        self.try_set(key, value).map_err(|errno| self.failed("configure", errno))
    }

    fn try_set(&self, key: &str, value: &str) -> Result<(), Errno> {
        rustix::mount::fsconfig_set_string(self.fd.as_fd(), key, value)
    }

    fn flag(&self, key: &str) -> Result<(), MountError> {
        rustix::mount::fsconfig_set_flag(self.fd.as_fd(), key)
            .map_err(|errno| self.failed("configure", errno))
    }

    fn create(&self, attributes: MountAttrFlags) -> Result<OwnedFd, MountError> {
        rustix::mount::fsconfig_create(self.fd.as_fd())
            .map_err(|errno| self.failed("create", errno))?;
        rustix::mount::fsmount(self.fd.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(|errno| self.failed("mount", errno))
    }

    fn failed(&self, action: &'static str, errno: Errno) -> MountError {
        MountError::new(action, self.fs, errno, self.said().0)
    }

    /// What the kernel has to say, in its words.
    fn said(&self) -> Said {
        let mut lines = Vec::new();
        let Ok(fd) = self.fd.try_clone() else { return Said(String::new()) };
        let (mut file, mut buffer) = (File::from(fd), [0; 1024]);
        // A read gives one message; then there are no more.
        while let Ok(length @ 1..) = file.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            lines.push(text.trim_start_matches(['e', 'w', 'i']).trim().to_owned());
        }
        Said(lines.join("; "))
    }
}

struct Said(String);

impl Said {
    fn is_empty_or_unknown(&self) -> bool {
        self.0.is_empty() || self.0.contains("Unknown parameter")
    }
}
