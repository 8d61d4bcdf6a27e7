//! Who hears of durable calls: nobody, but in tests.
//!
//! An [`Observer`] in the process is asked before each call and told when it is done. [`AskedAbout`]
//! is one that asks another process, so that a test can stop a whole program, and those that it
//! starts, at any call, or look at the disk between two calls.

use std::{
    any::Any,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::process::{Signal, getpid, kill_process};

/// What a point is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Create a file.
    Create,
    /// Create a directory.
    CreateDirectory,
    /// Write bytes into a file.
    Write,
    /// Change a file's length.
    Truncate,
    /// Change a file's mode.
    SetMode,
    /// Sync a file.
    Sync,
    /// Sync a directory.
    SyncDirectory,
    /// Sync everything in a file system.
    SyncFileSystem,
    /// Rename or exchange names.
    Rename,
    /// Give a file another name.
    Link,
    /// Remove a file's name.
    Unlink,
    /// Remove an empty directory.
    RemoveDirectory,
    /// Give a mount a place.
    Mount,
    /// Take a mount away.
    Unmount,
}

/// A call that is about to be made.
#[derive(Debug, Clone, Copy)]
pub struct Point<'a> {
    /// What it does.
    pub call: Call,
    /// What it does it to; empty where only an open file is known.
    pub path: &'a Path,
    /// The open file, where there is one.
    pub file: Option<&'a File>,
}

/// Something that is dropped when the call has been made; `None` for an observer that does not ask
/// when that is.
pub type Announced = Option<Box<dyn Any>>;

/// Hears of every point before it happens; an error is returned in place of doing it.
pub trait Observer: Send + Sync {
    /// Called before the call.
    fn before(&self, point: Point<'_>) -> io::Result<Announced>;
}

static OBSERVER: OnceLock<Box<dyn Observer>> = OnceLock::new();

/// Installs the observer of this process, once; for tests. Returns whether it was the first.
pub fn observe(observer: Box<dyn Observer>) -> bool {
    OBSERVER.set(observer).is_ok()
}

/// Announces a call on a path. What is returned is to be kept until the call has been made.
pub(crate) fn point(call: Call, path: &Path) -> io::Result<Announced> {
    announce(Point { call, path, file: None })
}

/// Announces a call on an open file.
pub(crate) fn file_point(call: Call, file: &File) -> io::Result<Announced> {
    announce(Point { call, path: Path::new(""), file: Some(file) })
}

fn announce(point: Point<'_>) -> io::Result<Announced> {
    match OBSERVER.get() {
        None => Ok(None),
        Some(observer) => observer.before(point),
    }
}

/// An observer that asks whoever listens on a socket, with a connection for each call.
///
/// It writes one line: the call, the inode (0 if there is none yet) and the path. It reads one line: `go`, `die`, or
/// the number of an error that the call is to fail with. It closes the connection when the call has been made. One
/// who accepts one connection after the other thereby lets one call happen at a time.
#[derive(Debug)]
pub struct AskedAbout {
    socket: PathBuf,
}

impl AskedAbout {
    /// Asks at this socket.
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }
}

impl Observer for AskedAbout {
    fn before(&self, point: Point<'_>) -> io::Result<Announced> {
        // A process that sees other files (a container's own) finds nobody to ask.
        let Ok(mut stream) = UnixStream::connect(&self.socket) else { return Ok(None) };
        let inode = match point.file {
            Some(file) => file.metadata()?.ino(),
            None => std::fs::symlink_metadata(point.path).map_or(0, |metadata| metadata.ino()),
        };
        let path = point.path.to_string_lossy().replace('\n', "?");
        stream.write_all(format!("{:?} {inode} {path}\n", point.call).as_bytes())?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer)?;
        match answer.trim() {
            "go" => Ok(Some(Box::new(stream))),
            "die" => {
                kill_process(getpid(), Signal::KILL)?;
                unreachable_after_kill()
            }
            number => {
                let number = number.parse().map_err(io::Error::other)?;
                Err(io::Error::from_raw_os_error(number))
            }
        }
    }
}

/// The signal may come a moment later than the call returns; nothing may happen in between.
fn unreachable_after_kill() -> ! {
    loop {
        std::thread::park();
    }
}
