//! The store is an OCI image layout: other tools read it in place, and rows that they add are
//! adopted. Tests that need a tool say aloud when they skip because it is missing.

use std::{fs, path::Path, process::Command};

use varve_store::{Error, Row, Store};
use varve_types::{Digest, Platform};

use crate::made::{Image, Layer, TempStore, add, noise, reference, remove};

fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: {tool} is not installed");
    }
    found
}

#[track_caller]
fn run(tool: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(tool).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {arguments:?}: {error}");
    output.stdout
}

fn shown(root: &Path) -> &str {
    root.to_str().unwrap()
}

#[test]
fn skopeo_reads_images_in_place_by_the_names_that_images_shows() {
    if !has("skopeo") {
        return;
    }
    let store = TempStore::new();
    let image = add(&store, "busybox:1.36.0", &[Layer::gzipped(b"one"), Layer::plain(b"two")]);
    let by_digest = format!("busybox@{}", image.row.target.digest);
    let names = ["127.0.0.1:5000/team/app:v1", &by_digest];
    for name in names {
        store.update_names(|names| Ok::<_, Error>(names.put(image.named(name)))).unwrap();
    }
    for name in ["busybox:1.36.0", names[0], names[1]] {
        let source = format!("oci:{}:{name}", shown(store.root()));
        let raw = run("skopeo", &["inspect", "--raw", &source]);
        assert_eq!(Digest::of(&raw), image.row.target.digest);
        let copy = tempfile::tempdir().unwrap();
        let target = format!("dir:{}", shown(copy.path()));
        run("skopeo", &["copy", "--all", "--insecure-policy", &source, &target]);
    }
}

#[test]
fn umoci_lists_images_and_its_garbage_collection_of_a_copy_finds_them_whole() {
    if !has("umoci") {
        return;
    }
    let store = TempStore::new();
    add(&store, "busybox:1.36.0", &[Layer::gzipped(b"one"), Layer::plain(b"two")]);
    let copy = tempfile::tempdir().unwrap();
    run("cp", &["-r", &format!("{}/.", shown(store.root())), shown(copy.path())]);
    let list = run("umoci", &["ls", "--layout", shown(copy.path())]);
    assert_eq!(list, b"busybox:1.36.0\n");
    run("umoci", &["gc", "--layout", shown(copy.path())]);
    assert_eq!(Store::open(copy.path()).unwrap().check().unwrap(), []);
}

#[test]
fn what_skopeo_copies_into_the_store_is_adopted_and_our_rows_stay_as_they_are() {
    if !has("skopeo") {
        return;
    }
    let (store, other) = (TempStore::new(), TempStore::new());
    let mut ours = add(&store, "ours:1", &[Layer::gzipped(b"ours")]).named("ours:1");
    ours.foreign_annotations.insert("org.example".to_owned(), "kept".to_owned());
    store.update_names(|names| Ok::<_, Error>(names.put(ours.clone()))).unwrap();
    let layer = Layer::gzipped(&noise(50_000, 1));
    let (compressed, diff_id) = (layer.descriptor.size, layer.diff_id);
    let image = add(&other, "theirs:1", &[layer]);
    for name in ["team/theirs:2", "latest"] {
        let source = format!("oci:{}:theirs:1", shown(other.root()));
        let target = format!("oci:{}:{name}", shown(store.root()));
        run("skopeo", &["copy", "--insecure-policy", &source, &target]);
    }

    let names = store.names().unwrap();
    assert_eq!(names.get(&reference("ours:1")), Some(&ours));
    let theirs = names.get(&reference("team/theirs:2")).unwrap();
    assert_eq!(theirs.image, image.row.image);
    assert_eq!(theirs.created, "2026-01-01T00:00:00Z".parse().ok());
    assert_eq!(theirs.platform, "linux/amd64".parse::<Platform>().ok());
    assert_eq!(theirs.size_bytes, compressed);
    // A name without a tag means `latest`, and keeps its spelling for the tool that wrote it.
    assert_eq!(names.get(&reference("latest:latest")).unwrap().image, image.row.image);

    // Once the layer is indexed its real size is known, and written with the next change.
    store.open_layer_tar(&diff_id).unwrap();
    remove(&store, "ours:1");
    assert_eq!(store.names().unwrap().get(&reference("team/theirs:2")).unwrap().size_bytes, 50_000);
    let text = fs::read_to_string(store.root().join("index.json")).unwrap();
    assert!(text.contains("\"org.opencontainers.image.ref.name\":\"latest\""), "{text}");
    assert_eq!(store.check().unwrap(), []);
}

/// umoci keeps all annotations of a row when it points it at a new manifest.
#[test]
fn facts_that_umoci_left_beside_a_new_digest_are_not_believed() {
    if !has("umoci") {
        return;
    }
    let store = TempStore::new();
    let mut row = add(&store, "app:1", &[Layer::gzipped(b"one")]).named("app:1");
    row.foreign_annotations.insert("org.example".to_owned(), "kept".to_owned());
    row.source = Some("docker.io/library/app".to_owned());
    store.update_names(|names| Ok::<_, Error>(names.put(row.clone()))).unwrap();
    let image = format!("{}:app:1", shown(store.root()));
    run("umoci", &["config", "--image", &image, "--author", "somebody"]);

    let names = store.names().unwrap();
    let changed = names.get(&reference("app:1")).unwrap();
    assert_ne!(changed.target.digest, row.target.digest);
    assert_ne!(changed.image, row.image);
    assert_eq!(store.config(&changed.image).unwrap().author, "somebody");
    assert_eq!(changed.source, None);
    assert_eq!(changed.foreign_annotations["org.example"], "kept");
}

#[test]
fn names_that_are_no_references_are_invisible_and_kept_with_all_they_reach() {
    let store = TempStore::new();
    let image = add(&store, "app:1", &[Layer::gzipped(b"one")]);
    let path = store.root().join("index.json");
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace("\"app:1\"", "\"Not A Reference\"");
    let text = text.replacen('{', "{\"annotations\":{\"org.example\":\"x\"},", 1);
    fs::write(&path, text).unwrap();
    assert!(store.names().unwrap().rows.is_empty());
    add(&store, "other:1", &[]);
    remove(&store, "other:1");
    assert!(store.blob_size(&image.config).unwrap().is_some());
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"Not A Reference\""), "{text}");
    assert!(text.contains("\"annotations\":{\"org.example\":\"x\"}"), "{text}");
    assert_eq!(store.check().unwrap(), []);
}

/// Two rows of one name: the first has it, as for other readers of the layout.
#[test]
fn a_name_that_occurs_twice_belongs_to_its_first_row_and_the_other_one_is_dangling() {
    let store = TempStore::new();
    let lease = store.lease().unwrap();
    let one = Image::store(&store, &lease, &[Layer::gzipped(b"one")]);
    let two = Image::store(&store, &lease, &[Layer::gzipped(b"two")]);
    store
        .update_names(|names| {
            names.put(one.named("app:1"));
            names.put(two.named("app:2"));
            Ok::<_, Error>(())
        })
        .unwrap();
    let path = store.root().join("index.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"app:2\"", "\"app:1\"");
    fs::write(&path, text).unwrap();
    let names = store.names().unwrap();
    let references: Vec<_> = names.rows.iter().map(|row: &Row| row.reference.clone()).collect();
    assert_eq!(references, [Some(reference("app:1")), None]);
    assert_eq!(names.rows[1].image, two.row.image);
}
