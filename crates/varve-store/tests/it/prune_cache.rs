//! Making room in the build cache.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use varve_store::{CacheKind, CachePolicy, CacheRecord, CacheUse, PrunedCache, Sharing, Store};

use crate::{
    build_cache::{at, done, find, key, record, step},
    made::{Layer, TempStore, add, files, noise, remove, tar},
};

const ANY: CachePolicy<'static> = CachePolicy {
    all: false,
    unused_since: None,
    used_bytes_max: 0,
    reserved_bytes: 0,
    free_bytes_min: 0,
    goes: &|_| true,
};

const ALL: CachePolicy<'static> = CachePolicy { all: true, ..ANY };

fn names(uses: &[CacheUse]) -> Vec<&str> {
    uses.iter().map(|it| &*it.description).collect()
}

/// What the store's files take, the trash included.
fn allocated(store: &Store) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let mut seen = std::collections::HashSet::new();
    let size = |path: &String| {
        let facts = fs::metadata(store.root().join(path)).unwrap();
        if seen.insert(facts.ino()) { facts.len() } else { 0 }
    };
    files(store.root()).iter().map(size).sum()
}

#[test]
fn pruning_removes_records_and_what_only_they_reach() {
    let store = TempStore::new();
    done(&store, "a", &tar("file", &noise(5_000, 1)));
    done(&store, "b", &tar("file", &noise(3_000, 2)));
    assert_eq!(names(&store.cache_uses().unwrap()).len(), 2);
    let only_a = CachePolicy { goes: &|it| it.description == "a", ..ANY };
    let PrunedCache { removed, reclaimed_bytes, .. } = store.prune_cache(&only_a).unwrap();
    assert_eq!((names(&removed), reclaimed_bytes), (vec!["a"], 5_000));
    assert_eq!(find(&store, "a"), None);
    assert!(find(&store, "b").is_some());
    let before = allocated(&store);
    let pruned = store.prune_cache(&ANY).unwrap();
    assert_eq!((names(&pruned.removed), pruned.reclaimed_bytes), (vec!["b"], 3_000));
    assert!(pruned.freed_bytes > 3_000);
    // The record itself is not a layer's.
    let record_bytes = before - allocated(&store) - pruned.freed_bytes;
    assert!(record_bytes < 1_000, "{record_bytes}");
    assert_eq!(store.prune_cache(&ALL).unwrap(), PrunedCache::default());
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn a_layer_that_an_image_has_is_shared_and_frees_nothing() {
    let store = TempStore::new();
    let layer = Layer::plain(&noise(5_000, 1));
    done(&store, "a", &layer.tar);
    store.layer_blob(&store.lease().unwrap(), &layer.diff_id).unwrap();
    add(&store, "app:1", std::slice::from_ref(&layer));
    let uses = store.cache_uses().unwrap();
    assert!(uses[0].shared && !uses[0].in_use && !uses[0].mutable, "{uses:?}");
    assert_eq!(store.prune_cache(&ANY).unwrap().removed, []);
    let pruned = store.prune_cache(&ALL).unwrap();
    assert_eq!((names(&pruned.removed), pruned.reclaimed_bytes), (vec!["a"], 0));
    assert_eq!(pruned.freed_bytes, 0);
    assert!(store.layer(&layer.diff_id).unwrap().is_some());
    assert_eq!(store.check().unwrap(), []);
    assert_eq!(remove(&store, "app:1").layers.len(), 1);
}

#[test]
fn what_a_build_needs_now_is_in_use_and_stays() {
    let store = TempStore::new();
    done(&store, "a", &tar("file", b"a"));
    let lease = store.lease().unwrap();
    store.cached(&lease, &key("a"), at(5)).unwrap().unwrap();
    let held = store
        .cache_mount::<varve_store::Error>(
            &varve_store::CacheMountRequest { id: "id", sharing: Sharing::Shared, now: at(6) },
            &mut |_| Ok(()),
            &|| true,
        )
        .unwrap()
        .unwrap();
    let uses = store.again().cache_uses().unwrap();
    assert!(uses.iter().all(|it| it.in_use), "{uses:?}");
    assert_eq!(names(&uses), ["cached mount id", "a"]);
    assert_eq!((uses[0].kind, uses[0].mutable), (CacheKind::ExecCacheMount, true));
    assert_eq!(store.again().prune_cache(&ALL).unwrap().removed, []);
    drop((lease, held));
    let removed = store.prune_cache(&ALL).unwrap().removed;
    assert_eq!(names(&removed), ["a", "cached mount id"]);
    assert_eq!(store.cache_mounts().unwrap(), []);
}

#[test]
fn of_several_records_of_a_layer_one_has_its_size_and_the_last_frees_it() {
    let store = TempStore::new();
    let bytes = tar("file", &noise(5_000, 1));
    let layer = done(&store, "first", &bytes);
    let lease = store.lease().unwrap();
    let second = CacheRecord { last_used: at(300), ..record("second", Some(layer)) };
    store.remember(&lease, &second, None).unwrap();
    let hidden = CacheRecord { content: Some(key("first")), ..record("third", None) };
    store.remember(&lease, &hidden, None).unwrap();
    drop(lease);
    let uses = store.cache_uses().unwrap();
    assert_eq!(names(&uses), ["second", "first"], "the third takes no room");
    assert_eq!(uses.iter().map(|it| it.size_bytes).collect::<Vec<_>>(), [5_000, 0]);
    let first = CachePolicy { goes: &|it| it.description == "first", ..ANY };
    assert_eq!(store.prune_cache(&first).unwrap().reclaimed_bytes, 0);
    assert_eq!(store.prune_cache(&ALL).unwrap().reclaimed_bytes, 5_000);
    assert_eq!(find(&store, "third"), None);
}

#[test]
fn ids_are_docker_like_and_stay() {
    let store = TempStore::new();
    done(&store, "a", &tar("file", b"a"));
    let id = store.cache_uses().unwrap().remove(0).id;
    assert!(id.len() == 25 && id.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit()));
    assert_eq!(store.again().cache_uses().unwrap()[0].id, id);
}

/// Builds that remember and find, sweeps and prunes, all at once: what a lease was given stays.
#[test]
fn builds_go_on_while_others_sweep_and_prune() {
    let store = TempStore::new();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let builders: Vec<_> = (0..3_u64)
            .map(|builder| {
                let store = store.again();
                scope.spawn(move || {
                    for round in 0..40 {
                        let lease = store.lease().unwrap();
                        let name = format!("step {}", (round + builder) % 5);
                        let found = store.cached(&lease, &key(&name), at(round as i64)).unwrap();
                        let layer = if let Some(found) = found {
                            found.layer.unwrap()
                        } else {
                            let made = step(&store, &lease, &tar("file", name.as_bytes()));
                            let layer = made.summary.diff_id;
                            store.remember(&lease, &record(&name, Some(layer)), None).unwrap();
                            layer
                        };
                        store.open_layer_tar(&layer).unwrap();
                        let blob = store.layer_blob(&lease, &layer).unwrap();
                        assert_eq!(store.blob_size(&blob.digest).unwrap(), Some(blob.size));
                    }
                })
            })
            .collect();
        let (other, over) = (store.again(), &is_over);
        scope.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                other.sweep().unwrap();
                other.prune_cache(&ALL).unwrap();
                other.cache_uses().unwrap();
            }
        });
        for builder in builders {
            builder.join().unwrap();
        }
        is_over.store(true, Ordering::SeqCst);
    });
    store.prune_cache(&ALL).unwrap();
    assert_eq!(store.check().unwrap(), []);
    assert_eq!(files(store.root()).iter().find(|path| path.contains("/layers/")), None);
}
