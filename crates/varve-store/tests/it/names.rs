//! The image table and what becomes of content when names go.

use std::fs;

use expect_test::expect;
use varve_store::{Error, Store};

use crate::made::{Image, Layer, TempStore, add, files, reference, remove};

#[test]
fn a_store_that_is_not_there_is_empty_and_reading_does_not_make_it() {
    let temporary = TempStore::new();
    assert!(temporary.names().unwrap().rows.is_empty());
    assert!(!temporary.root().exists());
    assert_eq!(temporary.sweep().unwrap(), varve_store::Swept::default());
}

#[test]
fn what_is_named_is_found_by_another_process_with_all_its_facts() {
    let store = TempStore::new();
    let lease = store.lease().unwrap();
    let image = Image::store(&store, &lease, &[Layer::gzipped(b"one")]);
    let mut row = image.named("127.0.0.1:5000/team/app:v1");
    row.created = Some("2026-01-01T00:00:00.5Z".parse().unwrap());
    row.tagged = Some("2026-02-01T00:00:00Z".parse().unwrap());
    row.source = Some("docker.io/library/app".to_owned());
    row.index = Some(image.config);
    row.parent = Some(varve_types::ImageId(image.config));
    row.made_here = true;
    row.platform = Some("linux/amd64".parse().unwrap());
    row.foreign_annotations.insert("org.example.note".to_owned(), "kä\"se".to_owned());
    store.update_names(|names| Ok::<_, Error>(names.put(row.clone()))).unwrap();
    assert_eq!(store.again().names().unwrap().rows, [row]);
}

/// The file as `docs/store-format.md` specifies it.
#[test]
fn a_row_is_one_line_of_an_image_index() {
    let store = TempStore::new();
    let mut row = add(&store, "busybox:1.36.0", &[]).named("busybox:1.36.0");
    row.created = Some("2026-01-01T00:00:00.5Z".parse().unwrap());
    row.tagged = Some("2026-02-01T00:00:00Z".parse().unwrap());
    row.stored = row.tagged;
    row.source = Some("docker.io/library/busybox".to_owned());
    row.index = Some(row.target.digest);
    row.parent = Some(row.image);
    row.made_here = true;
    row.size_bytes = 12;
    row.platform = Some("linux/arm/v7".parse().unwrap());
    row.foreign_annotations.insert("org.example".to_owned(), "kept".to_owned());
    store.update_names(|names| Ok::<_, Error>(names.put(row.clone()))).unwrap();
    let text = fs::read_to_string(store.root().join("index.json")).unwrap();
    let text = text
        .replace(&row.target.digest.to_string(), "MANIFEST")
        .replace(&row.image.to_string(), "CONFIG")
        .replace(",\"", ",\n\"");
    expect![[r#"
        {"schemaVersion":2,
        "mediaType":"application/vnd.oci.image.index.v1+json",
        "manifests":[
        {"mediaType":"application/vnd.oci.image.manifest.v1+json",
        "digest":"MANIFEST",
        "size":248,
        "platform":{"os":"linux",
        "architecture":"arm",
        "variant":"v7"},
        "annotations":{"org.opencontainers.image.ref.name":"busybox:1.36.0",
        "dev.varve.image.id":"CONFIG",
        "dev.varve.image.created":"2026-01-01T00:00:00.5Z",
        "dev.varve.image.size":"12",
        "dev.varve.index":"MANIFEST",
        "dev.varve.source":"docker.io/library/busybox",
        "dev.varve.tagged":"2026-02-01T00:00:00Z",
        "dev.varve.stored":"2026-02-01T00:00:00Z",
        "dev.varve.parent":"CONFIG",
        "dev.varve.made":"here",
        "dev.varve.target":"MANIFEST",
        "org.example":"kept"}}
        ]}
    "#]]
    .assert_eq(&text);
}

#[test]
fn removing_the_last_name_removes_everything_and_shared_layers_stay() {
    let store = TempStore::new();
    let shared = || Layer::gzipped(b"shared");
    add(&store, "one:1", &[shared()]);
    let before = files(store.root());
    add(&store, "two:1", &[shared(), Layer::plain(b"own")]);

    let swept = remove(&store, "two:1");
    assert_eq!(swept.layers.len(), 1);
    assert_eq!(swept.blobs.len(), 3);
    assert_eq!(files(store.root()), before);

    remove(&store, "one:1");
    assert!(!files(store.root()).iter().any(|path| path.starts_with("blobs")));
}

#[test]
fn a_lease_keeps_what_has_no_name_yet() {
    let store = TempStore::new();
    let lease = store.lease().unwrap();
    let image = Image::store(&store, &lease, &[Layer::gzipped(b"one")]);
    assert_eq!(store.again().sweep().unwrap(), varve_store::Swept::default());
    store.update_names(|names| Ok::<_, Error>(names.put(image.named("a:1")))).unwrap();
    drop(lease);
    assert_eq!(store.again().sweep().unwrap(), varve_store::Swept::default());
    remove(&store, "a:1");
    assert!(store.blob_size(&image.config).unwrap().is_none());
}

#[test]
fn giving_a_name_to_another_image_leaves_the_old_one_dangling() {
    let store = TempStore::new();
    let old = add(&store, "a:1", &[Layer::gzipped(b"old")]);
    let new = add(&store, "a:1", &[Layer::gzipped(b"new")]);
    let names = store.names().unwrap();
    assert_eq!(names.get(&reference("a:1")).unwrap().image, new.row.image);
    let dangling: Vec<_> = names.rows.iter().filter(|row| row.reference.is_none()).collect();
    assert_eq!(dangling.len(), 1);
    assert_eq!(dangling[0].image, old.row.image);

    // A name for the dangling image takes it in again.
    store.update_names(|names| Ok::<_, Error>(names.put(old.named("b:1")))).unwrap();
    assert_eq!(store.names().unwrap().rows.len(), 2);
}

#[test]
fn a_change_that_fails_or_changes_nothing_writes_nothing() {
    let store = TempStore::new();
    add(&store, "a:1", &[Layer::gzipped(b"one")]);
    let path = store.root().join("index.json");
    let before = fs::metadata(&path).unwrap();
    let failed = store.update_names(|names| {
        names.rows.clear();
        Err::<(), _>(Error::LayerNotFound(
            "sha256:"
                .to_owned()
                .parse()
                .unwrap_or(varve_types::DiffId(varve_types::Digest::of(b""))),
        ))
    });
    assert!(failed.is_err());
    store.update_names(|_| Ok::<_, Error>(())).unwrap();
    let after = fs::metadata(&path).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(before.ino(), after.ino());
    assert_eq!(store.names().unwrap().rows.len(), 1);
}

#[test]
fn a_newer_store_and_a_directory_of_other_things_are_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letter.txt"), b"dear").unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    assert!(error.to_string().contains("letter.txt"), "{error}");
    assert_eq!(files(directory.path()), ["letter.txt"]);

    let store = TempStore::new();
    add(&store, "a:1", &[]);
    fs::write(store.root().join("varve/format"), "2\n").unwrap();
    let error = Store::open(store.root()).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
}
