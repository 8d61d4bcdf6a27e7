//! A directory that paths cannot leave.
//!
//! Names that came from an image, an archive or a directory made by others are opened through
//! [`Root`]: the kernel resolves them (`openat2`) as if the directory were the root of the file
//! system, so that `..`, absolute names and symlinks stay inside, whatever anybody renames in the
//! meantime.

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
    mount::MountFlags,
};

/// Times that a resolution is tried again when somebody renamed something on its way.
const TRIES_MAX: usize = 16;

/// An open directory that paths cannot leave.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
}

impl Root {
    /// Opens a directory by a path that is trusted: it came from the user.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// Opens a regular file for reading. Anything else (a device, a pipe, a socket) is refused
    /// with `InvalidInput`, and is not waited for.
    pub fn open_file(&self, path: &Path) -> io::Result<File> {
        // Without NONBLOCK, opening a pipe would wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = self.resolve(path, flags)?;
        match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::RegularFile => Ok(File::from(fd)),
            FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }

    /// Opens a directory inside as a root of its own.
    pub fn open_directory(&self, path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: self.resolve(path, flags)? })
    }

    /// Opens what lies at a path, through all symbolic links, to be looked at or mounted elsewhere.
    pub fn open_path(&self, path: &Path) -> io::Result<OwnedFd> {
        self.resolve(path, OFlags::PATH | OFlags::CLOEXEC)
    }

    /// Makes a directory inside with its parents, as far as they are missing; `mode` is that of
    /// those made. A way that leads through something else is `NotADirectory`.
    pub fn create_directories(&self, path: &Path, mode: u32) -> io::Result<()> {
        let mut made = PathBuf::from("/");
        for component in path.components() {
            match component {
                Component::Normal(name) => made.push(name),
                Component::ParentDir => drop(made.pop()),
                _ => continue,
            }
            match self.open_directory(&made) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let parent = self.open_directory(made.parent().unwrap_or(Path::new("/")))?;
                    let name = made.file_name().unwrap_or_default();
                    let mode = Mode::from_raw_mode(mode);
                    match rustix::fs::mkdirat(&parent.directory, name, mode) {
                        // A symbolic link to nothing is there, and stays.
                        Err(Errno::EXIST) => drop(self.open_directory(&made)?),
                        done => done?,
                    }
                }
                opened => drop(opened?),
            }
        }
        Ok(())
    }

    /// What lies at a path, without following it when it is a symbolic link itself. A slash at its
    /// end follows it and wants a directory.
    pub fn stat(&self, path: &Path) -> io::Result<Stat> {
        let node = self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)?;
        Ok(rustix::fs::statat(&node, c"", AtFlags::EMPTY_PATH)?)
    }

    /// What lies at a path, through all symbolic links.
    pub fn stat_followed(&self, path: &Path) -> io::Result<Stat> {
        let node = self.resolve(path, OFlags::PATH | OFlags::CLOEXEC)?;
        Ok(rustix::fs::statat(&node, c"", AtFlags::EMPTY_PATH)?)
    }

    /// The text of the symbolic link at a path.
    pub fn read_link(&self, path: &Path) -> io::Result<OsString> {
        let node = self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)?;
        let text = rustix::fs::readlinkat(&node, c"", Vec::new())?;
        Ok(OsString::from_vec(text.into_bytes()))
    }

    /// Opens a directory inside, to be listed and changed.
    pub fn open_to_change(&self, path: &Path) -> io::Result<OwnedFd> {
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC)
    }

    /// Mounts a file or directory of the host over what lies at a path, in the mount table of the
    /// thread that calls.
    pub fn mount_over(&self, source: &Path, path: &Path, is_read_only: bool) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let place = |node: &OwnedFd| format!("/proc/self/fd/{}", node.as_raw_fd());
        let below = self.resolve(path, flags)?;
        rustix::mount::mount_bind_recursive(source, place(&below).as_str())?;
        if is_read_only {
            // What is there now is another directory than before.
            let mounted = self.resolve(path, flags)?;
            let read_only = MountFlags::BIND | MountFlags::RDONLY;
            rustix::mount::mount_remount(place(&mounted).as_str(), read_only, c"")?;
        }
        Ok(())
    }

    /// The names in a directory inside, sorted, without `.` and `..`.
    pub fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut names = Vec::new();
        for entry in Dir::new(self.resolve(path, flags)?)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        Ok(names)
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 1..TRIES_MAX {
            match rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
        Ok(rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), how)?)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::unix::fs::symlink};

    use super::*;

    #[track_caller]
    fn reads(root: &Root, path: &str, expected: &str) {
        let mut text = String::new();
        root.open_file(Path::new(path)).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, expected, "{path}");
    }

    #[test]
    fn no_name_and_no_link_leaves_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("inside");
        fs::create_dir_all(inside.join("sub")).unwrap();
        fs::write(directory.path().join("secret"), "outside").unwrap();
        fs::write(inside.join("secret"), "inside").unwrap();
        symlink("../../secret", inside.join("sub/up")).unwrap();
        symlink("/secret", inside.join("sub/absolute")).unwrap();
        symlink(directory.path().join("secret"), inside.join("sub/host")).unwrap();
        let root = Root::open(&inside).unwrap();
        for path in ["secret", "../secret", "/secret", "sub/up", "sub/absolute", "sub/../../secret"]
        {
            reads(&root, path, "inside");
        }
        let error = root.open_file(Path::new("sub/host")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        // A root inside a root is no way out of it either.
        let sub = root.open_directory(Path::new("sub")).unwrap();
        assert!(sub.open_file(Path::new("up")).is_err());
    }

    #[test]
    fn pipes_and_magic_links_are_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            directory.path().join("pipe"),
            FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        let root = Root::open(directory.path()).unwrap();
        let error = root.open_file(Path::new("pipe")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let proc = Root::open(Path::new("/proc")).unwrap();
        assert!(proc.open_file(Path::new("self/exe")).is_err());
    }

    #[test]
    fn directories_are_made_inside_whatever_links_say() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("inside");
        fs::create_dir_all(inside.join("sub")).unwrap();
        symlink("/", inside.join("up")).unwrap();
        symlink("../../../x", inside.join("out")).unwrap();
        fs::write(inside.join("file"), "").unwrap();
        let root = Root::open(&inside).unwrap();
        let make = |path: &str| root.create_directories(Path::new(path), 0o755);
        for path in ["/a/b/c", "up/d/e", "../../f", "sub/../sub/g", "/", "a/b"] {
            make(path).unwrap();
        }
        for path in ["a/b/c", "d/e", "f", "sub/g"] {
            assert!(inside.join(path).is_dir(), "{path}");
        }
        assert_eq!(make("file/x").unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(make("out").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn names_are_listed_in_order() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let root = Root::open(directory.path()).unwrap();
        assert_eq!(root.names(Path::new(".")).unwrap(), ["a", "b"]);
    }
}
