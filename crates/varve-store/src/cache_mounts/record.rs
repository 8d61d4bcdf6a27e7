//! What is known of a cache mount: `record.json` beside its files.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use varve_fs::{durable, lock::FileLock};
use varve_types::Digest;

use super::{CacheMountRequest, LOCK, TREE, directory_name, read_text, throw};
use crate::{Result, Store, error::cannot, store::PRIVATE_MODE};

pub(crate) const FILE_NAME: &str = "record.json";

/// What is known of a cache mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheMountRecord {
    /// What builds call it.
    pub id: String,
    /// Its directory's name, which only it has.
    #[serde(skip)]
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used.
    pub last_used: Timestamp,
    /// How often it was used.
    pub uses: u64,
    /// Bytes of disk that it took at the end of its last use.
    pub size_bytes: u64,
    /// Whether a build uses it, as far as was asked.
    #[serde(skip)]
    pub in_use: bool,
}

impl CacheMountRecord {
    pub(super) fn new(place: &Place, request: &CacheMountRequest<'_>) -> Self {
        Self {
            id: request.id.to_owned(),
            name: place.name.clone(),
            created: request.now,
            last_used: request.now,
            uses: 0,
            size_bytes: 0,
            in_use: false,
        }
    }
}

/// The directory of a cache mount.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
}

impl Place {
    pub(super) fn new(store: &Store, id: &str, number: u32) -> Self {
        let name = directory_name(id, number);
        Self { path: store.root().join("varve/cache-mounts").join(&name), name }
    }

    pub(super) fn of_path(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_owned();
        let (hex, number) = name.split_once('-').unwrap_or((&name, "0"));
        Digest::from_hex(hex).ok()?;
        number.parse::<u32>().ok()?;
        Some(Self { path, name })
    }

    /// The record, if its files are there and it makes sense.
    pub(super) fn read(&self) -> Result<Option<CacheMountRecord>> {
        if !self.path.join(TREE).is_dir() {
            return Ok(None);
        }
        let Some(text) = read_text(&self.path.join(FILE_NAME))? else { return Ok(None) };
        let record = serde_json::from_slice(&text).ok();
        Ok(record.map(|record| CacheMountRecord { name: self.name.clone(), ..record }))
    }

    pub(super) fn write(&self, record: &CacheMountRecord) -> Result<()> {
        let path = self.path.join(FILE_NAME);
        // Made of strings and numbers only; there is nothing that JSON cannot say.
        let mut text = serde_json::to_vec(record).unwrap_or_default();
        text.push(b'\n');
        durable::replace_unsynced(&path, &text, PRIVATE_MODE).map_err(cannot("write", &path))
    }

    /// Counts a use. A power loss may have taken the record; then it begins anew.
    pub(super) fn note_use(&self, request: &CacheMountRequest<'_>) -> Result<()> {
        let record = self.read()?.unwrap_or_else(|| CacheMountRecord::new(self, request));
        let (last_used, uses) = (record.last_used.max(request.now), record.uses.saturating_add(1));
        self.write(&CacheMountRecord { last_used, uses, ..record })
    }

    /// The lock of one that nobody uses.
    pub(super) fn try_lock(&self) -> Result<Option<FileLock>> {
        let path = self.path.join(LOCK);
        FileLock::try_exclusive(&path).map_err(cannot("lock", &path))
    }

    /// Takes it out of sight, unless somebody uses it. `judging` keeps others from entering it.
    pub(super) fn throw_away(&self, store: &Store, judging: Option<&FileLock>) -> Result<bool> {
        let (Some(_), Some(_lock)) = (judging, self.try_lock()?) else { return Ok(false) };
        throw(store, &self.path)
    }
}
