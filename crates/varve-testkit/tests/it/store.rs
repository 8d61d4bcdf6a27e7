//! Stores in temporary directories.

use varve_testkit::TempStore;

#[test]
fn a_new_store_is_clean_and_a_damaged_one_is_not() {
    let store = TempStore::new();
    store.check();
    let blobs = store.root().join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = blobs.join("0".repeat(64));
    std::fs::write(blob, "not what the name says").unwrap();
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.check()));
    assert!(checked.is_err());
}
