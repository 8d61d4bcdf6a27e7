//! What a copy takes, as one digest: what decides whether its layer is in the cache.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use varve_fs::tar::{Device, Time, Xattr};
use varve_types::{Digest, Hasher};

use super::{
    FileKind, FileStatus, Files, Origin, Timestamps, copy::taken, copy_error::CopyError, mode,
    name::bytes_of,
};
use crate::{
    plan::CopyStep,
    select::{Taken, Target},
};

/// Stands for this way to put a digest together.
const VERSION: &[u8] = b"varve copy 1";
/// More hash no quicker, whatever the machine.
const THREADS_MAX: usize = 8;

/// The digest of what a copy takes: for each thing where it goes, kind, mode, owner unless
/// `--chown` says it, link texts, extended attributes and bytes. Times count only where they are the
/// same on every machine: in layers, when those of builds are clamped. Bytes are hashed by several
/// threads. `sources` has the files of each action.
pub fn copy_contents(
    step: &CopyStep,
    sources: &[Option<Arc<dyn Files>>],
    times: Timestamps,
) -> Result<Digest, CopyError> {
    let mut things = Vec::new();
    for (index, action) in step.actions.iter().enumerate() {
        let files = sources.get(index).and_then(Option::as_deref);
        for taken in taken(step, action, files)? {
            let status = match files {
                Some(files) => files.status(&taken.source)?,
                None => FileStatus::of(FileKind::Directory),
            };
            let counts = times == Timestamps::Epoch
                && files.is_some_and(|files| files.origin() == Origin::Layers);
            let time = counts.then_some(status.mtime);
            things.push(Thing { action: index, taken, status, time });
        }
    }
    let digests = digests(&things, sources)?;
    let mut record = Record(Hasher::new());
    record.text(VERSION);
    let mut links = std::collections::HashMap::new();
    for (number, (thing, digest)) in things.iter().zip(&digests).enumerate() {
        thing.tell(&mut record, step);
        // Which names are one file: the number of the first.
        let link =
            thing.status.links.map(|link| *links.entry((thing.action, link)).or_insert(number));
        record.number(link.map_or(0, |link| link as u64 + 1));
        record.text(digest.as_ref().map_or(&[][..], |digest| digest.as_bytes()));
    }
    Ok(record.0.finish())
}

/// One thing that is taken.
struct Thing {
    action: usize,
    taken: Taken,
    status: FileStatus,
    /// When it changed, if that counts.
    time: Option<Time>,
}

impl Thing {
    fn tell(&self, record: &mut Record, step: &CopyStep) {
        record.number(self.action as u64);
        let (how, name) = match &self.taken.target {
            // It gets nothing but its being there.
            Target::Directory => return record.number(0),
            Target::Below(path) => (1, path),
            Target::As(name) => (2, name),
        };
        record.number(how);
        record.text(&bytes_of(name));
        let status = &self.status;
        let is_directory = status.kind == FileKind::Directory;
        let mode = match &step.mode {
            Some(change) => mode::changed(change, status.mode, is_directory),
            None => status.mode,
        };
        record.number(u64::from(mode));
        // The archive's own bytes say the owners of what is in it.
        if step.owner.is_empty() {
            record.number(u64::from(status.uid));
            record.number(u64::from(status.gid));
        }
        record.kind(&status.kind);
        record.xattrs(&status.xattrs);
        record.number(u64::from(self.time.is_some()));
        if let Some(time) = self.time {
            record.number(time.seconds.cast_unsigned());
            record.number(u64::from(time.nanoseconds));
        }
    }
}

/// Hashes what is a file.
fn digests(
    things: &[Thing],
    sources: &[Option<Arc<dyn Files>>],
) -> Result<Vec<Option<Digest>>, CopyError> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let take_part = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(thing) = things.get(number) else { return done };
            let is_file = matches!(thing.status.kind, FileKind::File(_));
            let files = sources.get(thing.action).and_then(Option::as_deref);
            let Some(files) = files.filter(|_| is_file) else { continue };
            match files.digest(&thing.taken.source) {
                Ok(digest) => done.push((number, digest)),
                Err(fault) => {
                    next.store(things.len(), Ordering::Relaxed);
                    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    // Of several, the first in the order of paths.
                    if failure.as_ref().is_none_or(|(first, _)| number < *first) {
                        *failure = Some((number, fault));
                    }
                    return done;
                }
            }
        }
    };
    let wanted = thread::available_parallelism().map_or(1, usize::from);
    let threads = wanted.min(THREADS_MAX).min(things.len() / 4 + 1);
    let mut digests = vec![None; things.len()];
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take_part)).collect();
        let mut all = vec![take_part()];
        for other in others {
            all.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        for (number, digest) in all.into_iter().flatten() {
            digests[number] = Some(digest);
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, fault)) => Err(fault.into()),
        None => Ok(digests),
    }
}

/// Texts and numbers, each with its length, so that no two lists of them are the same bytes.
struct Record(Hasher);

impl Record {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.0.update(text);
    }

    fn device(&mut self, kind: u64, device: Device) {
        self.number(kind);
        self.number(u64::from(device.major));
        self.number(u64::from(device.minor));
    }

    fn kind(&mut self, kind: &FileKind) {
        match kind {
            FileKind::Directory => self.number(0),
            FileKind::File(size_bytes) => {
                self.number(1);
                self.number(*size_bytes);
            }
            FileKind::Symlink(text) => {
                self.number(2);
                self.text(text);
            }
            FileKind::CharacterDevice(device) => self.device(3, *device),
            FileKind::BlockDevice(device) => self.device(4, *device),
            FileKind::Fifo => self.number(5),
        }
    }

    fn xattrs(&mut self, xattrs: &[Xattr]) {
        self.number(xattrs.len() as u64);
        for (name, value) in xattrs {
            self.text(name);
            self.text(value);
        }
    }
}
