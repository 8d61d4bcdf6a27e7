//! The build cache as commands see it.

use jiff::SignedDuration;
use varve_engine::{Engine, PruneBuildCache, Remove, Removed};
use varve_store::{CacheKind, CacheRecord, Error};
use varve_types::{Ctx, DiffId, Digest};

use crate::images::{Bench, tar_of};

/// A step that was done so many hours ago, and its parent.
fn done(bench: &Bench, name: &str, kind: CacheKind, hours: i64, parent: Option<&str>) -> DiffId {
    let (store, key) = (bench.engine.store(), |name: &str| Digest::of(name.as_bytes()));
    let lease = store.lease().unwrap();
    let tar = tar_of("file", name.as_bytes());
    let write = |out: &mut dyn std::io::Write| out.write_all(&tar).map_err(Error::Source);
    let layer = store.write_cache_layer(&lease, write).unwrap().0.summary.diff_id;
    let then = Ctx::for_test().now() - SignedDuration::from_hours(hours);
    let record = CacheRecord {
        layer: Some(layer),
        parents: parent.map(key).into_iter().collect(),
        ..CacheRecord::new(key(name), kind, name, then)
    };
    store.remember(&lease, &record, None).unwrap();
    layer
}

fn three() -> Bench {
    let bench = Bench::new();
    done(&bench, "base", CacheKind::Regular, 50, None);
    done(&bench, "context", CacheKind::Source, 30, None);
    done(&bench, "RUN make", CacheKind::Regular, 2, Some("base"));
    bench
}

fn id(engine: &Engine, name: &str) -> String {
    let uses = engine.build_cache().unwrap();
    uses.into_iter().find(|it| it.description == name).unwrap().id
}

fn prune(bench: &Bench, filters: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let mut request = PruneBuildCache::default();
    for (name, value) in filters {
        request.filters.add(name, value);
    }
    let ctx = Ctx::for_test();
    let listed = bench.engine.build_cache_of(&ctx, &request.filters);
    let pruned = bench.engine.prune_build_cache(&ctx, &request).map_err(|it| it.to_string())?;
    let names: Vec<String> = pruned.removed.into_iter().map(|it| it.description).collect();
    let mut listed: Vec<String> = listed.unwrap().into_iter().map(|it| it.description).collect();
    listed.reverse();
    assert_eq!(listed, names, "what is listed is what goes");
    Ok(names)
}

#[track_caller]
fn check(filters: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(prune(&three(), filters).unwrap(), expected);
}

#[test]
fn filters_choose_what_goes_as_in_docker() {
    check(&[], &["base", "context", "RUN make"]);
    check(&[("until", "24h")], &["base", "context"]);
    check(&[("unused-for", "40h30m")], &["base"]);
    check(&[("type", "source.local")], &["context"]);
    check(&[("type!", "source.local")], &["base", "RUN make"]);
    check(&[("description~", "^RUN ")], &["RUN make"]);
    check(&[("description", "base"), ("until", "24h")], &["base"]);
    check(&[("description", "base"), ("type", "source.local")], &["base", "context"]);
    check(&[("inuse", "true")], &[]);
    check(&[("inuse", "false")], &["base", "context", "RUN make"]);
    check(&[("shared", "true")], &[]);
    check(&[("private", "1"), ("until", "24h")], &["base", "context"]);
    check(&[("mutable", "true")], &[]);
    check(&[("nonsense", "1")], &[]);
    let bench = three();
    let base = id(&bench.engine, "base");
    assert_eq!(prune(&bench, &[("parents", &base)]).unwrap(), ["RUN make"]);
    assert_eq!(prune(&bench, &[("id", &base[3..20])]).unwrap(), ["base"]);
    bench.check();
}

#[test]
fn filters_that_make_no_sense_are_refused_and_nothing_goes() {
    let bench = three();
    let refused = |filters: &[(&str, &str)]| {
        let mut request = PruneBuildCache { all: true, ..PruneBuildCache::default() };
        for (name, value) in filters {
            request.filters.add(name, value);
        }
        let refused = bench.engine.prune_build_cache(&Ctx::for_test(), &request);
        refused.unwrap_err().to_string()
    };
    assert_eq!(
        refused(&[("until", "24h"), ("unused-for", "1h")]),
        "conflicting filters \"until\" and \"unused-for\""
    );
    assert_eq!(refused(&[("until", "24h"), ("until", "1h")]), "filters expect only one value");
    assert_eq!(refused(&[("id", "a"), ("id", "b")]), "filters expect only one value");
    assert_eq!(
        refused(&[("until", "soon")]),
        "\"until\" filter expects a duration (e.g., '24h'): time: invalid duration \"soon\""
    );
    assert_eq!(
        refused(&[("unused-for", "24")]),
        "\"unused-for\" filter expects a duration (e.g., '24h'): time: missing unit in duration \"24\""
    );
    assert_eq!(bench.engine.build_cache().unwrap().len(), 3);
}

#[test]
fn what_is_kept_is_what_was_used_last() {
    let bench = three();
    // 4 + 7 + 8 bytes.
    let request = PruneBuildCache { reserved_bytes: 16, ..PruneBuildCache::default() };
    let pruned = bench.engine.prune_build_cache(&Ctx::for_test(), &request).unwrap();
    assert_eq!((pruned.removed.len(), pruned.reclaimed_bytes), (1, 4));
    assert_eq!(pruned.removed[0].description, "base");
}

/// A layer that the cache has too is not gone with its image, and is not counted.
#[test]
fn removing_an_image_leaves_what_the_cache_keeps() {
    let bench = Bench::new();
    done(&bench, "cached", CacheKind::Regular, 1, None);
    bench.import("cached", Some("app:1"), &[]);
    let usage = bench.engine.disk_usage().unwrap();
    assert!(usage.build_cache[0].shared);
    assert_eq!((usage.layers_size_bytes, usage.build_cache[0].size_bytes), (6, 6));
    let request = Remove { image: "app:1", force: false, keep_parents: false, platforms: &[] };
    let removed = bench.engine.remove(&request).unwrap();
    assert!(!removed.iter().any(|it| matches!(it, Removed::Layer(..))), "{removed:?}");
    assert_eq!(bench.files("varve/layers"), 1);
    assert!(!bench.engine.disk_usage().unwrap().build_cache[0].shared);
    let ctx = Ctx::for_test();
    let kept = bench.engine.prune_build_cache_too(&ctx, false, &until("2h")).unwrap();
    assert_eq!(kept.removed, []);
    let pruned = bench.engine.prune_build_cache_too(&ctx, false, &until("30m")).unwrap();
    assert_eq!((pruned.removed.len(), pruned.reclaimed_bytes), (1, 6));
    assert_eq!(bench.files("varve/layers"), 0);
    bench.check();
}

fn until(value: &str) -> varve_engine::Filters {
    let mut filters = varve_engine::Filters::default();
    filters.add("until", value);
    filters
}

#[test]
fn an_empty_store_has_an_empty_cache() {
    let bench = Bench::new();
    assert_eq!(bench.engine.build_cache().unwrap(), []);
    assert_eq!(prune(&bench, &[]).unwrap(), [""; 0]);
}
