//! Stores on disks that are full, may not be written, or belong to a newer varve.

use std::{env, fs, path::Path, process::Command};

use varve_engine::{Engine, Registries};
use varve_testkit::{Image, Registry, guard};
use varve_types::Kind;

use crate::bench::{Bench, told};

/// Runs a test of this program again, with its temporary files on a tmpfs of its own. Returns
/// whether this is that second run.
fn on_a_disk(test: &str, options: &str) -> bool {
    const MARK: &str = "VARVE_TEST_ON_A_DISK";
    if env::var(MARK).is_ok_and(|marked| marked == test) {
        return true;
    }
    if !guard::mount_namespace() {
        return false;
    }
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg(r#"mount -t tmpfs -o "$1" tmpfs "$0" && shift && exec "$@""#)
        .arg(directory.path())
        .arg(options)
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(MARK, test)
        .env("VARVE_TEST_BIG_DISK", env::temp_dir())
        .env("TMPDIR", directory.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// A registry that does not share the small disk.
fn registry() -> (Registry, tempfile::TempDir) {
    let directory = tempfile::tempdir_in(env::var("VARVE_TEST_BIG_DISK").unwrap()).unwrap();
    (Registry::builder().root(directory.path()).start(), directory)
}

#[test]
fn a_full_disk_is_told_and_nothing_is_half_written() {
    if !on_a_disk("disks::a_full_disk_is_told_and_nothing_is_half_written", "size=3m") {
        return;
    }
    let ((registry, _directory), bench) = (registry(), Bench::new());
    registry.push("app:small", Image::seeded(1));
    registry.push("app:large", Image::seeded(2).layer_size_bytes(8 << 20));
    bench.pulls(&registry, "app:small");
    let names = bench.names();
    for _ in 0..2 {
        let error = bench.pull(&registry.reference("app:large")).unwrap_err();
        let text = told(&error, &registry);
        assert!(text.starts_with("cannot write "), "{text}");
        assert!(text.ends_with(": No space left on device (os error 28)"), "{text}");
        assert_eq!(error.kind(), Kind::Exhausted);
        assert!(error.hint().is_some(), "what helps is not said");
        assert_eq!(bench.names(), names);
        assert_eq!(bench.arriving(), Vec::<u64>::new());
        bench.check();
    }
    registry.push("app:other", Image::seeded(3));
    bench.pulls(&registry, "app:other");
}

#[test]
fn a_store_that_may_not_be_written_is_told() {
    if !on_a_disk("disks::a_store_that_may_not_be_written_is_told", "size=3m") {
        return;
    }
    let ((registry, _directory), bench) = (registry(), Bench::new());
    registry.push("app:1", Image::seeded(1));
    registry.push("app:2", Image::seeded(2));
    bench.pulls(&registry, "app:1");
    let status =
        Command::new("mount").args(["-o", "remount,bind,ro"]).arg(env::temp_dir()).status();
    assert!(status.unwrap().success());
    let names = bench.names();
    let error = bench.pull(&registry.reference("app:2")).unwrap_err();
    let text = told(&error, &registry);
    assert!(text.ends_with(": Read-only file system (os error 30)"), "{text}");
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.hint().is_some(), "what helps is not said");
    assert_eq!(bench.names(), names);
    bench.check();
}

#[test]
fn a_store_of_a_newer_varve_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("varve")).unwrap();
    fs::write(root.path().join("varve/format"), "99\n").unwrap();
    let error = Engine::open(root.path(), Registries::default()).unwrap_err();
    let path = root.path().display();
    assert_eq!(
        error.to_string(),
        format!("the store at {path} has format 99, and this varve knows formats up to 1")
    );
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(entries(root.path()), ["varve"]);
}

#[test]
fn a_directory_that_is_no_store_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("letter\u{1b}[2J.txt"), "dear").unwrap();
    let error = Engine::open(root.path(), Registries::default()).unwrap_err();
    let path = root.path().display();
    assert_eq!(
        error.to_string(),
        format!(
            "{path} is not a varve store or OCI image layout: it holds other things, such as letter\\x1b[2J.txt"
        )
    );
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(entries(root.path()).len(), 1);
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
