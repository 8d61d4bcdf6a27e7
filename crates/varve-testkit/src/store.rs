//! Stores in temporary directories.

use std::{ops::Deref, path::Path};

use tempfile::TempDir;
use varve_store::{Options, Store};

/// A new, empty store; gone when dropped.
#[derive(Debug)]
pub struct TempStore {
    store: Store,
    directory: TempDir,
}

impl TempStore {
    /// Makes one.
    #[expect(clippy::new_without_default, reason = "a store is made, it is not a value")]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let run = Some(directory.path().join("run"));
        let options = Options { run, ..Options::default() };
        let store = Store::open_with(&directory.path().join("store"), options).expect("a store");
        Self { store, directory }
    }

    /// A directory beside the store, for what else a test writes.
    pub fn beside(&self) -> &Path {
        self.directory.path()
    }

    /// Fails the test when anything is wrong in the store.
    #[track_caller]
    pub fn check(&self) {
        let findings = self.store.check().expect("the store can be checked");
        assert!(findings.is_empty(), "the store is damaged: {findings:#?}");
    }
}

impl Deref for TempStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}
