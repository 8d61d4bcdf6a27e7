//! `system reset`: everything gone, after a question.

use std::{fs, path::PathBuf};

use crate::{mounts::ran, sandbox::Sandbox};

/// Beside the working directory.
fn store(sandbox: &Sandbox) -> PathBuf {
    let work = sandbox.path("");
    work.parent().unwrap().join("store")
}

fn question(sandbox: &Sandbox) -> String {
    let root = store(sandbox);
    format!(
        "WARNING! This will remove:\n        - all containers\n        - all images\n        - all networks\n        - all build cache\n        - all volumes\n        - the store: \"{}\"\nAre you sure you want to continue? [y/N] ",
        root.display()
    )
}

#[test]
fn a_reset_asks_and_then_leaves_nothing() {
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"x");
    sandbox.import("app:2", b"y");
    let store = store(&sandbox);
    for answer in ["n\n", "", "yes please\n"] {
        let asked = sandbox.run_with(&["system", "reset"], answer.as_bytes());
        assert_eq!(asked, ran(&question(&sandbox), "", 0), "{answer}");
        assert_eq!(sandbox.run(&["images", "-q"]).stdout.lines().count(), 2);
    }
    let asked = sandbox.run_with(&["system", "reset"], b"y\n");
    assert_eq!(asked, ran(&question(&sandbox), "", 0));
    assert!(!store.exists(), "the store is still there");
    assert_eq!(sandbox.run(&["images", "-q"]), ran("", "", 0));
    // Nothing is there any more to be removed.
    assert_eq!(sandbox.run(&["system", "reset", "--force"]), ran("", "", 0));
    sandbox.import("app:1", b"x");
    assert_eq!(sandbox.run(&["images", "-q"]).stdout.lines().count(), 1);
}

#[test]
fn a_reset_leaves_what_is_not_ours() {
    let sandbox = Sandbox::new();
    sandbox.import("app:1", b"x");
    let store = store(&sandbox);
    fs::write(store.join("letter"), "dear").unwrap();
    assert_eq!(sandbox.run(&["system", "reset", "-f"]), ran("", "", 0));
    let left: Vec<_> = fs::read_dir(&store).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["letter"]);
}
