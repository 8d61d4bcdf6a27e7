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
mod subset;

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Cursor, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use varve_fs::{
    root::Root,
    tar::Time,
    walk::{Found, FoundKind, Stamp, WalkError},
};
use varve_types::{Digest, Hasher, Kind, Printable};

use super::{
    Fault, FileKind, FileStatus, Files,
    layer_files::digest_of,
    name::{bytes_of, text_of},
};
use crate::{
    Ignore,
    select::{EntryKind, Listing},
};
use hashes::Hashes;

/// Files written so recently may be written again without their times telling.
const RACY_SECONDS: i64 = 2;

/// Bytes of a file that is held in memory from when it is hashed to when it is copied: opening it
/// again would cost more than reading it.
const HELD_FILE_SIZE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of all that are held at one time.
const HELD_SIZE_BYTES_MAX: u64 = 64 << 20;

/// A directory that is a context.
#[derive(Debug)]
pub struct Context {
    root: Root,
    /// What the user calls the directory.
    shown: PathBuf,
    listing: Listing,
    /// What was found, in the order of the texts of paths.
    found: Vec<(String, Found)>,
    hashes: Hashes,
    /// Files that were read, by place in `found`.
    hashed: Mutex<HashMap<usize, Hashed>>,
    /// Small files that were hashed and not copied yet, by place in `found`.
    held: Mutex<Held>,
    opened_at: Time,
}

/// Bytes of small files.
#[derive(Debug, Default)]
struct Held {
    files: HashMap<usize, Vec<u8>>,
    size_bytes: u64,
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
        let mut found: Vec<(String, Found)> =
            found.into_iter().map(|found| (text_of(&found.path), found)).collect();
        found.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let listing = found.iter().map(|(path, found)| (path.clone(), entry_kind(&found.kind)));
        Ok(Self {
            listing: listing.collect(),
            root,
            shown: request.shown.to_owned(),
            found,
            hashes: request.hashes.map_or_else(Hashes::default, Hashes::read),
            hashed: Mutex::default(),
            held: Mutex::default(),
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
        let hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_settled = |time: Time| time.seconds < self.opened_at.seconds - RACY_SECONDS;
        let new = hashed.iter().filter(|(_, hashed)| hashed.is_as_found);
        let new = new.map(|(place, hashed)| (self.found[*place].1.stamp, hashed.digest));
        let new = new.filter(|(stamp, _)| is_settled(stamp.mtime) && is_settled(stamp.ctime));
        let new: Vec<(Stamp, Digest)> = new.collect();
        if new.is_empty() {
            return Ok(());
        }
        self.hashes.write_with(new, self.found.len(), path)
    }

    fn place(&self, path: &str) -> Result<usize, Fault> {
        let found = self.found.binary_search_by(|(there, _)| there.as_str().cmp(path));
        found.map_err(|_| Fault::new(Kind::NotFound, format!("\"/{path}\": not found")))
    }

    /// The digest of a file, if it was read in this build or an earlier one.
    fn known(&self, place: usize) -> Option<Digest> {
        self.hashes.find(&self.found[place].1.stamp).or_else(|| {
            let hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
            hashed.get(&place).map(|hashed| hashed.digest)
        })
    }

    /// Keeps a file's bytes until they are copied, if there is room.
    fn hold(&self, place: usize, bytes: Vec<u8>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let size_bytes = bytes.len() as u64;
        if held.size_bytes + size_bytes <= HELD_SIZE_BYTES_MAX
            && held.files.insert(place, bytes).is_none()
        {
            held.size_bytes += size_bytes;
        }
    }

    /// The bytes of a file that was held, which is not any more.
    fn release(&self, place: usize) -> Option<Vec<u8>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = held.files.remove(&place)?;
        held.size_bytes -= bytes.len() as u64;
        Some(bytes)
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
        let found = &self.found[self.place(path)?].1;
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
        if let Some(bytes) = self.release(place) {
            return Ok(Box::new(Cursor::new(bytes)));
        }
        let seen = self.found[place].1.stamp;
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

    fn digest(&self, path: &str) -> Result<Digest, Fault> {
        let place = self.place(path)?;
        let seen = self.found[place].1.stamp;
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
                self.hold(place, bytes);
            }
            digest
        } else {
            digest_of(&mut reader).map_err(failed)?
        };
        let is_as_found = Stamp::of_file(&file).map_err(failed)? == seen;
        let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(hashed.entry(place).or_insert(Hashed { digest, is_as_found }).digest)
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
