//! Making room: records go, and with them what nothing else reaches.

use std::{
    collections::HashSet,
    fmt::{self, Debug},
};

use jiff::Timestamp;
use varve_fs::durable;
use varve_types::{DiffId, Digest};

use super::{
    CacheKind, CacheUse, notes,
    usage::{Found, Of, of_mount},
};
use crate::{Result, Store, Swept, error::cannot, mounts::existing};

/// What is to go of the build cache.
#[derive(Clone, Copy)]
pub struct CachePolicy<'a> {
    /// Also what images or containers have too, and what only builds know.
    pub all: bool,
    /// Only what was not used since then.
    pub unused_since: Option<Timestamp>,
    /// Keeps what was used last, as long as all of it takes less than this many bytes; 0: keeps
    /// nothing for that.
    pub used_bytes_max: u64,
    /// Keeps so many bytes whatever the others say; 0: none.
    pub reserved_bytes: u64,
    /// Removes only so much that so many bytes of the disk are free; 0: does not look at the disk.
    pub free_bytes_min: u64,
    /// What else must hold.
    pub goes: &'a dyn Fn(&CacheUse) -> bool,
}

impl Debug for CachePolicy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachePolicy").field("all", &self.all).finish_non_exhaustive()
    }
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunedCache {
    /// What was used longest ago first.
    pub removed: Vec<CacheUse>,
    /// Docker's size of the layers that went with it, and the disk that its cache mounts took, in
    /// bytes. A layer that something else reaches did not go.
    pub reclaimed_bytes: u64,
    /// Bytes of disk freed by layers.
    pub freed_bytes: u64,
}

impl Store {
    /// Removes what a policy says of the build cache. What a build needs now stays.
    pub fn prune_cache(&self, policy: &CachePolicy<'_>) -> Result<PrunedCache> {
        if !self.is_made() {
            return Ok(PrunedCache::default());
        }
        let mounts: Vec<Found> = self.cache_mounts()?.into_iter().map(of_mount).collect();
        let (mut removed, swept) = self.prune_records(policy, mounts)?;
        let gone = self.remove_cache_mounts(|record| {
            let source = Of::Mount { name: record.name.clone() };
            // Used since, it is another one.
            let is_it = |it: &Found| it.source == source && it.it.last_used == record.last_used;
            removed.iter().any(is_it)
        })?;
        let gone: HashSet<String> = gone.into_iter().map(|record| record.name).collect();
        removed.retain(|found| match &found.source {
            Of::Mount { name } => gone.contains(name),
            Of::Record { .. } => found.has_layer(),
        });
        if policy.all && policy.keeps_nothing() {
            self.forget_contexts()?;
        }
        let layer = |found: &Found| match found.source {
            Of::Record { layer, .. } => layer,
            Of::Mount { .. } => None,
        };
        let layers: HashSet<DiffId> = removed.iter().filter_map(layer).collect();
        let layers = swept.layers.iter().filter(|(layer, _)| layers.contains(layer));
        let mounts = removed.iter().filter(|found| found.it.mutable).map(|it| it.it.size_bytes);
        let reclaimed_bytes = layers.map(|(_, size)| *size).chain(mounts).sum();
        let removed = removed.into_iter().map(|found| found.it).collect();
        Ok(PrunedCache { removed, reclaimed_bytes, freed_bytes: swept.freed_bytes })
    }

    /// Removes records, and sweeps. Returns what goes, the cache mounts that are to go among it.
    fn prune_records(
        &self,
        policy: &CachePolicy<'_>,
        mounts: Vec<Found>,
    ) -> Result<(Vec<Found>, Swept)> {
        let sweeping = self.sweeping()?;
        let table = self.lock_table()?;
        let names = self.parse_names(&self.read_table()?)?;
        let mut uses = self.record_uses(&names, &sweeping)?;
        uses.extend(mounts);
        let free_bytes = rustix::fs::statvfs(self.root());
        let free_bytes = free_bytes.map_or(0, |it| it.f_bavail.saturating_mul(it.f_frsize));
        let removed = policy.choose(uses, free_bytes);
        for it in &removed {
            if let Of::Record { key, .. } = &it.source {
                let path = self.cache_path(key);
                durable::unlink(&path).map_err(cannot("remove", &path))?;
            }
        }
        let doomed = self.doomed(&names, &sweeping)?;
        drop(table);
        let swept = self.remove(doomed, sweeping)?;
        Ok((removed, swept))
    }

    /// Forgets what was remembered of the files of contexts.
    fn forget_contexts(&self) -> Result<()> {
        for path in existing(&self.root().join("varve/cache"))? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.strip_prefix(notes::PREFIX).is_some_and(|hex| Digest::from_hex(hex).is_ok()) {
                durable::unlink(&path).map_err(cannot("remove", &path))?;
            }
        }
        Ok(())
    }
}

impl CachePolicy<'_> {
    /// What goes of all there is, what was used longest ago first.
    fn choose(&self, uses: Vec<Found>, free_bytes: u64) -> Vec<Found> {
        let counted = uses.iter().filter(|it| !it.it.shared).map(|it| it.it.size_bytes);
        let mut total: u64 = counted.sum();
        let keep = self.kept_bytes(total, free_bytes);
        let (mut with_room, mut without): (Vec<_>, Vec<_>) =
            uses.into_iter().filter(|it| self.may_go(it)).partition(Found::has_layer);
        with_room.sort_by(|one, other| {
            let age = |found: &Found| (found.it.last_used, found.it.uses);
            age(one).cmp(&age(other)).then_with(|| one.it.id.cmp(&other.it.id))
        });
        let mut gone = Vec::new();
        for found in with_room {
            if keep.is_some_and(|keep| total < keep) {
                break;
            }
            if !found.it.shared {
                total = total.saturating_sub(found.it.size_bytes);
            }
            gone.push(found);
        }
        // What takes no room goes with what it is as old as.
        let latest_gone = gone.last().map(|found| found.it.last_used);
        without.retain(|found| {
            let is_as_old = latest_gone.is_some_and(|time| found.it.last_used <= time);
            is_as_old || self.all && self.keeps_nothing()
        });
        gone.extend(without);
        gone
    }

    fn may_go(&self, found: &Found) -> bool {
        let it = &found.it;
        let is_hidden = matches!(it.kind, CacheKind::Internal | CacheKind::Frontend);
        !it.in_use
            && (self.all || !it.shared && (!is_hidden || !found.has_layer()))
            && self.unused_since.is_none_or(|since| it.last_used <= since)
            && (self.goes)(it)
    }

    fn keeps_nothing(&self) -> bool {
        self.used_bytes_max == 0 && self.reserved_bytes == 0 && self.free_bytes_min == 0
    }

    /// Docker's rule: as many bytes as may be used, fewer where the disk is short, but not fewer
    /// than are reserved. `None`: nothing is kept for that.
    fn kept_bytes(&self, total: u64, free_bytes: u64) -> Option<u64> {
        if self.keeps_nothing() {
            return None;
        }
        let most = (self.used_bytes_max > 0).then_some(self.used_bytes_max);
        let left = match self.free_bytes_min.saturating_sub(free_bytes) {
            _ if self.free_bytes_min == 0 => None,
            0 => Some(u64::MAX),
            missing => Some(total.saturating_sub(missing)),
        };
        let kept = [most, left].into_iter().flatten().min().unwrap_or(0);
        Some(kept.max(self.reserved_bytes))
    }
}

#[cfg(test)]
mod tests {
    use varve_types::{DiffId, Digest};

    use super::*;
    use crate::cache::{CacheRecord, usage::of_record};

    fn used(name: &str, second: i64, size_bytes: u64) -> Found {
        let (key, time) = (Digest::of(name.as_bytes()), Timestamp::from_second(second).unwrap());
        let record = CacheRecord::new(key, CacheKind::Regular, name, time);
        of_record(CacheRecord { layer: Some(DiffId(key)), size_bytes, ..record })
    }

    #[track_caller]
    fn check(policy: CachePolicy<'_>, uses: Vec<Found>, expected: &[&str]) {
        let gone = policy.choose(uses, 1_000);
        let gone: Vec<&str> = gone.iter().map(|it| &*it.it.description).collect();
        assert_eq!(gone, expected);
    }

    const ANY: CachePolicy<'static> = CachePolicy {
        all: false,
        unused_since: None,
        used_bytes_max: 0,
        reserved_bytes: 0,
        free_bytes_min: 0,
        goes: &|_| true,
    };

    fn three() -> Vec<Found> {
        vec![used("new", 30, 100), used("old", 10, 10), used("middle", 20, 50)]
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_until_there_is_room() {
        check(ANY, three(), &["old", "middle", "new"]);
        check(CachePolicy { used_bytes_max: 151, ..ANY }, three(), &["old"]);
        check(CachePolicy { used_bytes_max: 101, ..ANY }, three(), &["old", "middle"]);
        check(CachePolicy { used_bytes_max: 161, ..ANY }, three(), &[]);
        check(CachePolicy { used_bytes_max: 1, reserved_bytes: 151, ..ANY }, three(), &["old"]);
        check(CachePolicy { free_bytes_min: 1_000, ..ANY }, three(), &[]);
        check(CachePolicy { free_bytes_min: 1_009, ..ANY }, three(), &["old"]);
        check(CachePolicy { free_bytes_min: 9_000, ..ANY }, three(), &["old", "middle", "new"]);
        let since = Timestamp::from_second(20).unwrap();
        check(CachePolicy { unused_since: Some(since), ..ANY }, three(), &["old", "middle"]);
        check(CachePolicy { goes: &|it| it.description == "new", ..ANY }, three(), &["new"]);
    }

    #[test]
    fn what_is_in_use_stays_and_what_is_shared_or_internal_goes_only_with_all() {
        let (mut a, mut b, mut c) =
            (used("used", 1, 1), used("shared", 2, 1), used("internal", 3, 1));
        (a.it.in_use, b.it.shared, c.it.kind) = (true, true, CacheKind::Internal);
        let uses = || vec![a.clone(), b.clone(), c.clone()];
        check(ANY, uses(), &[]);
        check(CachePolicy { all: true, ..ANY }, uses(), &["shared", "internal"]);
    }

    #[test]
    fn what_takes_no_room_goes_with_what_is_as_old() {
        let without = |name, second| {
            let source = Of::Record { key: Digest::of(b"x"), layer: None };
            Found { source, ..used(name, second, 0) }
        };
        let uses = || [three(), vec![without("older", 5), without("newer", 15)]].concat();
        check(CachePolicy { used_bytes_max: 151, ..ANY }, uses(), &["old", "older"]);
        let all = ["old", "middle", "new", "older", "newer"];
        check(CachePolicy { all: true, ..ANY }, uses(), &all);
    }
}
