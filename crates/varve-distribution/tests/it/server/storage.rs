//! The registry on disk.

use std::{fs, os::unix::fs::MetadataExt as _, time::Duration};

use varve_distribution::server::{
    Error, RepositoryName, Storage,
    storage::{NewManifest, Swept},
};
use varve_testkit::Image;
use varve_types::Digest;

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

#[test]
fn content_of_several_repositories_is_stored_once() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::open(directory.path()).unwrap();
    let digest = storage.put_blob(&name("one"), b"hello").unwrap();
    storage.put_blob(&name("two/three"), b"hello").unwrap();
    let inode =
        |path: &str| fs::metadata(directory.path().join(path).join(digest.hex())).unwrap().ino();
    assert_eq!(inode("one/blobs/sha256"), inode("two/three/blobs/sha256"));
    assert_eq!(inode("one/blobs/sha256"), inode("_varve/blobs/sha256"));
}

#[test]
fn removed_content_is_gone_with_its_last_repository() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::open(directory.path()).unwrap();
    let digest = storage.put_blob(&name("one"), b"hello").unwrap();
    storage.put_blob(&name("two"), b"hello").unwrap();
    let pooled = directory.path().join("_varve/blobs/sha256").join(digest.hex());
    assert!(storage.remove_blob(&name("one"), &digest).unwrap());
    assert!(pooled.exists());
    assert!(!storage.mount(&name("three"), &digest, Some(&name("one"))).unwrap());
    assert!(storage.remove_blob(&name("two"), &digest).unwrap());
    assert!(!pooled.exists());
}

#[test]
fn a_sweep_takes_what_no_repository_has() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::open(directory.path()).unwrap();
    storage.put_blob(&name("kept"), b"kept").unwrap();
    storage.put_blob(&name("gone"), b"content that was only there").unwrap();
    fs::remove_dir_all(directory.path().join("gone")).unwrap();
    assert_eq!(storage.sweep().unwrap(), Swept { blobs: 1, freed_bytes: 27 });
    assert_eq!(storage.sweep().unwrap(), Swept::default());
    assert!(storage.blob_size(&name("kept"), &Digest::of(b"kept")).unwrap().is_some());
}

#[test]
fn a_repository_is_a_valid_layout_from_its_first_blob_on() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::open(directory.path()).unwrap();
    storage.put_blob(&name("team/app"), b"hello").unwrap();
    let read = |file: &str| fs::read_to_string(directory.path().join("team/app").join(file));
    assert_eq!(read("oci-layout").unwrap(), r#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    assert_eq!(read("index.json").unwrap(), index);
}

#[test]
fn a_moved_tag_leaves_its_manifest_to_be_had_by_digest() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::open(directory.path()).unwrap();
    let first = Image::seeded(1).build().put_into(&storage, &name("app"), Some("1"));
    let second = Image::seeded(2).build().put_into(&storage, &name("app"), Some("1"));
    assert_eq!(storage.tagged(&name("app"), "1").unwrap().unwrap().digest, second.digest);
    let kept = storage.manifest(&name("app"), &first.digest).unwrap().unwrap();
    assert!(kept.annotations.is_empty());
    assert_eq!(storage.rows(&name("app")).unwrap().unwrap().len(), 2);
}

#[test]
fn a_manifest_whose_content_is_missing_makes_no_repository() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::open(directory.path()).unwrap();
    let missing = [Digest::of(b"missing")];
    let new =
        NewManifest { tag: Some("1"), bytes: b"{}", requires: &missing, ..Default::default() };
    let error = storage.put_manifest(&name("app"), &new).unwrap_err();
    assert!(matches!(error, Error::Missing(digests) if digests == missing));
    assert_eq!(storage.repositories().unwrap(), []);
}

#[test]
fn a_directory_of_something_else_and_a_newer_registry_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("thesis.txt"), "x").unwrap();
    assert!(matches!(Storage::open(directory.path()), Err(Error::NotARegistry(_))));

    let directory = tempfile::tempdir().unwrap();
    Storage::open(directory.path()).unwrap();
    fs::write(directory.path().join("_varve/format"), "99\n").unwrap();
    let error = Storage::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("has format 99"), "{error}");
}

#[test]
fn uploads_are_dropped_after_a_day_without_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::open(directory.path()).unwrap();
    let old = directory.path().join("_varve/uploads/00000000-0000-0000-0000-000000000000");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("data"), "x").unwrap();
    let now = jiff::Timestamp::now();
    storage.sweep_uploads(now).unwrap();
    assert!(old.exists());
    storage.sweep_uploads(now + Duration::from_hours(25)).unwrap();
    assert!(!old.exists());
}
