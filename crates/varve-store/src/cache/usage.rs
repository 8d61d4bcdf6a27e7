//! What the build cache holds, as docker shows it.

use std::collections::HashSet;

use jiff::Timestamp;
use varve_types::{DiffId, Digest};

use super::{CacheKind, CacheRecord};
use crate::{
    CacheMountRecord, Error, Names, Result, Store,
    lease::{self, Pin},
    mark,
    store::Sweeping,
    sweep::{self, Node},
};

/// One thing of the build cache: a record, or the directory of a cache mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheUse {
    /// What it is called: 25 digits and lower-case letters.
    pub id: String,
    /// What kind of thing it is.
    pub kind: CacheKind,
    /// The step, or the id of the cache mount, for people.
    pub description: String,
    /// The ids of those that it builds upon.
    pub parents: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used; when it was made, if it was not used since.
    pub last_used: Timestamp,
    /// How often it was used since.
    pub uses: u64,
    /// Docker's size of its layer, which of several records of one layer the last used has; of a
    /// cache mount, the disk that it takes. In bytes.
    pub size_bytes: u64,
    /// Whether a build needs it now.
    pub in_use: bool,
    /// Whether an image or a container has its layer too.
    pub shared: bool,
    /// Whether what it holds changes: of cache mounts.
    pub mutable: bool,
}

/// One thing of the build cache, and where it lies.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) it: CacheUse,
    pub(super) source: Of,
}

/// Where a thing of the build cache lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Of {
    Record { key: Digest, layer: Option<DiffId> },
    Mount { name: String },
}

impl Store {
    /// What the build cache holds, what was used last first. Records without a layer are left out:
    /// they take no room.
    pub fn cache_uses(&self) -> Result<Vec<CacheUse>> {
        if !self.is_made() {
            return Ok(Vec::new());
        }
        let mounts = self.cache_mounts()?.into_iter().map(of_mount);
        let mut uses: Vec<CacheUse> = mounts.map(|found| found.it).collect();
        if !self.cache_keys()?.is_empty() {
            // Which leases are living is known only while nobody takes one.
            let sweeping = self.sweeping()?;
            let records = self.record_uses(&self.names()?, &sweeping)?.into_iter();
            uses.extend(records.filter(Found::has_layer).map(|found| found.it));
        }
        uses.sort_by(|one, other| {
            other.last_used.cmp(&one.last_used).then_with(|| one.id.cmp(&other.id))
        });
        Ok(uses)
    }

    /// The layers of all records.
    pub fn cached_layers(&self) -> Result<HashSet<DiffId>> {
        Ok(self.cache_records()?.into_iter().filter_map(|record| record.layer).collect())
    }

    /// All records, what was used last first.
    pub(super) fn record_uses(&self, names: &Names, sweeping: &Sweeping) -> Result<Vec<Found>> {
        let pinned = lease::pinned(self, sweeping)?;
        let containers = match self.container_roots() {
            // Nobody knows what it keeps; then nothing is swept either.
            Err(Error::Record { .. } | Error::Limit { .. }) => Vec::new(),
            other => other?,
        };
        let roots = sweep::roots(names).into_iter().chain(containers);
        let reached = match mark::reached(roots, |node| self.points_at(node)) {
            Err(Error::Damaged(_)) => HashSet::new(),
            other => other?,
        };
        let mut seen = HashSet::new();
        let records = self.cache_records()?.into_iter().map(|record| {
            let is_first = record.layer.is_none_or(|layer| seen.insert(layer));
            let is_pinned = |pin: Option<Pin>| pin.is_some_and(|pin| pinned.contains(&pin));
            let (layer, times) = (record.layer, record.times);
            let mut found = of_record(record);
            found.it.in_use = is_pinned(layer.map(Pin::Layer)) || is_pinned(times.map(Pin::Times));
            found.it.shared = layer.is_some_and(|layer| reached.contains(&Node::Layer(layer)));
            if !is_first {
                found.it.size_bytes = 0;
            }
            found
        });
        Ok(records.collect())
    }
}

impl Found {
    /// Whether it is something that takes room.
    pub(super) fn has_layer(&self) -> bool {
        !matches!(self.source, Of::Record { layer: None, .. })
    }
}

pub(super) fn of_record(record: CacheRecord) -> Found {
    let source = Of::Record { key: record.key, layer: record.layer };
    let it = CacheUse {
        id: id_of(&record.key),
        kind: record.kind,
        description: record.description,
        parents: record.parents.iter().map(id_of).collect(),
        created: record.created,
        last_used: record.last_used,
        uses: record.uses,
        size_bytes: record.size_bytes,
        in_use: false,
        shared: false,
        mutable: false,
    };
    Found { it, source }
}

pub(super) fn of_mount(record: CacheMountRecord) -> Found {
    let it = CacheUse {
        id: id_of(&Digest::of(record.name.as_bytes())),
        kind: CacheKind::ExecCacheMount,
        description: format!("cached mount {}", record.id),
        parents: Vec::new(),
        created: record.created,
        last_used: record.last_used,
        uses: record.uses,
        size_bytes: record.size_bytes,
        in_use: record.in_use,
        shared: false,
        mutable: true,
    };
    Found { it, source: Of::Mount { name: record.name } }
}

/// What docker's users see of a key: 25 digits in base 36, as many as 128 bits can take.
fn id_of(key: &Digest) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let first: [u8; 16] = std::array::from_fn(|place| key.as_bytes()[place]);
    let mut rest = u128::from_be_bytes(first);
    let mut id = [b'0'; 25];
    for digit in id.iter_mut().rev() {
        *digit = DIGITS[(rest % 36) as usize];
        rest /= 36;
    }
    String::from_utf8_lossy(&id).into_owned()
}
