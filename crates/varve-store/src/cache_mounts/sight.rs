//! What programs that use a cache mount see: `sight` beside its files.
//!
//! What a program leaves in a cache mount was made of what it saw, and compilers judge by time
//! whether it still serves. So it is written down which files the last program that changed the
//! mount saw, where, with what content and time. A later one that finds other content somewhere is to
//! find a later time there, too.
//!
//! ```text
//! sight        of the last program that changed the mount
//! sight-<n>    of one that is at work; locked, so that what a killed one left is known
//! sight.lock   held to change them
//! ```
//!
//! ```text
//! "varve sight 1\n"
//! until: seconds, nanoseconds                                                       12 bytes
//! records: layer, SHA-256 of the file, seconds, nanoseconds, length of path, path   80 bytes + path
//! SHA-256 of all that
//! ```
//!
//! Numbers are little-endian. A file that is not exactly so counts as none.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use varve_fs::{durable, lock::FileLock, tar::Time};
use varve_types::{DiffId, Digest};

use super::{CacheMount, Place, read_text};
use crate::{Result, error::cannot, mounts::existing, store::PRIVATE_MODE};

const MAGIC: &[u8; 14] = b"varve sight 1\n";
const CHECK_SIZE_BYTES: usize = 32;
const FILE_NAME: &str = "sight";
const LOCK: &str = "sight.lock";
const AT_WORK: &str = "sight-";

/// What a program sees of the files that it may make something of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sight {
    /// Whatever was made of them is not later.
    pub until: Time,
    /// The files, by the path at which they are seen.
    pub files: BTreeMap<Vec<u8>, SeenFile>,
}

/// A file that a program sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenFile {
    /// The layer that it is of.
    pub layer: DiffId,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// The time that it has.
    pub time: Time,
}

/// A program that is about to use a cache mount, or does.
#[derive(Debug)]
pub(super) struct Look {
    lock: FileLock,
    path: PathBuf,
    began: Time,
    /// Of the sight that was there when it began.
    before: Option<Time>,
    sight: Option<Sight>,
}

/// What is known of those who used a cache mount, when another one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// What the last one saw that changed it. `None`: nobody did.
    pub sight: Option<Sight>,
    /// The time now, as the file system has it: what is written from here on is not earlier.
    pub now: Time,
}

impl CacheMount {
    /// Begins a use by a program that may judge files by their times. What those saw that were
    /// killed at it counts from now on.
    pub fn begin(&mut self) -> Result<Before> {
        let _changing = lock(&self.place)?;
        let name = durable::random_name().map_err(cannot("name", &self.place.path))?;
        let path = self.place.path.join(format!("{AT_WORK}{name}"));
        let lock = FileLock::exclusive(&path).map_err(cannot("lock", &path))?;
        let began = written(lock.file(), &path)?;
        let mut last = read(&self.place.path.join(FILE_NAME))?;
        let is_used = self.place.read()?.is_some_and(|record| record.uses > 1);
        if last.is_none() && is_used {
            // By a program of which nothing is known.
            last = Some(Sight { until: began, files: BTreeMap::new() });
        }
        for dead in dead(&self.place, &path)? {
            if fs::metadata(&dead).map_err(cannot("read", &dead))?.len() > 0 {
                let mut sight = read(&dead)?.unwrap_or_default();
                sight.keep_agreed(last.as_ref());
                sight.until = began;
                write(&self.place, &sight)?;
                last = Some(sight);
            }
            durable::unlink(&dead).map_err(cannot("remove", &dead))?;
        }
        let before = last.as_ref().map(|sight| sight.until);
        self.look = Some(Look { lock, path, began, before, sight: None });
        Ok(Before { sight: last, now: began })
    }

    /// Says what the program that was [begun](Self::begin) sees. To be called before it runs.
    pub fn shows(&mut self, files: &BTreeMap<Vec<u8>, SeenFile>) -> Result<()> {
        let Some(look) = &mut self.look else { return Ok(()) };
        let sight = Sight { until: look.began, files: files.clone() };
        durable::write_all(look.lock.file(), &sight.text()).map_err(cannot("write", &look.path))?;
        look.sight = Some(sight);
        Ok(())
    }

    /// Ends the use: of a program that changed the mount it is kept what it saw, as far as others
    /// who changed it meanwhile saw nothing else.
    pub(super) fn end(&mut self, changed: Time) -> Result<()> {
        let Some(look) = self.look.take() else { return Ok(()) };
        let _changing = lock(&self.place)?;
        if let Some(mut sight) = look.sight
            && changed >= look.began
        {
            let last = read(&self.place.path.join(FILE_NAME))?;
            if last.as_ref().map(|last| last.until) != look.before {
                sight.keep_agreed(last.as_ref());
            }
            durable::write_all(look.lock.file(), b"\n").map_err(cannot("write", &look.path))?;
            let now = written(look.lock.file(), &look.path)?;
            sight.until = now.max(look.before.unwrap_or_default());
            write(&self.place, &sight)?;
        }
        durable::unlink(&look.path).map_err(cannot("remove", &look.path))?;
        Ok(())
    }
}

impl Sight {
    /// Leaves out what another one does not say, too. `None` says nothing of any file, because
    /// nothing was made of one.
    fn keep_agreed(&mut self, other: Option<&Self>) {
        let Some(other) = other else { return };
        self.files.retain(|path, file| match other.files.get(path) {
            Some(there) if there.digest == file.digest => {
                file.time = file.time.max(there.time);
                true
            }
            _ => false,
        });
    }

    fn text(&self) -> Vec<u8> {
        let mut text = MAGIC.to_vec();
        put_time(&mut text, self.until);
        for (path, file) in &self.files {
            text.extend_from_slice(file.layer.digest().as_bytes());
            text.extend_from_slice(file.digest.as_bytes());
            put_time(&mut text, file.time);
            // Paths of layers are far shorter.
            text.extend_from_slice(&(path.len() as u32).to_le_bytes());
            text.extend_from_slice(path);
        }
        let check = Digest::of(&text);
        text.extend_from_slice(check.as_bytes());
        text
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (text, check) = text.split_at_checked(text.len().checked_sub(CHECK_SIZE_BYTES)?)?;
        if Digest::of(text).as_bytes()[..] != *check {
            return None;
        }
        let mut rest = text.strip_prefix(MAGIC)?;
        let until = take_time(&mut rest)?;
        let mut files = BTreeMap::new();
        while !rest.is_empty() {
            let layer = DiffId(take_digest(&mut rest)?);
            let digest = take_digest(&mut rest)?;
            let time = take_time(&mut rest)?;
            let length = u32::from_le_bytes(take(&mut rest)?);
            let path = rest.split_off(..usize::try_from(length).ok()?)?;
            files.insert(path.to_vec(), SeenFile { layer, digest, time });
        }
        Some(Self { until, files })
    }
}

fn put_time(text: &mut Vec<u8>, time: Time) {
    text.extend_from_slice(&time.seconds.to_le_bytes());
    text.extend_from_slice(&time.nanoseconds.to_le_bytes());
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}

fn take_time(rest: &mut &[u8]) -> Option<Time> {
    let seconds = i64::from_le_bytes(take(rest)?);
    Some(Time { seconds, nanoseconds: u32::from_le_bytes(take(rest)?) })
}

fn take_digest(rest: &mut &[u8]) -> Option<Digest> {
    take(rest).map(Digest::from_bytes)
}

/// Keeps others from changing what was seen.
fn lock(place: &Place) -> Result<FileLock> {
    let path = place.path.join(LOCK);
    FileLock::exclusive(&path).map_err(cannot("lock", &path))
}

/// Sights of programs that were killed; `mine` is that of one at work.
fn dead(place: &Place, mine: &Path) -> Result<Vec<PathBuf>> {
    let mut dead = Vec::new();
    for path in existing(&place.path)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path == mine || !name.starts_with(AT_WORK) {
            continue;
        }
        // The lock is not kept: whoever could take it away holds the lock of all of them.
        if FileLock::try_exclusive(&path).map_err(cannot("lock", &path))?.is_some() {
            dead.push(path);
        }
    }
    Ok(dead)
}

/// Whether a name in a cache mount's directory is one of these.
pub(super) fn is_of_sights(name: &str) -> bool {
    name == FILE_NAME || name == LOCK || name.starts_with(AT_WORK)
}

fn read(path: &Path) -> Result<Option<Sight>> {
    Ok(read_text(path)?.and_then(|text| Sight::parse(&text)))
}

fn write(place: &Place, sight: &Sight) -> Result<()> {
    let path = place.path.join(FILE_NAME);
    // Its own check finds what a crash leaves of it.
    durable::replace_unsynced(&path, &sight.text(), PRIVATE_MODE).map_err(cannot("write", &path))
}

/// When a file was last written.
fn written(file: &File, path: &Path) -> Result<Time> {
    let facts = file.metadata().map_err(cannot("read", path))?;
    Ok(Time { seconds: facts.mtime(), nanoseconds: facts.mtime_nsec() as u32 })
}
