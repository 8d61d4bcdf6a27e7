//! `builder prune`, `buildx du` and the build cache's part of `system df` and `system prune`.

use jiff::Timestamp;
use varve_store::CachePolicy;
use varve_types::{
    Ctx,
    duration::{self, DurationError},
};

use crate::{Engine, Error, Filters, Result};

pub use varve_store::{CacheKind, CacheUse, PrunedCache};

/// What to prune of the build cache.
#[derive(Debug, Clone, Default)]
pub struct PruneBuildCache {
    /// Also what images have too, and what only builds know.
    pub all: bool,
    /// What must hold of what goes: `until` (or `unused-for`), a duration, and any of `id` (a part
    /// of it), `parents`, `type`, `description`, `inuse`, `mutable`, `immutable`, `shared`, `private`.
    pub filters: Filters,
    /// Bytes that are kept in any case (`--reserved-space`, `--keep-storage`); 0: none.
    pub reserved_bytes: u64,
    /// Bytes that the cache may take (`--max-used-space`); 0: not looked at.
    pub used_bytes_max: u64,
    /// Bytes of the disk that are to be free (`--min-free-space`); 0: not looked at.
    pub free_bytes_min: u64,
}

/// The two names of one filter; the second is the older one.
const UNUSED: [&str; 2] = ["until", "unused-for"];

impl Engine {
    /// What the build cache holds, what was used last first.
    pub fn build_cache(&self) -> Result<Vec<CacheUse>> {
        Ok(self.store.cache_uses()?)
    }

    /// What of it passes filters, which are those of [`PruneBuildCache`].
    pub fn build_cache_of(&self, ctx: &Ctx<'_>, filters: &Filters) -> Result<Vec<CacheUse>> {
        let since = unused_since(filters, ctx.now())?;
        check(filters)?;
        let mut uses = self.build_cache()?;
        uses.retain(|it| since.is_none_or(|since| it.last_used <= since) && passes(filters, it));
        Ok(uses)
    }

    /// Removes what nothing uses of the build cache.
    pub fn prune_build_cache(
        &self,
        ctx: &Ctx<'_>,
        request: &PruneBuildCache,
    ) -> Result<PrunedCache> {
        let unused_since = unused_since(&request.filters, ctx.now())?;
        check(&request.filters)?;
        Ok(self.store.prune_cache(&CachePolicy {
            all: request.all,
            unused_since,
            used_bytes_max: request.used_bytes_max,
            reserved_bytes: request.reserved_bytes,
            free_bytes_min: request.free_bytes_min,
            goes: &|it| passes(&request.filters, it),
        })?)
    }

    /// The same for `system prune`, whose filters are those of all kinds of objects: of them, only
    /// `until` says something of the cache.
    pub fn prune_build_cache_too(
        &self,
        ctx: &Ctx<'_>,
        all: bool,
        filters: &Filters,
    ) -> Result<PrunedCache> {
        Ok(self.store.prune_cache(&CachePolicy {
            all,
            unused_since: filters.until(ctx.now())?,
            used_bytes_max: 0,
            reserved_bytes: 0,
            free_bytes_min: 0,
            goes: &|_| true,
        })?)
    }
}

/// Filters that look at a record, other than at its age.
fn of_records(filters: &Filters) -> impl Iterator<Item = (&str, &str)> {
    filters.iter().filter(|(name, _)| !UNUSED.contains(name))
}

fn unused_since(filters: &Filters, now: Timestamp) -> Result<Option<Timestamp>> {
    let [until, unused_for] = UNUSED;
    if filters.has(until) && filters.has(unused_for) {
        return Err(Error::ConflictingFilters(until, unused_for));
    }
    let name = if filters.has(until) { until } else { unused_for };
    let mut values = filters.get(name);
    let Some(text) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::OneFilterValue);
    }
    let nanoseconds = duration::parse(text).map_err(|error| Error::FilterDuration {
        name,
        text: text.to_owned(),
        lacks_unit: error == DurationError::Unit,
    })?;
    // What lies outside of all time is as long ago, or as far ahead, as can be.
    let ago = jiff::SignedDuration::from_nanos(nanoseconds);
    Ok(Some(now.checked_sub(ago).unwrap_or(Timestamp::MIN)))
}

/// Each filter has one value, as in docker.
fn check(filters: &Filters) -> Result<()> {
    let mut before = None;
    for (name, _) in of_records(filters) {
        if before.replace(name) == Some(name) {
            return Err(Error::OneFilterValue);
        }
    }
    Ok(())
}

/// Whether one of the filters holds, or there is none.
fn passes(filters: &Filters, it: &CacheUse) -> bool {
    let mut any = of_records(filters).peekable();
    any.peek().is_none() || any.any(|(name, value)| holds(name, value, it))
}

fn holds(name: &str, value: &str, it: &CacheUse) -> bool {
    // `name!=value` and `name~=value` are told by the last character of the name.
    let (field, how) = match name.strip_suffix(['!', '~']) {
        Some(field) => (field, name.as_bytes()[field.len()]),
        None => (name, b'='),
    };
    let flag = |is_so: bool| match value {
        "" | "1" | "true" => is_so,
        "0" | "false" => !is_so,
        _ => false,
    };
    let text = match field {
        "inuse" => return flag(it.in_use),
        "mutable" => return flag(it.mutable),
        "immutable" => return flag(!it.mutable),
        "shared" => return flag(it.shared),
        "private" => return flag(!it.shared),
        "id" => it.id.clone(),
        "parent" | "parents" => it.parents.join(";"),
        "type" => it.kind.to_string(),
        "description" => it.description.clone(),
        _ => return false,
    };
    match how {
        b'!' => text != value,
        b'~' => regex::Regex::new(value).is_ok_and(|pattern| pattern.is_match(&text)),
        _ if field == "id" => text.contains(value),
        _ => text == value,
    }
}
