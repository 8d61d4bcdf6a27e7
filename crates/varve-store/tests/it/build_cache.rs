//! Records of builds, and layers that only they reach.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use varve_fs::tar::Time;
use varve_store::{
    CacheKind, CacheRecord, Error, LayerRecord, Lease, RealTimes, Store, times_digest,
};
use varve_types::{DiffId, Digest};

use crate::made::{Image, Layer, TempStore, add, files, noise, remove, tar};

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn key(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// Makes a layer of this tar that nothing but the lease reaches.
pub(crate) fn step(store: &Store, lease: &Lease, tar: &[u8]) -> LayerRecord {
    let write = |out: &mut dyn std::io::Write| out.write_all(tar).map_err(Error::Source);
    store.write_cache_layer(lease, write).unwrap().0
}

pub(crate) fn record(name: &str, layer: Option<DiffId>) -> CacheRecord {
    CacheRecord { layer, ..CacheRecord::new(key(name), CacheKind::Regular, name, at(100)) }
}

/// A step that was done: its layer is in the store and its record is written.
pub(crate) fn done(store: &Store, name: &str, tar: &[u8]) -> DiffId {
    let lease = store.lease().unwrap();
    let diff_id = step(store, &lease, tar).summary.diff_id;
    store.remember(&lease, &record(name, Some(diff_id)), None).unwrap();
    diff_id
}

pub(crate) fn find(store: &Store, name: &str) -> Option<CacheRecord> {
    store.cached(&store.lease().unwrap(), &key(name), at(200)).unwrap()
}

fn layer_path(store: &Store, diff_id: &DiffId) -> PathBuf {
    store.root().join("varve/layers").join(diff_id.0.hex())
}

fn blob_path(store: &Store, diff_id: &DiffId) -> PathBuf {
    store.root().join("blobs/sha256").join(diff_id.0.hex())
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn times(seconds: i64) -> RealTimes {
    BTreeMap::from([(b"file".to_vec(), Time { seconds, nanoseconds: 7 })])
}

/// Makes the store look as after a restart of the machine.
fn restarted(store: &Store) {
    for file in files(store.root()) {
        let path = store.root().join(&file);
        let is_record = file.ends_with("record.json") || file.starts_with("varve/cache/");
        if !is_record {
            continue;
        }
        let text = crate::made::unsealed(&path);
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        fs::write(&path, text.replace(boot.trim(), "another-boot")).unwrap();
    }
}

#[test]
fn a_key_finds_the_layer_that_was_remembered_and_its_use_is_counted() {
    let store = TempStore::new();
    assert_eq!(find(&store, "a"), None);
    let layer = done(&store, "a", &tar("file", b"content"));
    let found = find(&store.again(), "a").unwrap();
    assert_eq!((found.layer, found.uses, found.last_used), (Some(layer), 1, at(200)));
    assert_eq!((found.created, found.size_bytes), (at(100), 7));
    assert_eq!(find(&store, "a").unwrap().uses, 2);
    assert_eq!(find(&store, "b"), None);
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn what_only_records_reach_is_no_blob_and_survives_every_sweep() {
    let store = TempStore::new();
    let layer = done(&store, "a", &tar("file", b"content"));
    let lost = step(&store, &store.lease().unwrap(), &tar("file", b"lost")).summary.diff_id;
    assert!(!blob_path(&store, &layer).exists());
    store.sweep().unwrap();
    assert!(find(&store, "a").is_some());
    assert!(!layer_path(&store, &lost).exists(), "nothing reached it");
}

#[test]
fn a_layer_becomes_a_blob_without_being_copied() {
    let store = TempStore::new();
    let bytes = tar("file", &noise(300_000, 1));
    let layer = done(&store, "a", &bytes);
    let lease = store.lease().unwrap();
    let blob = store.layer_blob(&lease, &layer).unwrap();
    assert_eq!((blob.digest, blob.size), (layer.0, bytes.len() as u64));
    assert_eq!(blob.media_type, "application/vnd.oci.image.layer.v1.tar");
    let tar_path = layer_path(&store, &layer).join("layer.tar");
    assert_eq!(inode(&blob_path(&store, &layer)), inode(&tar_path));
    assert_eq!(store.layer_blob(&lease, &layer).unwrap(), blob);
    assert_eq!(store.check().unwrap(), []);
    // It is the lease's; then only the record reaches the layer, and the blob goes.
    drop(lease);
    store.sweep().unwrap();
    assert!(!blob_path(&store, &layer).exists());
    assert_eq!(fs::read(&tar_path).unwrap(), bytes);
    assert!(find(&store, "a").is_some());
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn an_image_of_cached_layers_goes_and_leaves_the_cache() {
    let store = TempStore::new();
    let layer = Layer::plain(b"content");
    done(&store, "a", &layer.tar);
    store.layer_blob(&store.lease().unwrap(), &layer.diff_id).unwrap();
    let other = Layer::gzipped(b"other");
    add(&store, "app:1", &[layer, other]);
    let swept = remove(&store, "app:1");
    assert_eq!(swept.layers.len(), 1, "{swept:?}");
    assert!(find(&store, "a").is_some());
    assert_eq!(store.check().unwrap(), []);
}

/// The tar of a layer that came compressed may be left out where its files are extracted: then the
/// blob is all there is.
#[test]
fn a_blob_stays_that_a_cached_layer_is_made_from() {
    let store = TempStore::new();
    let layer = Layer::gzipped(b"content");
    add(&store, "app:1", std::slice::from_ref(&layer));
    let lease = store.lease().unwrap();
    store.remember(&lease, &record("a", Some(layer.diff_id)), None).unwrap();
    drop(lease);
    let directory = layer_path(&store, &layer.diff_id);
    fs::create_dir(directory.join("tree")).unwrap();
    fs::write(directory.join("tree.json"), "{\"marks\":\"user\"}").unwrap();
    let text = crate::made::unsealed(&directory.join("record.json"));
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json.as_object_mut().unwrap().remove("boot");
    fs::write(directory.join("record.json"), json.to_string()).unwrap();
    fs::remove_file(directory.join("layer.tar")).unwrap();
    remove(&store, "app:1");
    assert!(find(&store, "a").is_some());
    let blob = store.layer_blob(&store.lease().unwrap(), &layer.diff_id).unwrap();
    assert_eq!(blob.digest, layer.diff_id.0);
    assert_eq!(fs::read(blob_path(&store, &layer.diff_id)).unwrap(), layer.tar);
}

#[test]
fn a_record_whose_layer_is_lost_or_damaged_is_as_good_as_absent() {
    let store = TempStore::new();
    let gone = done(&store, "gone", &tar("file", b"gone"));
    let damaged = done(&store, "damaged", &tar("file", b"damaged"));
    let cut = done(&store, "cut", &tar("file", b"cut"));
    fs::remove_dir_all(layer_path(&store, &gone)).unwrap();
    let path = layer_path(&store, &damaged).join("layer.tar");
    let mut bytes = fs::read(&path).unwrap();
    bytes[512] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes).unwrap();
    fs::write(store.root().join("varve/cache").join(key("cut").hex()), "{\"key\":").unwrap();
    for name in ["gone", "damaged", "cut"] {
        assert_eq!(find(&store, name), None, "{name}");
    }
    // Done again, they are there again.
    for (name, layer) in [("gone", gone), ("damaged", damaged), ("cut", cut)] {
        assert_eq!(done(&store, name, &tar("file", name.as_bytes())), layer);
        assert!(find(&store, name).is_some(), "{name}");
    }
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn after_a_restart_layers_and_times_are_looked_at_before_they_are_believed() {
    let store = TempStore::new();
    for name in ["whole", "torn", "torn times"] {
        let lease = store.lease().unwrap();
        let layer = step(&store, &lease, &tar("file", name.as_bytes())).summary.diff_id;
        store.remember(&lease, &record(name, Some(layer)), Some(&times(5))).unwrap();
        let path = layer_path(&store, &layer).join("layer.tar");
        if name == "torn" {
            // Of the same size, and with the times of before: what a power loss leaves.
            let stamp = fs::read(layer_path(&store, &layer).join("verified.json")).unwrap();
            let size = fs::metadata(&path).unwrap().len() as usize;
            fs::remove_file(&path).unwrap();
            fs::write(&path, vec![0; size]).unwrap();
            fs::write(layer_path(&store, &layer).join("verified.json"), stamp).unwrap();
        }
    }
    let torn = find(&store, "torn times").unwrap().times.unwrap();
    let index = store.root().join("varve/times").join(torn.hex()).join("index.erofs");
    let size = fs::metadata(&index).unwrap().len() as usize;
    fs::remove_file(&index).unwrap();
    fs::write(&index, vec![0; size]).unwrap();
    restarted(&store);
    assert!(find(&store, "whole").is_some());
    assert!(find(&store, "whole").is_some());
    assert_eq!(find(&store, "torn"), None);
    assert_eq!(find(&store, "torn times"), None);
    // Done again, all is well: a bad index in its place is replaced.
    let lease = store.lease().unwrap();
    let layer = step(&store, &lease, &tar("file", b"torn times")).summary.diff_id;
    let again = store.remember(&lease, &record("torn times", Some(layer)), Some(&times(5)));
    assert_eq!(again.unwrap().times, Some(torn));
    restarted(&store);
    assert_eq!(find(&store.again(), "torn times").unwrap().times, Some(torn));
}

#[test]
fn real_times_are_an_index_of_their_own_only_where_some_differ() {
    let store = TempStore::new();
    let lease = store.lease().unwrap();
    let layer = step(&store, &lease, &tar("file", b"content")).summary.diff_id;
    let remember = |name, times: Option<&RealTimes>| {
        store.remember(&lease, &record(name, Some(layer)), times).unwrap()
    };
    let same =
        BTreeMap::from([(b"file".to_vec(), Time::default()), (b"absent".to_vec(), at_five())]);
    assert_eq!(remember("same", Some(&same)).times, None);
    let first = remember("a", Some(&times(5)));
    assert_eq!(first.times_given, Some(times_digest(&times(5))));
    assert_eq!(remember("b", Some(&times(5))).times, first.times);
    let second = remember("a", Some(&times(6)));
    assert_ne!(second.times, first.times);
    // What is not given stays.
    assert_eq!(store.remember(&lease, &second, None).unwrap().times, second.times);
    let indexes = || fs::read_dir(store.root().join("varve/times")).unwrap().count();
    assert_eq!(indexes(), 2);
    assert_eq!(store.check().unwrap(), []);
    // The lease keeps what a record has let go.
    remember("b", Some(&times(6)));
    store.sweep().unwrap();
    assert_eq!(indexes(), 2);
    drop(lease);
    store.sweep().unwrap();
    assert_eq!(indexes(), 1);
    assert_eq!(find(&store, "a").unwrap().times, second.times);
}

fn at_five() -> Time {
    Time { seconds: 5, nanoseconds: 0 }
}

#[test]
fn a_layer_that_an_image_brought_serves_a_step_that_makes_the_same() {
    let store = TempStore::new();
    let layer = Layer::gzipped(b"content");
    let lease = store.lease().unwrap();
    Image::store(&store, &lease, std::slice::from_ref(&layer));
    let made = step(&store, &lease, &layer.tar);
    assert_eq!(made.blob, layer.descriptor.digest);
    assert_eq!(store.layer_blob(&lease, &layer.diff_id).unwrap().digest, layer.diff_id.0);
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn notes_on_a_context_are_kept_and_are_no_records() {
    let store = TempStore::new();
    assert_eq!(store.context_notes(&key("context")).unwrap(), None);
    store.keep_context_notes(&key("context"), b"first").unwrap();
    store.keep_context_notes(&key("context"), b"notes").unwrap();
    assert_eq!(store.context_notes(&key("context")).unwrap(), Some(b"notes".to_vec()));
    assert_eq!(store.cache_records().unwrap(), []);
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn a_check_finds_what_does_not_belong_to_the_cache() {
    let store = TempStore::new();
    let lease = store.lease().unwrap();
    let layer = step(&store, &lease, &tar("file", b"content")).summary.diff_id;
    let times = store.remember(&lease, &record("a", Some(layer)), Some(&times(5))).unwrap().times;
    let times = format!("varve/times/{}", times.unwrap().hex());
    fs::create_dir_all(store.root().join("varve/cache-mounts/odd")).unwrap();
    for stray in ["varve/cache/odd", "varve/times/odd", &format!("{times}/odd")] {
        fs::write(store.root().join(stray), "").unwrap();
    }
    let found = store.check().unwrap();
    let found: Vec<String> = found.iter().map(|it| it.path.display().to_string()).collect();
    let expected = ["varve/cache/odd", "varve/cache-mounts/odd", &times, "varve/times/odd"];
    assert_eq!(found, expected);
    // What is gone is missed, as long as a record of this boot names it.
    fs::remove_dir_all(store.root().join(&times)).unwrap();
    let problems = store.check().unwrap();
    assert!(problems.iter().any(|it| it.path.ends_with(&times) && it.problem == "it is missing"));
    assert_eq!(find(&store, "a"), None);
}
