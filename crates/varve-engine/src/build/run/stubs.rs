//! Places that only the runtime made: it mounts over `/proc`, `/etc/hosts` and the targets of
//! `--mount`, and makes what is missing of them. They are not what the program left.
//!
//! The upper directory is looked at before and after the runtime's work, when no program runs yet.
//! What came in between and was not touched since goes again: empty files and directories, and
//! directories that are there only because something was made in them.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Stat, Timespec, UTIME_OMIT},
    io::Errno,
};
use varve_build::plan::{RunMount, RunStep};
use varve_fs::root::Root;

use super::{error::RunError, workplace::Workplace};

/// What the runtime always mounts over.
const PLACES: [&str; 5] = ["/dev", "/etc/hosts", "/etc/resolv.conf", "/proc", "/sys"];

/// Before the runtime's work.
pub(super) struct Before {
    /// What is in the upper directory.
    paths: HashSet<PathBuf>,
    /// When directories changed in which it may make something, by path from the root, through no
    /// link.
    changed: HashMap<PathBuf, (i64, u64)>,
}

/// What the runtime made, parents first.
pub(super) struct Stubs {
    made: Vec<(PathBuf, Stat)>,
    changed: HashMap<PathBuf, (i64, u64)>,
}

impl Before {
    /// Looks.
    pub(super) fn look(place: &Workplace<'_>, step: &RunStep) -> Result<Self, RunError> {
        let found = list(&place.upper()).map_err(RunError::io("read", place.upper()))?;
        let rootfs = place.rootfs();
        let changed = times(rootfs, step).map_err(RunError::io("read", rootfs))?;
        Ok(Self { paths: found.into_iter().map(|(path, _)| path).collect(), changed })
    }

    /// Looks again.
    pub(super) fn after(self, place: &Workplace<'_>) -> Result<Stubs, RunError> {
        let mut made = list(&place.upper()).map_err(RunError::io("read", place.upper()))?;
        made.retain(|(path, _)| !self.paths.contains(path));
        Ok(Stubs { made, changed: self.changed })
    }
}

impl Stubs {
    /// Nothing was made.
    pub(super) fn none() -> Self {
        Self { made: Vec::new(), changed: HashMap::new() }
    }

    /// Takes away what was not touched since. The root is not mounted any more.
    pub(super) fn remove(self, place: &Workplace<'_>) -> Result<(), RunError> {
        let path = place.upper();
        self.remove_from(&path).map_err(RunError::io("change", &path))
    }

    fn remove_from(&self, upper: &Path) -> io::Result<()> {
        let root = Root::open(upper)?;
        // Taking one away changes the time of its parent: all are looked at before.
        let now: Vec<Option<Stat>> =
            self.made.iter().map(|(path, _)| stat(&root, path)).collect::<io::Result<_>>()?;
        for ((path, then), now) in self.made.iter().zip(&now).rev() {
            let Some(now) = now else { continue };
            let is_same_kind = now.st_mode == then.st_mode && now.st_ino == then.st_ino;
            let is_untouched = time_of(now) == time_of(then);
            match FileType::from_raw_mode(now.st_mode) {
                FileType::RegularFile if now.st_size == 0 && is_same_kind && is_untouched => {
                    remove(&root, path, AtFlags::empty())?;
                }
                FileType::Directory => {
                    let was_there = self.changed.get(path);
                    let is_as_it_was = is_same_kind
                        && (now.st_uid, now.st_gid) == (then.st_uid, then.st_gid)
                        && (is_untouched || was_there.is_none());
                    if is_as_it_was && root.names(path)?.is_empty() {
                        remove(&root, path, AtFlags::REMOVEDIR)?;
                        continue;
                    }
                    let own = was_there.filter(|_| is_untouched).copied();
                    set_time(&root, path, own.unwrap_or(time_of(now)))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn stat(root: &Root, path: &Path) -> io::Result<Option<Stat>> {
    match root.stat(path) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        other => other.map(Some),
    }
}

fn time_of(stat: &Stat) -> (i64, u64) {
    (stat.st_mtime, stat.st_mtime_nsec)
}

fn remove(root: &Root, path: &Path, flags: AtFlags) -> io::Result<()> {
    let parent = root.open_directory(path.parent().unwrap_or(Path::new("")).join(".").as_path())?;
    match rustix::fs::unlinkat(&parent, path.file_name().unwrap_or_default(), flags) {
        // The program made a link of its parent meanwhile.
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn set_time(root: &Root, path: &Path, (seconds, nanoseconds): (i64, u64)) -> io::Result<()> {
    let directory = root.open_to_change(path)?;
    let times = rustix::fs::Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds as i64 },
    };
    Ok(rustix::fs::futimens(directory, &times)?)
}

/// All that is in a directory, parents first.
fn list(directory: &Path) -> io::Result<Vec<(PathBuf, Stat)>> {
    let root = Root::open(directory)?;
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        let here = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
        for name in root.names(here)? {
            let path = path.join(name);
            let Some(stat) = stat(&root, &path)? else { continue };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                pending.push(path.clone());
            }
            found.push((path, stat));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// When the directories on the ways to all places changed, as far as they are there.
fn times(rootfs: &Path, step: &RunStep) -> io::Result<HashMap<PathBuf, (i64, u64)>> {
    let root = Root::open(rootfs)?;
    let targets = step.mounts.iter().filter_map(|mount| match mount {
        RunMount::Bind { target, .. }
        | RunMount::Cache { target, .. }
        | RunMount::Tmpfs { target, .. } => Some(target.as_str()),
        RunMount::Secret { target, .. } => target.as_deref(),
        RunMount::Ssh { target, .. } => Some(target.as_deref().unwrap_or("/run/buildkit/agent")),
    });
    let mut times = HashMap::new();
    for target in PLACES.into_iter().chain(targets) {
        for way in Path::new(target).ancestors().skip(1) {
            let Ok(directory) = root.open_directory(way) else { continue };
            let real = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
            let real = rustix::fs::readlinkat(CWD, real, Vec::new())?;
            let real = PathBuf::from(OsString::from(std::ffi::OsStr::from_bytes(real.as_bytes())));
            let Ok(path) = real.strip_prefix(rootfs) else { continue };
            let stat = rustix::fs::statat(&directory, c"", AtFlags::EMPTY_PATH)?;
            times.insert(path.to_owned(), time_of(&stat));
        }
    }
    Ok(times)
}
