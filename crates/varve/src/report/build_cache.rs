//! The build cache.

use std::rc::Rc;

use jiff::Timestamp;
use varve_engine::{CacheUse, PrunedCache};

use crate::format::{
    template::{Row, Value},
    time, units,
};

/// Fields and the headers of their columns.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("CacheType", "CACHE TYPE"),
    ("CreatedSince", "CREATED"),
    ("Description", "DESCRIPTION"),
    ("ID", "CACHE ID"),
    ("InUse", "IN USE"),
    ("LastUsedSince", "LAST USED"),
    ("Parent", "PARENT"),
    ("Shared", "SHARED"),
    ("Size", "SIZE"),
    ("UsageCount", "USAGE"),
];

/// One row of `system df --verbose`.
#[derive(Debug)]
pub(crate) struct CacheRow {
    pub(crate) it: CacheUse,
    /// Whether whole IDs are shown.
    pub(crate) whole: bool,
    pub(crate) now: Timestamp,
}

/// All rows, in docker's order: what was used longest ago first.
pub(crate) fn rows(uses: &[CacheUse], whole: bool, now: Timestamp) -> Vec<Rc<dyn Row>> {
    let mut uses: Vec<&CacheUse> = uses.iter().collect();
    uses.sort_by(|one, other| (one.last_used, &one.id).cmp(&(other.last_used, &other.id)));
    let row = |it: &CacheUse| -> Rc<dyn Row> { Rc::new(CacheRow { it: it.clone(), whole, now }) };
    uses.into_iter().map(row).collect()
}

/// Bytes that only the cache takes.
pub(crate) fn size_bytes(uses: &[CacheUse]) -> u64 {
    uses.iter().filter(|it| !it.shared).map(|it| it.size_bytes).sum()
}

/// The cache's part of the report of `system prune`.
pub(crate) fn deleted(pruned: &PrunedCache) -> String {
    if pruned.removed.is_empty() {
        return String::new();
    }
    let ids = pruned.removed.iter().map(|it| it.id.clone() + "\n");
    format!("Deleted build cache objects:\n{}\n", ids.collect::<String>())
}

impl Row for CacheRow {
    fn go_type(&self) -> &'static str {
        "*formatter.buildCacheContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &[
            "CacheType",
            "CreatedAt",
            "CreatedSince",
            "Description",
            "ID",
            "InUse",
            "LastUsedAt",
            "LastUsedSince",
            "Parent",
            "Shared",
            "Size",
            "UsageCount",
        ]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let id = |id: &str| if self.whole { id.to_owned() } else { units::short_id(id).to_owned() };
        let is_used = self.it.uses > 0;
        Some(match name {
            "CacheType" => Value::text(self.it.kind.name()),
            "CreatedAt" => Value::text(time::go_text(self.it.created)),
            "CreatedSince" => Value::text(time::age(self.now, self.it.created)),
            "Description" => Value::foreign(self.it.description.as_str()),
            "ID" if self.it.in_use => Value::text(id(&self.it.id) + "*"),
            "ID" => Value::text(id(&self.it.id)),
            "InUse" => Value::text(self.it.in_use.to_string()),
            "LastUsedAt" if is_used => Value::text(time::go_text(self.it.last_used)),
            "LastUsedSince" if is_used => Value::text(time::age(self.now, self.it.last_used)),
            "LastUsedAt" | "LastUsedSince" => Value::text(""),
            "Parent" => {
                let parents: Vec<String> = self.it.parents.iter().map(|it| id(it)).collect();
                Value::text(parents.join(", "))
            }
            "Shared" => Value::text(self.it.shared.to_string()),
            "Size" => Value::text(units::size(self.it.size_bytes, 3)),
            "UsageCount" => Value::text(self.it.uses.to_string()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use varve_engine::CacheKind;

    use super::*;
    use crate::format::Listing;

    fn uses() -> Vec<CacheUse> {
        let it = |id: &str, minute: u8, uses: u64| CacheUse {
            id: id.repeat(25),
            kind: CacheKind::Regular,
            description: "[1/2] COPY \u{1b}[2J .".to_owned(),
            parents: Vec::new(),
            created: "2026-11-20T13:00:00Z".parse().unwrap(),
            last_used: format!("2026-11-20T13:{minute:02}:00Z").parse().unwrap(),
            uses,
            size_bytes: 5_948_915,
            in_use: false,
            shared: false,
            mutable: false,
        };
        let shared = CacheUse { shared: true, parents: vec!["a".repeat(25)], ..it("s", 20, 3) };
        let held = CacheUse { in_use: true, kind: CacheKind::ExecCacheMount, ..it("m", 30, 1) };
        vec![held, shared, it("a", 0, 0)]
    }

    fn show(format: &str) -> String {
        let now = "2026-11-20T13:42:00Z".parse().unwrap();
        Listing { format, headers: HEADERS }.render(rows(&uses(), false, now)).unwrap()
    }

    #[test]
    fn rows_are_dockers() {
        expect_test::expect![[r"
            CACHE ID        CACHE TYPE        SIZE      CREATED          LAST USED        USAGE     SHARED
            aaaaaaaaaaaa    regular           5.95MB    42 minutes ago                    0         false
            ssssssssssss    regular           5.95MB    42 minutes ago   22 minutes ago   3         true
            mmmmmmmmmmmm*   exec.cachemount   5.95MB    42 minutes ago   12 minutes ago   1         false
        "]]
        .assert_eq(&show(
            "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
        ));
        assert_eq!(show("{{.Parent}}|{{.InUse}}"), "|false\naaaaaaaaaaaa|false\n|true\n");
        assert_eq!(
            show("{{.CreatedAt}}|{{.LastUsedAt}}").lines().next(),
            Some("2026-11-20 13:00:00 +0000 UTC|")
        );
        assert!(!show("{{.Description}}").contains('\u{1b}'));
    }

    #[test]
    fn what_images_have_too_is_not_the_caches() {
        assert_eq!(size_bytes(&uses()), 2 * 5_948_915);
    }

    #[test]
    fn what_was_pruned_is_named_by_its_whole_id() {
        assert_eq!(deleted(&PrunedCache::default()), "");
        let removed = uses().split_off(2);
        let pruned = PrunedCache { removed, ..PrunedCache::default() };
        let id = "a".repeat(25);
        assert_eq!(deleted(&pruned), format!("Deleted build cache objects:\n{id}\n\n"));
    }
}
