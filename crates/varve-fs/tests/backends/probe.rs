//! Which backend is found where, and what is left of looking for it.

use std::{fs, path::Path};

use varve_fs::{
    backend::{BackendError, BackendKind, Probed, Uppers, check_upper, probe},
    mount::{Marks, Mount, Overlay, table::Table},
};
use varve_types::Kind;

use crate::store::{Store, Stores, has_loop_devices, is_inside, loop_devices_of};

fn best(store: &Store) -> BackendKind {
    let mut kinds = BackendKind::ALL.into_iter();
    kinds.find(|kind| store.allows(*kind)).unwrap()
}

#[track_caller]
fn nothing_is_left(store: &Store) {
    let path = store.path.join("probe");
    assert!(path.symlink_metadata().is_err(), "{}", store.on);
    assert_eq!(Table::read().unwrap().beneath(&path).count(), 0, "{}", store.on);
    assert_eq!(loop_devices_of(&store.path).len(), 0, "{}", store.on);
}

#[test]
fn best_backend_of_each_file_system_is_found_and_nothing_left() {
    if !is_inside("probe::best_backend_of_each_file_system_is_found_and_nothing_left", &[]) {
        return;
    }
    let stores = Stores::new();
    for store in &stores.all {
        let found = probe(&store.path.join("probe"), None).unwrap();
        assert_eq!(found.kind, best(store), "{}: {found:?}", store.on);
        assert_eq!(found.backend().kind(), found.kind);
        assert_eq!(found.backend().marks(), found.marks);
        // An overlay's changes cannot lie on another overlay.
        let uppers = if store.on == "overlayfs" { Uppers::Elsewhere } else { Uppers::Here };
        assert_eq!(found.uppers, uppers, "{}", store.on);
        let better = BackendKind::ALL.into_iter().take_while(|kind| *kind != found.kind);
        let passed: Vec<_> = found.passed_over.iter().map(|passed| passed.kind).collect();
        assert_eq!(passed, better.collect::<Vec<_>>(), "{}", store.on);
        assert!(found.passed_over.iter().all(|passed| !passed.why.is_empty()));
        nothing_is_left(store);
    }
}

#[test]
fn backend_that_is_asked_for_is_taken_or_refused_with_the_reason() {
    if !is_inside("probe::backend_that_is_asked_for_is_taken_or_refused_with_the_reason", &[]) {
        return;
    }
    let stores = Stores::new();
    for store in &stores.all {
        for kind in BackendKind::ALL {
            let tried = probe(&store.path.join("probe"), Some(kind));
            nothing_is_left(store);
            if store.allows(kind) {
                let found = tried.unwrap();
                assert_eq!((found.kind, found.passed_over), (kind, Vec::new()));
                continue;
            }
            let error = tried.unwrap_err();
            let text = format!("storage backend `{kind}` does not work here");
            assert_eq!(error.to_string(), text);
            assert_eq!(error.kind(), Kind::Unsupported, "{error:?}");
            let BackendError::Unusable { source, .. } = &error else { panic!("{error:?}") };
            assert!(!source.to_string().is_empty());
        }
        // As root, marks of root are taken where the file system takes them.
        let found = probe(&store.path.join("probe"), Some(BackendKind::Directory)).unwrap();
        let is_overlay = store.on == "overlayfs";
        assert_eq!(found.marks == Marks::Trusted, !is_overlay, "{}: {found:?}", store.on);
    }
}

#[test]
fn place_for_uppers_is_tried_alone() {
    if !is_inside("probe::place_for_uppers_is_tried_alone", &[]) {
        return;
    }
    let stores = Stores::new();
    for store in &stores.all {
        let tried = check_upper(&store.path.join("probe"), Marks::Trusted);
        assert_eq!(tried.is_ok(), store.on != "overlayfs", "{tried:?}");
        nothing_is_left(store);
    }
}

#[test]
fn what_a_killed_probe_left_is_taken_away_with_its_mounts() {
    if !is_inside("probe::what_a_killed_probe_left_is_taken_away_with_its_mounts", &[]) {
        return;
    }
    let stores = Stores::new();
    for store in &stores.all {
        let place = store.path.join("probe");
        let path = |name: &str| {
            let path = place.join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let lowers = vec![path("a"), path("b")];
        let left = Overlay { lowers, upper: None, marks: Marks::Trusted, context: None };
        Mount::Overlay(left).mount(&path("round/merged")).unwrap();
        fs::write(place.join("round/file"), "left").unwrap();
        assert_eq!(probe(&place, None).unwrap().kind, best(store));
        nothing_is_left(store);
    }
}

#[test]
fn what_was_found_is_kept_as_text_and_good_for_its_file_system_only() {
    if !is_inside("probe::what_was_found_is_kept_as_text_and_good_for_its_file_system_only", &[]) {
        return;
    }
    let stores = Stores::new();
    let found = probe(&stores.all[0].path.join("probe"), None).unwrap();
    let text = serde_json::to_string(&found).unwrap();
    let again: Probed = serde_json::from_str(&text).unwrap();
    assert_eq!(again, found);
    assert!(again.holds_for(&stores.all[0].path).unwrap());
    assert!(!again.holds_for(&stores.all[1].path).unwrap());
    let of_another_boot = Probed { boot_id: "another".into(), ..again.clone() };
    assert!(!of_another_boot.holds_for(&stores.all[0].path).unwrap());
    let of_another_user = Probed { user_namespace: 1, ..again.clone() };
    assert!(!of_another_user.holds_for(&stores.all[0].path).unwrap());
    let error = again.holds_for(Path::new("/nowhere")).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

/// There EROFS cannot be mounted, and attributes named `trusted` not be set.
#[test]
fn in_a_user_namespace_files_are_extracted_with_marks_of_a_users() {
    let test = "probe::in_a_user_namespace_files_are_extracted_with_marks_of_a_users";
    if !is_inside(test, &["--map-root-user"]) {
        return;
    }
    let stores = Stores::new();
    for store in &stores.all {
        let place = store.path.join("probe");
        let found = probe(&place, None).unwrap();
        assert_eq!(found.kind, BackendKind::Directory, "{found:?}");
        assert!(matches!(found.marks, Marks::User | Marks::UserAttributes), "{found:?}");
        let uppers = if store.on == "overlayfs" { Uppers::Elsewhere } else { Uppers::Here };
        assert_eq!(found.uppers, uppers, "{}", store.on);
        assert_eq!(found.passed_over.len(), 2);
        let error = probe(&place, Some(BackendKind::Erofs)).unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{error:?}");
        nothing_is_left(store);
    }
}

/// Whoever dies with devices in hand, or with mounts in a namespace of its own, leaves none.
#[test]
fn loop_devices_are_gone_with_whoever_had_them() {
    if !is_inside("probe::loop_devices_are_gone_with_whoever_had_them", &[]) || !has_loop_devices()
    {
        return;
    }
    const KILLED: &str = "VARVE_TEST_KILLED";
    if let Some(path) = std::env::var_os(KILLED) {
        let store =
            Store { on: "disk", path: path.into(), elsewhere: Path::new("/nowhere").to_owned() };
        let probed = store.probed(BackendKind::ErofsLoop);
        let bench =
            crate::store::Bench { backend: probed.backend(), uppers: probed.uppers, store: &store };
        bench.lay("layer", &crate::made::Layer::made("a = a"));
        assert_eq!(loop_devices_of(&store.path).len(), 2);
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
            .unwrap();
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let status = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "probe::loop_devices_are_gone_with_whoever_had_them"])
        .env(KILLED, directory.path())
        .status()
        .unwrap();
    assert!(!status.success());
    assert!(directory.path().join("layer/place").exists(), "it came that far");
    // The kernel takes a mount namespace down after the process, not with it.
    for _ in 0..500 {
        if loop_devices_of(directory.path()).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{:?}", loop_devices_of(directory.path()));
}

#[test]
fn without_mounts_no_backend_works_and_each_says_why() {
    let test = "probe::without_mounts_no_backend_works_and_each_says_why";
    // Nobody in particular, in no namespace that would let it mount.
    if !is_inside(test, &["--map-user=65534", "--map-group=65534"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let error = probe(&directory.path().join("probe"), None).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("no storage backend works here: erofs: "), "{text}");
    assert!(text.contains("; erofs-loop: ") && text.contains("; directory: "), "{text}");
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(!directory.path().join("probe").exists());
}
