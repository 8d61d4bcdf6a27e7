//! What `check` finds.

use std::fs;

use varve_store::{LayerState, Store};

use crate::made::{Layer, TempStore, add, noise};

#[track_caller]
fn finds(store: &Store, path: &str, problem: &str, affects: &[&str]) {
    let findings = store.check().unwrap();
    let fits = findings.iter().any(|finding| {
        finding.path.to_string_lossy().starts_with(path)
            && finding.problem.contains(problem)
            && finding.affects == affects
    });
    assert!(fits, "{findings:#?}");
}

#[test]
fn a_store_in_use_is_clean_and_so_is_one_that_is_not_there() {
    let store = TempStore::new();
    assert_eq!(store.check().unwrap(), []);
    add(&store, "a:1", &[Layer::gzipped(b"one"), Layer::plain(b"two")]);
    add(&store, "b:1", &[]);
    let lease = store.lease().unwrap();
    let layer = Layer::gzipped(b"three");
    let LayerState::Wanted(_ingest) = store.ingest_layer(&lease, layer.request()).unwrap() else {
        panic!("the layer cannot be here");
    };
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn damaged_missing_and_strange_files_are_found_by_name() {
    let store = TempStore::new();
    let layer = Layer::gzipped(&noise(10_000, 1));
    let (blob, diff_id) = (layer.descriptor.digest.hex(), layer.diff_id.0.hex());
    let image = add(&store, "a:1", &[layer]);
    let root = store.root();

    fs::write(root.join("letter"), "dear").unwrap();
    fs::write(root.join("blobs/sha256/letter"), "dear").unwrap();
    finds(&store, "letter", "belongs here", &[]);
    finds(&store, "blobs/sha256/letter", "not a digest", &[]);

    let path = root.join("blobs/sha256").join(&blob);
    let bytes = fs::read(&path).unwrap();
    let mut flipped = bytes.clone();
    flipped[5_000] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &flipped).unwrap();
    finds(&store, &format!("blobs/sha256/{blob}"), "do not hash", &["a:1"]);
    fs::write(&path, &bytes[..9_000]).unwrap();
    finds(&store, &format!("blobs/sha256/{blob}"), "should have", &["a:1"]);
    fs::remove_file(&path).unwrap();
    finds(&store, &format!("blobs/sha256/{blob}"), "missing", &["a:1"]);

    let tar = root.join("varve/layers").join(&diff_id).join("layer.tar");
    fs::remove_file(&tar).unwrap();
    fs::write(&tar, "short").unwrap();
    finds(&store, &format!("varve/layers/{diff_id}"), "diff ID", &["a:1"]);

    fs::remove_file(root.join("blobs/sha256").join(image.config.hex())).unwrap();
    finds(&store, "blobs/sha256/", "missing", &["a:1"]);
    fs::write(root.join("oci-layout"), "{}").unwrap();
    finds(&store, "oci-layout", "not valid", &[]);
    fs::write(root.join("index.json"), "[").unwrap();
    finds(&store, "index.json", "not valid", &[]);
}
