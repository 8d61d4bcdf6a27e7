//! Digests of files, remembered from one build to the next.
//!
//! ```text
//! "varve hashes 1\n"
//! records, sorted: device, inode, size, mtime, ctime (seconds and nanoseconds), SHA-256   80 bytes
//! SHA-256 of all that
//! ```
//!
//! Numbers are little-endian. A file that is not exactly so counts as none: it is a memory, and
//! can be lost.

use std::{collections::BTreeMap, fs, io, path::Path};

use varve_fs::{durable, tar::Time, walk::Stamp};
use varve_types::Digest;

const MAGIC: &[u8; 15] = b"varve hashes 1\n";
const STAMP_SIZE_BYTES: usize = 48;
const RECORD_SIZE_BYTES: usize = STAMP_SIZE_BYTES + 32;
const CHECK_SIZE_BYTES: usize = 32;
const MODE: u32 = 0o600;
/// Records that are kept beside those of files that are there: other steps take other files.
const OTHERS_MAX: usize = 100_000;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    /// The records, checked.
    records: Vec<u8>,
}

impl Hashes {
    /// Reads what is remembered in a file.
    pub(super) fn read(path: &Path) -> Self {
        let Ok(mut bytes) = fs::read(path) else { return Self::default() };
        let end = bytes.len().saturating_sub(CHECK_SIZE_BYTES);
        let is_sound = end >= MAGIC.len()
            && bytes.starts_with(MAGIC)
            && (end - MAGIC.len()).is_multiple_of(RECORD_SIZE_BYTES)
            && Digest::of(&bytes[..end]).as_bytes()[..] == bytes[end..];
        if !is_sound {
            return Self::default();
        }
        bytes.truncate(end);
        bytes.drain(..MAGIC.len());
        Self { records: bytes }
    }

    /// The digest of a file that has this stamp.
    pub(super) fn find(&self, stamp: &Stamp) -> Option<Digest> {
        let wanted = written(stamp);
        let (records, _) = self.records.as_chunks::<RECORD_SIZE_BYTES>();
        let place = records.binary_search_by(|record| record[..STAMP_SIZE_BYTES].cmp(&wanted));
        let record = &records[place.ok()?];
        record.last_chunk().map(|digest| Digest::from_bytes(*digest))
    }

    /// Writes what is remembered, with new digests, where `known` files are known.
    pub(super) fn write_with(
        &self,
        new: Vec<(Stamp, Digest)>,
        known: usize,
        path: &Path,
    ) -> io::Result<()> {
        let (records, _) = self.records.as_chunks::<RECORD_SIZE_BYTES>();
        let mut all: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
        // Of files that are gone, some is kept; not for ever.
        if records.len() <= known + OTHERS_MAX {
            all.extend(records.iter().map(|record| record.split_at(STAMP_SIZE_BYTES)));
        }
        let new: Vec<([u8; STAMP_SIZE_BYTES], Digest)> =
            new.iter().map(|(stamp, digest)| (written(stamp), *digest)).collect();
        all.extend(new.iter().map(|(stamp, digest)| (&stamp[..], &digest.as_bytes()[..])));
        let mut bytes = MAGIC.to_vec();
        bytes.reserve(all.len() * RECORD_SIZE_BYTES + CHECK_SIZE_BYTES);
        for (stamp, digest) in all {
            bytes.extend_from_slice(stamp);
            bytes.extend_from_slice(digest);
        }
        let check = Digest::of(&bytes);
        bytes.extend_from_slice(check.as_bytes());
        // Its own check finds what a crash leaves of it.
        durable::replace_unsynced(path, &bytes, MODE)
    }
}

fn written(stamp: &Stamp) -> [u8; STAMP_SIZE_BYTES] {
    let mut bytes = [0; STAMP_SIZE_BYTES];
    let time = |time: Time| (time.seconds.to_le_bytes(), time.nanoseconds.to_le_bytes());
    let ((mtime, mtime_ns), (ctime, ctime_ns)) = (time(stamp.mtime), time(stamp.ctime));
    let fields: [&[u8]; 7] = [
        &stamp.device.to_le_bytes(),
        &stamp.inode.to_le_bytes(),
        &stamp.size_bytes.to_le_bytes(),
        &mtime,
        &ctime,
        &mtime_ns,
        &ctime_ns,
    ];
    let mut at = 0;
    for field in fields {
        bytes[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    }
    bytes
}
