//! Records of builds: `varve/cache/<hex>`, which layer a step's key stands for.
//!
//! A record is one small file. Its first line is JSON and is replaced as a whole; the second one
//! says when it was last used and how often, and is written over in place: that costs no sync, and
//! losing it costs nothing. A record is not synced either. After a power loss it is there or it is
//! not, and it is believed only when its layer is whole: a layer that only records reach has its
//! tar under `varve/layers` and nowhere else ([`Store::write_cache_layer`]).
//!
//! What records reach survives a sweep. They go with [`Store::prune_cache`] only.

mod layers;
mod notes;
mod prune;
mod usage;

use std::{
    fmt::{self, Display},
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use varve_fs::durable;
use varve_types::{DiffId, Digest, limits, sealed};

use crate::{
    Error, Lease, Result, Store,
    blob::prefix,
    error::cannot,
    layers::is_tar_of,
    lease::Pin,
    stamp::TarStamp,
    store::{DIRECTORY_MODE, PRIVATE_MODE},
    times::{RealTimes, times_digest},
};

pub(crate) use notes::PREFIX as NOTES_PREFIX;
pub use prune::{CachePolicy, PrunedCache};
pub use usage::CacheUse;

/// What a step is called is for people to read.
const DESCRIPTION_CHARS_MAX: usize = 4_096;

/// What is known of a step that was done: which layer came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheRecord {
    /// What the step is found by.
    pub key: Digest,
    /// What came of it. `None`: the record only says something of [`content`](Self::content).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<DiffId>,
    /// What the step took, or another key that this one stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
    /// The second index of the layer, with the real times of its files; for
    /// [`Store::mount_build`]. `None`: all times are those of the tar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Digest>,
    /// [`times_digest`] of what [`Store::remember`] was given, whether or not it made an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_given: Option<Digest>,
    /// What kind of thing it is.
    pub kind: CacheKind,
    /// The step, for people.
    pub description: String,
    /// The keys of the steps that it builds upon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Digest>,
    /// When the step was done.
    pub created: Timestamp,
    /// When the record was last found.
    #[serde(skip)]
    pub last_used: Timestamp,
    /// How often it was found.
    #[serde(skip)]
    pub uses: u64,
    /// Docker's size of the layer, in bytes; 0 without one. [`Store::remember`] fills it in.
    pub size_bytes: u64,
    /// In which run of the machine it was written, until its layer and times were looked at in
    /// another one. [`Store::remember`] fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

/// Kinds of records, as docker tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheKind {
    /// A step of a Dockerfile.
    Regular,
    /// Files of a context.
    Source,
    /// A checkout of a repository.
    Git,
    /// A program that reads Dockerfiles.
    Frontend,
    /// What only builds know.
    Internal,
    /// The directory of a cache mount.
    ExecCacheMount,
}

impl CacheKind {
    const ALL: [Self; 6] = [
        Self::Regular,
        Self::Source,
        Self::Git,
        Self::Frontend,
        Self::Internal,
        Self::ExecCacheMount,
    ];

    /// Docker's name of it.
    pub fn name(self) -> &'static str {
        match self {
            CacheKind::Regular => "regular",
            CacheKind::Source => "source.local",
            CacheKind::Git => "source.git.checkout",
            CacheKind::Frontend => "frontend",
            CacheKind::Internal => "internal",
            CacheKind::ExecCacheMount => "exec.cachemount",
        }
    }
}

impl Display for CacheKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no kind of record has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are no records of this kind")]
pub struct UnknownKind;

impl FromStr for CacheKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(UnknownKind)
    }
}

impl CacheRecord {
    /// A record of a step that is done now.
    pub fn new(
        key: Digest,
        kind: CacheKind,
        description: impl Into<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            key,
            layer: None,
            content: None,
            times: None,
            times_given: None,
            kind,
            description: description.into(),
            parents: Vec::new(),
            created: now,
            last_used: now,
            uses: 0,
            size_bytes: 0,
            boot: None,
        }
    }

    fn text(&self) -> Vec<u8> {
        // Made of strings and numbers only; there is nothing that JSON cannot say.
        let mut text = sealed::seal(self).unwrap_or_default();
        text.extend_from_slice(use_line(self.last_used, self.uses).as_bytes());
        text
    }

    fn parse(key: &Digest, text: &[u8]) -> Option<Self> {
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let mut record: Self = sealed::parse(&text[..end]).ok()?;
        let used = std::str::from_utf8(&text[end + 1..]).ok().and_then(parse_use_line);
        (record.last_used, record.uses) = used.unwrap_or((record.created, 0));
        (record.key == *key).then_some(record)
    }
}

/// The second line of a record. It always has the same size.
fn use_line(last_used: Timestamp, uses: u64) -> String {
    format!("{:020} {uses:020}\n", last_used.as_millisecond())
}

fn parse_use_line(line: &str) -> Option<(Timestamp, u64)> {
    let (last_used, uses) = line.strip_suffix('\n')?.split_once(' ')?;
    let last_used = Timestamp::from_millisecond(last_used.parse().ok()?).ok()?;
    Some((last_used, uses.parse().ok()?))
}

impl Store {
    /// What a key stands for. Its layer is then here, whole and pinned under the lease, and so is
    /// the index of its real times; a record of which that cannot be had is as good as absent.
    /// That it was used `now` is written down.
    pub fn cached(
        &self,
        lease: &Lease,
        key: &Digest,
        now: Timestamp,
    ) -> Result<Option<CacheRecord>> {
        if self.read_cache_record(key)?.is_none() {
            return Ok(None);
        }
        let mut record = {
            let publishing = self.publishing()?;
            let Some(record) = self.read_cache_record(key)? else { return Ok(None) };
            lease.pin(&publishing, &pins(&record))?;
            record
        };
        if !self.is_record_whole(lease, &mut record)? {
            return Ok(None);
        }
        record.last_used = now;
        record.uses = record.uses.saturating_add(1);
        self.note_use(&record);
        Ok(Some(record))
    }

    /// Writes down what a key stands for, in place of what was there: the layer, which must be
    /// pinned under the lease, and the real times of its files, by path in the tar (without a slash
    /// at either end). Where some differ from the tar's, a second index is made, and pinned.
    /// Without `real_times` those that `record.times` names stay.
    ///
    /// Returns the record as [`cached`](Self::cached) will give it. Sizes, times and what was used
    /// when are filled in.
    pub fn remember(
        &self,
        lease: &Lease,
        record: &CacheRecord,
        real_times: Option<&RealTimes>,
    ) -> Result<CacheRecord> {
        let mut record = record.clone();
        if let Some((end, _)) = record.description.char_indices().nth(DESCRIPTION_CHARS_MAX) {
            record.description.truncate(end);
        }
        record.boot = self.boot().map(str::to_owned);
        record.size_bytes = 0;
        if let Some(layer) = &record.layer {
            record.size_bytes = self.indexed_layer(layer)?.summary.content_size_bytes;
            if let Some(times) = real_times {
                record.times_given = Some(times_digest(times));
                record.times = self.write_times(lease, (layer, None), times)?;
            }
        }
        self.make()?;
        let directory = self.root().join("varve/cache");
        durable::create_directory(&directory, DIRECTORY_MODE)
            .map_err(cannot("create", &directory))?;
        let path = self.cache_path(&record.key);
        let publishing = self.publishing()?;
        lease.pin(&publishing, &pins(&record))?;
        durable::replace_unsynced(&path, &record.text(), PRIVATE_MODE)
            .map_err(cannot("write", &path))?;
        Ok(record)
    }

    /// All records, those that were used last first; of cache mounts, see
    /// [`cache_mounts`](Self::cache_mounts). None of them is pinned, or known to be whole.
    pub fn cache_records(&self) -> Result<Vec<CacheRecord>> {
        let mut records = Vec::new();
        for key in self.cache_keys()? {
            records.extend(self.read_cache_record(&key)?);
        }
        records.sort_by_key(|record| (std::cmp::Reverse(record.last_used), record.key));
        Ok(records)
    }

    /// The keys of all records.
    pub(crate) fn cache_keys(&self) -> Result<Vec<Digest>> {
        let files = crate::mounts::existing(&self.root().join("varve/cache"))?;
        let key = |path: &PathBuf| Digest::from_hex(path.file_name()?.to_str()?).ok();
        Ok(files.iter().filter_map(key).collect())
    }

    pub(crate) fn cache_path(&self, key: &Digest) -> PathBuf {
        self.root().join("varve/cache").join(key.hex())
    }

    /// A record as it is in the file. One that makes no sense is none.
    pub(crate) fn read_cache_record(&self, key: &Digest) -> Result<Option<CacheRecord>> {
        let path = self.cache_path(key);
        match prefix(&path, limits::CACHE_RECORD_SIZE_BYTES_MAX as usize) {
            Ok(text) => Ok(CacheRecord::parse(key, &text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(cannot("read", &path)(source)),
        }
    }

    /// Writes down a use. What is lost of it is lost.
    fn note_use(&self, record: &CacheRecord) {
        let path = self.cache_path(&record.key);
        let line = use_line(record.last_used, record.uses);
        let write = |path: &Path| -> io::Result<()> {
            let file = durable::open_existing(path)?;
            let size_bytes = file.metadata()?.len();
            let Some(at) = size_bytes.checked_sub(line.len() as u64) else { return Ok(()) };
            durable::write_all_at(&file, line.as_bytes(), at)
        };
        let _ = write(&path);
    }

    /// Whether a pinned record's layer and times are here and right.
    fn is_record_whole(&self, lease: &Lease, record: &mut CacheRecord) -> Result<bool> {
        let Some(layer) = record.layer else { return Ok(true) };
        if !self.is_layer_whole(lease, &layer)? {
            return Ok(false);
        }
        let is_of_this_boot = record.boot.is_some() && record.boot.as_deref() == self.boot();
        let Some(times) = record.times else { return Ok(true) };
        if is_of_this_boot {
            return Ok(self.has_times(&times));
        }
        if !self.are_times_whole(&times)? {
            return Ok(false);
        }
        // Looked at once in this boot is enough. Where this fails the next command looks again.
        record.boot = self.boot().map(str::to_owned);
        let _ =
            durable::replace_unsynced(&self.cache_path(&record.key), &record.text(), PRIVATE_MODE);
        Ok(true)
    }

    /// Whether a layer is here, or can be made from a blob that is; it is then pinned. One that is
    /// not what it should be is taken away.
    pub(crate) fn is_layer_whole(&self, lease: &Lease, layer: &DiffId) -> Result<bool> {
        match self.pin_or_make_layer(lease, layer) {
            Ok(_) => {}
            Err(
                Error::LayerNotFound(_)
                | Error::BlobNotFound(_)
                | Error::Damaged(_)
                | Error::DiffId { .. },
            ) => return Ok(false),
            Err(error) => return Err(error),
        }
        let (directory, path) = (self.layer_path(layer), self.layer_path(layer).join("layer.tar"));
        if !path.try_exists().map_err(cannot("read", &path))? {
            return Ok(self.blob_of(layer)?.is_some());
        }
        let stamp = TarStamp::of(&path);
        if TarStamp::read(&directory) == Some(stamp) {
            return Ok(true);
        }
        if is_tar_of(&path, layer).map_err(cannot("read", &path))? {
            // Where this fails the next one hashes again.
            let _ = stamp.write(&directory);
            return Ok(true);
        }
        self.throw_layer(layer)?;
        let Some(blob) = self.blob_of(layer)? else { return Ok(false) };
        Ok(self.rebuild_layer(lease, &blob, Some(layer)).is_ok())
    }
}

/// What whoever uses a record must not lose.
fn pins(record: &CacheRecord) -> Vec<Pin> {
    let layer = record.layer.map(Pin::Layer);
    layer.into_iter().chain(record.times.map(Pin::Times)).collect()
}
