//! Dropping the unpacked form of layers, and what is removed and freed later.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Mutex,
};

use varve_store::{LayerState, Options, Store};

use crate::made::{Image, Layer, TempStore, noise};

/// Room that it takes more than a moment to free.
const MUCH_SIZE_BYTES: usize = 40 << 20;

fn layer_path(store: &Store, layer: &Layer) -> PathBuf {
    store.root().join("varve/layers").join(layer.diff_id.0.hex())
}

fn trash(store: &Store) -> usize {
    fs::read_dir(store.root().join("varve/trash")).unwrap().count()
}

/// Adds an image to the table and lets its lease go.
fn name(store: &Store, layers: &[Layer]) {
    let lease = store.lease().unwrap();
    let image = Image::store(store, &lease, layers);
    store.update_names(|names| Ok::<_, varve_store::Error>(names.put(image.row))).unwrap();
}

#[test]
fn unpacked_layers_go_and_come_back_when_they_are_wanted() {
    let (store, layer) = (TempStore::new(), Layer::gzipped(&noise(2 << 20, 1)));
    let tar = layer.tar.clone();
    let plain = Layer::plain(b"its own blob");
    let paths = [layer_path(&store, &layer), layer_path(&store, &plain)];
    let (diff_id, request) = (layer.diff_id, layer.request());
    name(&store, &[layer, plain]);
    let swept = store.drop_unpacked().unwrap();
    assert_eq!(swept.layers, [(diff_id, 2 << 20)]);
    assert!(swept.freed_bytes > 2 << 20, "{}", swept.freed_bytes);
    assert!(!paths[0].exists());
    assert!(paths[1].exists(), "a layer that is its own blob takes no room twice");
    // Nothing is left to drop, and the image is as whole as before.
    assert_eq!(store.drop_unpacked().unwrap().layers, []);
    let mut bytes = Vec::new();
    store.again().open_layer_tar(&diff_id).unwrap().read_to_end(&mut bytes).unwrap();
    assert!(bytes == tar);
    let lease = store.lease().unwrap();
    assert!(matches!(store.ingest_layer(&lease, request).unwrap(), LayerState::Present(_)));
}

#[test]
fn unpacked_layers_that_a_lease_pins_stay() {
    let (store, layer) = (TempStore::new(), Layer::gzipped(&noise(100_000, 2)));
    let lease = store.lease().unwrap();
    layer.store(&store, &lease);
    assert_eq!(store.drop_unpacked().unwrap().layers, []);
    assert!(layer_path(&store, &layer).exists());
}

#[test]
fn an_unpacked_layer_stays_while_its_blob_is_damaged_or_gone() {
    let (store, layer) = (TempStore::new(), Layer::gzipped(&noise(100_000, 3)));
    let path = layer_path(&store, &layer);
    let blob = store.root().join("blobs/sha256").join(layer.descriptor.digest.hex());
    let mut damaged = layer.blob.clone();
    name(&store, &[layer]);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, damaged).unwrap();
    assert_eq!(store.drop_unpacked().unwrap().layers, []);
    fs::remove_file(&blob).unwrap();
    assert_eq!(store.drop_unpacked().unwrap().layers, []);
    assert!(path.exists());
}

#[test]
fn a_layer_that_is_here_is_not_unpacked_again_to_learn_its_name() {
    let (store, layer) = (TempStore::new(), Layer::gzipped(&noise(3 << 20, 4)));
    let lease = store.lease().unwrap();
    layer.store(&store, &lease);
    let inode = |store: &Store| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(layer_path(store, &layer).join("layer.tar")).unwrap().ino()
    };
    let before = inode(&store);
    let request = varve_store::LayerRequest { diff_id: None, ..layer.request() };
    let LayerState::Present(stored) = store.ingest_layer(&lease, request).unwrap() else {
        panic!("it is here");
    };
    assert_eq!(stored.record.summary.diff_id, layer.diff_id);
    assert_eq!(inode(&store), before);
}

/// The stores that an emptier was asked for.
static ASKED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

#[expect(clippy::unnecessary_wraps, reason = "an emptier may fail")]
fn note(root: &Path) -> io::Result<()> {
    ASKED.lock().unwrap().push(root.to_owned());
    Ok(())
}

fn fail(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::NotFound.into())
}

fn with_emptier(emptier: fn(&Path) -> io::Result<()>) -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    // With a run directory of its own: who tests need not be root.
    let run = Some(directory.path().join("run"));
    let options = Options { emptier: Some(emptier), run, ..Options::default() };
    let store = Store::open_with(&directory.path().join("store"), options).unwrap();
    (directory, store)
}

fn remove_a_layer_of(store: &Store, size_bytes: usize) {
    let layer = Layer::plain(&vec![7; size_bytes]);
    layer.store(store, &store.lease().unwrap());
    let swept = store.sweep().unwrap();
    assert_eq!(swept.layers.len(), 1);
    assert!(!layer_path(store, &layer).exists());
}

#[test]
fn much_is_freed_by_the_emptier_and_little_at_once() {
    let (_directory, store) = with_emptier(note);
    let asked = || ASKED.lock().unwrap().iter().filter(|root| *root == store.root()).count();
    remove_a_layer_of(&store, 100_000);
    assert_eq!((asked(), trash(&store)), (0, 0));
    remove_a_layer_of(&store, MUCH_SIZE_BYTES);
    assert_eq!(asked(), 1);
    assert!(trash(&store) > 0, "what is removed is out of sight, and not freed yet");
    store.keep_trash_empty().unwrap();
    assert_eq!(trash(&store), 0);
}

#[test]
fn what_no_emptier_can_be_had_for_is_freed_at_once() {
    let (_directory, store) = with_emptier(fail);
    remove_a_layer_of(&store, MUCH_SIZE_BYTES);
    assert_eq!(trash(&store), 0);
}
