//! A directory of the host as a context: walked once, each file read when it is asked for.
//!
//! ```text
//! walk     names and attributes of what steps take, less what is ignored          subset.rs
//! digest   from memory where inode, size and times are what they were             hashes.rs
//! open     beneath the directory's handle, the size that was seen, verified
//! ```
//!
//! # Invariants
//!
//! 1. Nothing outside of the directory is read, whatever links say and whoever renames what.
//! 2. What is read of a file is what its digest says, or an error: also when somebody writes to it
//!    meanwhile. (A file that grows is taken as long as it was.)
//! 3. A digest is remembered only for a file that has not been written for two seconds.

mod hashes;
mod held;
mod subset;

use std::{
    fs::File,
    io::{self, Cursor, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use varve_fs::{
    root::Root,
    tar::Time,
    walk::{FoundKind, Stamp, WalkError},
};
use varve_types::{Digest, Hasher, Kind, Printable};

use super::{
    Fault, FileKind, FileStatus, Files,
    layer_files::digest_of,
    name::{bytes_of, text_from, text_of},
};
use crate::{
    Ignore,
    select::{EntryKind, Listing},
};
use hashes::Hashes;
use held::{HELD_FILE_SIZE_BYTES_MAX, Held};

/// Files written so recently may be written again without their times telling.
const RACY_SECONDS: i64 = 2;

/// A directory that is a context.
#[derive(Debug)]
pub struct Context {
    root: Root,
    /// What the user calls the directory.
    shown: PathBuf,
    listing: Listing,
    /// What was found, as it stands in the listing.
    found: Vec<Attributes>,
    hashes: Hashes,
    /// Files that were read, as they stand in the listing.
    hashed: Vec<OnceLock<Hashed>>,
    /// Small files that were hashed and not copied yet, by place in the listing.
    held: Held,
    /// Where the last file stood that somebody asked for.
    last: AtomicUsize,
    opened_at: Time,
}

/// What was found of a file beside its path.
#[derive(Debug)]
struct Attributes {
    kind: FoundKind,
    mode: u32,
    stamp: Stamp,
}

/// What was read of a file.
#[derive(Debug, Clone, Copy)]
struct Hashed {
    digest: Digest,
    /// Whether it was still what it was when it was found.
    is_as_found: bool,
}

/// What of a directory is a context.
#[derive(Debug, Clone, Copy)]
pub struct ContextRequest<'a> {
    /// What the user calls the directory; for errors.
    pub shown: &'a Path,
    /// What is left out.
    pub ignore: &'a Ignore,
    /// The paths and patterns that are taken, so that others need not be found; `None` for all.
    pub paths: Option<&'a [String]>,
    /// The file in which digests are remembered from one build to the next; it need not be there.
    pub hashes: Option<&'a Path>,
    /// The time now.
    pub now: Time,
}

impl Context {
    /// Walks a directory. Sockets are left out.
    pub fn open(root: Root, request: &ContextRequest<'_>) -> Result<Self, Fault> {
        let failed = |error: WalkError| sender(request.shown, &error.path, error.source);
        let found = subset::find(&root, request.ignore, request.paths).map_err(failed)?;
        let mut found: Vec<(String, Attributes)> = found
            .into_iter()
            .filter(|found| !found.path.is_empty())
            .map(|it| {
                (text_from(it.path), Attributes { kind: it.kind, mode: it.mode, stamp: it.stamp })
            })
            .collect();
        // In the order of bytes they are already; that of texts is another one for few names.
        if !found.is_sorted_by(|(one, _), (other, _)| one <= other) {
            found.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        let (mut listed, mut attributes) =
            (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
        for (path, found) in found {
            listed.push((path, entry_kind(&found.kind)));
            attributes.push(found);
        }
        Ok(Self {
            listing: listed.into_iter().collect(),
            root,
            shown: request.shown.to_owned(),
            hashes: request.hashes.map_or_else(Hashes::default, Hashes::read),
            hashed: attributes.iter().map(|_| OnceLock::new()).collect(),
            found: attributes,
            held: Held::default(),
            last: AtomicUsize::new(0),
            opened_at: request.now,
        })
    }

    /// Files and directories that are in the context.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether it has nothing in it.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Writes the digests of files that were read to the file from which they are remembered;
    /// nothing where there are no new ones.
    pub fn remember(&self, path: &Path) -> io::Result<()> {
        let is_settled = |time: Time| time.seconds < self.opened_at.seconds - RACY_SECONDS;
        let new = self.found.iter().zip(&self.hashed);
        let new = new.filter_map(|(found, hashed)| Some((found.stamp, hashed.get()?)));
        let new = new.filter(|(_, hashed)| hashed.is_as_found);
        let new = new.map(|(stamp, hashed)| (stamp, hashed.digest));
        let new = new.filter(|(stamp, _)| is_settled(stamp.mtime) && is_settled(stamp.ctime));
        let new: Vec<(Stamp, Digest)> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        self.hashes.write_with(new, self.found.len(), path)
    }

    fn place(&self, path: &str) -> Result<usize, Fault> {
        let found = self.listing.place(path, self.last.load(Ordering::Relaxed));
        let not_found = || Fault::new(Kind::NotFound, format!("\"/{path}\": not found"));
        let place = found.ok_or_else(not_found)?;
        self.last.store(place, Ordering::Relaxed);
        Ok(place)
    }

    /// The digest of a file, if it was read in this build or an earlier one.
    fn known(&self, place: usize) -> Option<Digest> {
        let remembered = self.hashes.find(&self.found[place].stamp);
        remembered.or_else(|| self.hashed[place].get().map(|hashed| hashed.digest))
    }

    fn open_file(&self, path: &str) -> Result<File, Fault> {
        let name = bytes_of(path);
        let file = self.root.open_file(Path::new(std::ffi::OsStr::from_bytes(&name)));
        file.map_err(|error| sender(&self.shown, &name, error))
    }
}

impl Files for Context {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn status(&self, path: &str) -> Result<FileStatus, Fault> {
        if path.is_empty() {
            return Ok(FileStatus { mode: 0o755, ..FileStatus::of(FileKind::Directory) });
        }
        let found = &self.found[self.place(path)?];
        let kind = match &found.kind {
            FoundKind::Directory => FileKind::Directory,
            FoundKind::Symlink(text) => FileKind::Symlink(text.clone()),
            FoundKind::CharacterDevice(device) => FileKind::CharacterDevice(*device),
            FoundKind::BlockDevice(device) => FileKind::BlockDevice(*device),
            FoundKind::Fifo => FileKind::Fifo,
            FoundKind::File | FoundKind::Socket => FileKind::File(found.stamp.size_bytes),
        };
        // Linux gives a link all permissions.
        let mode = if matches!(kind, FileKind::Symlink(_)) { 0o777 } else { found.mode };
        Ok(FileStatus { mode, mtime: found.stamp.mtime, ..FileStatus::of(kind) })
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send + '_>, Fault> {
        let place = self.place(path)?;
        if let Some(bytes) = self.held.release(place) {
            return Ok(Box::new(Cursor::new(bytes)));
        }
        let seen = self.found[place].stamp;
        let file = self.open_file(path)?;
        let now = Stamp::of_file(&file).map_err(|error| Fault::new(Kind::Internal, error))?;
        let promised = self.known(place);
        // Whoever has just written to it may do so again.
        let is_racy = seen.mtime.seconds >= self.opened_at.seconds - RACY_SECONDS;
        let check = promised.filter(|_| is_racy || now != seen);
        let left = seen.size_bytes;
        let hasher = Hasher::new();
        Ok(Box::new(Seen { file, opened: now, left, check, hasher, is_checked: false }))
    }

    fn is_remembered(&self, path: &str) -> bool {
        self.place(path).is_ok_and(|place| self.hashes.find(&self.found[place].stamp).is_some())
    }

    fn digest(&self, path: &str) -> Result<Digest, Fault> {
        let place = self.place(path)?;
        let seen = self.found[place].stamp;
        if let Some(digest) = self.known(place) {
            return Ok(digest);
        }
        let file = self.open_file(path)?;
        let failed = |error| sender(&self.shown, &bytes_of(path), error);
        let mut reader = (&file).take(seen.size_bytes);
        let digest = if seen.size_bytes <= HELD_FILE_SIZE_BYTES_MAX {
            let mut bytes = Vec::with_capacity(seen.size_bytes as usize);
            reader.read_to_end(&mut bytes).map_err(failed)?;
            let digest = Digest::of(&bytes);
            // Cut short meanwhile, it is an error of whoever copies it.
            if bytes.len() as u64 == seen.size_bytes {
                self.held.hold(place, &bytes);
            }
            digest
        } else {
            digest_of(&mut reader).map_err(failed)?
        };
        let is_as_found = Stamp::of_file(&file).map_err(failed)? == seen;
        Ok(self.hashed[place].get_or_init(|| Hashed { digest, is_as_found }).digest)
    }
}

/// A file as long as it was when it was seen.
struct Seen {
    file: File,
    /// Its stamp when it was opened.
    opened: Stamp,
    left: u64,
    /// What it must hash to, of a file that has changed since or may change.
    check: Option<Digest>,
    hasher: Hasher,
    /// Whether it was found to be what it was, at its end.
    is_checked: bool,
}

impl Read for Seen {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let changed = || io::Error::new(io::ErrorKind::InvalidData, "it has changed meanwhile");
        let wanted = self.left.min(buffer.len() as u64) as usize;
        if self.left > 0 {
            let count = self.file.read(&mut buffer[..wanted])?;
            self.left -= count as u64;
            if count == 0 {
                return Err(changed());
            }
            if self.check.is_some() {
                self.hasher.update(&buffer[..count]);
            }
            return Ok(count);
        }
        if self.is_checked {
            return Ok(0);
        }
        let is_same = match self.check {
            Some(promised) => std::mem::take(&mut self.hasher).finish() == promised,
            None => Stamp::of_file(&self.file)? == self.opened,
        };
        self.is_checked = is_same;
        if is_same { Ok(0) } else { Err(changed()) }
    }
}

fn entry_kind(kind: &FoundKind) -> EntryKind {
    match kind {
        FoundKind::Directory => EntryKind::Directory,
        FoundKind::Symlink(text) => EntryKind::Symlink(text_of(text)),
        _ => EntryKind::File,
    }
}

/// Docker's words for what cannot be read in a context: `error from sender: open ctx/a: permission
/// denied`.
fn sender(shown: &Path, path: &[u8], error: io::Error) -> Fault {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => Kind::Denied,
        io::ErrorKind::NotFound => Kind::NotFound,
        _ => Kind::Internal,
    };
    let path = shown.join(String::from_utf8_lossy(path).as_ref());
    let path = path.to_string_lossy();
    let path = path.trim_end_matches('/');
    Fault::new(kind, format!("error from sender: open {}: {}", Printable(path), go_words(&error)))
}

/// An error of the system as Go words it.
fn go_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            let mut chars = text.chars();
            let first = chars.next().map(|c| c.to_ascii_lowercase());
            first.into_iter().chain(chars).collect()
        }
    }
}
