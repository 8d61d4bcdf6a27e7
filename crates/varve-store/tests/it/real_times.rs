//! Stacks mounted with real times: the same but for the times, whatever shows them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};

use varve_fs::{
    backend::BackendKind,
    mount::{InUse, Upper},
    tar::{Device, EntryKind, NewEntry, Time, Writer},
};
use varve_store::{Holder, RealTimes, Snapshot, Store};
use varve_types::{DiffId, Digest};

use crate::{
    build_cache::{record, step},
    namespace::{Place, alone, skip},
};

type Stack = Vec<(DiffId, Option<Digest>)>;

/// What a path shows: everything but its times, and the time of its last change.
type Seen = BTreeMap<String, (String, (i64, i64))>;

const TAR_TIME: Time = Time { seconds: 1_000, nanoseconds: 0 };

fn tar(entries: &[(&str, EntryKind, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, kind, text) in entries {
        let is_file = *kind == EntryKind::File;
        let content = if is_file { text.as_bytes() } else { b"" };
        let xattrs = [(b"user.note".to_vec(), path.as_bytes().to_vec())];
        let entry = NewEntry {
            path: path.as_bytes(),
            kind: *kind,
            mode: if *kind == EntryKind::Directory { 0o751 } else { 0o640 },
            uid: 3,
            gid: 4,
            mtime: TAR_TIME,
            link_target: if is_file { b"" } else { text.as_bytes() },
            device: Device::default(),
            xattrs: if is_file { &xattrs } else { &[] },
            size: content.len() as u64,
        };
        writer.append_bytes(&entry, content).unwrap();
    }
    writer.finish().unwrap()
}

fn times(of: &[(&str, i64)]) -> RealTimes {
    let time = |seconds| Time { seconds, nanoseconds: 123_456_789 };
    of.iter().map(|(path, seconds)| (path.as_bytes().to_vec(), time(*seconds))).collect()
}

/// Stores a layer with real times.
fn timed(store: &Store, name: &str, tar: &[u8], real: &RealTimes) -> (DiffId, Option<Digest>) {
    let lease = store.lease().unwrap();
    let diff_id = step(store, &lease, tar).summary.diff_id;
    let record = store.remember(&lease, &record(name, Some(diff_id)), Some(real)).unwrap();
    (diff_id, record.times)
}

/// Layers that need a mend: a directory that the tar of the second leaves out, a hard link into the
/// first, a file that goes.
fn stack(store: &Store) -> Stack {
    use EntryKind::{Directory, File, HardLink, Symlink};
    let first = tar(&[
        ("d", Directory, ""),
        ("d/kept", File, "kept"),
        ("d/linked", File, "linked"),
        ("gone", File, "gone"),
        ("same", File, "same"),
        ("link", Symlink, "d/kept"),
    ]);
    let second = tar(&[
        ("d/new", File, "new"),
        ("d/other", HardLink, "d/linked"),
        ("e", Directory, ""),
        ("e/long", File, &"long ".repeat(500)),
        ("e/again", HardLink, "e/long"),
        (".wh.gone", File, ""),
    ]);
    let first_times =
        times(&[("d", 10), ("d/kept", 11), ("d/linked", 12), ("gone", 13), ("link", 14)]);
    let second_times = times(&[("d/new", 21), ("e", 22), ("e/long", -23), ("d", 99)]);
    vec![
        timed(store, "first", &first, &first_times),
        timed(store, "second", &second, &second_times),
    ]
}

fn walk(root: &Path) -> Seen {
    let mut seen = Seen::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let facts = fs::symlink_metadata(&path).unwrap();
            let kind = facts.file_type();
            assert!(!kind.is_char_device(), "{} is a whiteout", path.display());
            let content = if kind.is_dir() {
                directories.push(path.clone());
                String::new()
            } else if kind.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                let mut value = [0; 64];
                let size = rustix::fs::lgetxattr(&path, c"user.note", &mut value).unwrap();
                let note = String::from_utf8_lossy(&value[..size]).into_owned();
                format!("{note} {} {}", facts.nlink(), fs::read_to_string(&path).unwrap())
            };
            let shown = format!("{:o} {} {} {content}", facts.mode(), facts.uid(), facts.gid());
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            seen.insert(name, (shown, (facts.mtime(), facts.mtime_nsec())));
        }
    }
    seen
}

fn with_each_backend(body: impl Fn(&Place, &Store)) {
    for kind in BackendKind::ALL {
        let place = Place::new();
        let store = place.with(kind);
        match store.backend() {
            Ok(_) => body(&place, &store),
            Err(error) => skip(&format!("storage backend {kind}"), &error.to_string()),
        }
        place.is_tidy();
    }
}

fn container(id: &str) -> Holder {
    Holder::Container(id.to_owned())
}

fn plain(layers: &Stack) -> Vec<DiffId> {
    layers.iter().map(|(layer, _)| *layer).collect()
}

#[test]
fn real_times_are_shown_and_nothing_else_differs() {
    alone("real_times::real_times_are_shown_and_nothing_else_differs", || {
        with_each_backend(|_, store| {
            let layers = stack(store);
            let (holder, other) = (container("plain"), container("timed"));
            let request = Snapshot { holder: &holder, layers: &plain(&layers), upper: None };
            let usual = walk(&store.mount(&request).unwrap().path);
            let real = walk(&store.mount_build(&other, &layers, None).unwrap().path);
            let without = |seen: &Seen| -> Vec<(String, String)> {
                seen.iter().map(|(path, (shown, _))| (path.clone(), shown.clone())).collect()
            };
            assert_eq!(without(&usual), without(&real));
            assert!(!usual.contains_key("gone"));
            assert!(usual.values().all(|(_, time)| *time == (1_000, 0)), "{usual:#?}");
            let changed = |seconds| (seconds, 123_456_789);
            let expected = [
                ("d", changed(10)),
                ("d/kept", changed(11)),
                ("d/linked", changed(12)),
                ("d/new", changed(21)),
                ("d/other", changed(12)),
                ("e", changed(22)),
                ("e/again", changed(-23)),
                ("e/long", changed(-23)),
                ("link", changed(14)),
                ("same", (1_000, 0)),
            ];
            let found: Vec<_> = real.iter().map(|(path, (_, time))| (&**path, *time)).collect();
            assert_eq!(found, expected);
            assert_eq!(store.check().unwrap(), []);
            for holder in [holder, other] {
                store.release(&holder, InUse::Refused).unwrap();
            }
        });
    });
}

#[test]
fn layers_with_real_times_are_shared_and_go_with_the_last_who_uses_them() {
    alone(
        "real_times::layers_with_real_times_are_shared_and_go_with_the_last_who_uses_them",
        || {
            let place = Place::new();
            let layers = stack(&place);
            let (one, other) = (container("one"), container("other"));
            place.mount_build(&one, &layers, None).unwrap();
            place.mount_build(&other, &layers[..1], None).unwrap();
            let count = |kind| place.mounted().iter().filter(|path| path.starts_with(kind)).count();
            assert_eq!((count("layers"), count("times"), count("chains")), (0, 2, 1));
            place.release(&one, InUse::Refused).unwrap();
            assert_eq!((count("layers"), count("times"), count("chains")), (0, 1, 0));
            place.release(&other, InUse::Refused).unwrap();
            place.is_tidy();
        },
    );
}

/// A context whose times changed makes another second index. Who has the old one mounted keeps it.
#[test]
fn other_times_of_a_layer_leave_alone_what_is_mounted() {
    alone("real_times::other_times_of_a_layer_leave_alone_what_is_mounted", || {
        with_each_backend(|_, store| {
            let bytes = tar(&[("file", EntryKind::File, "content")]);
            let old = timed(store, "step", &bytes, &times(&[("file", 5)]));
            let (one, other) = (container("one"), container("other"));
            let seen = store.mount_build(&one, &[old], None).unwrap().path.join("file");
            let new = timed(store, "step", &bytes, &times(&[("file", 6)]));
            store.sweep().unwrap();
            assert_eq!(fs::metadata(&seen).unwrap().mtime(), 5);
            assert_eq!(fs::read(&seen).unwrap(), b"content");
            let seen = store.mount_build(&other, &[new], None).unwrap().path.join("file");
            assert_eq!(fs::metadata(&seen).unwrap().mtime(), 6);
            for holder in [one, other] {
                store.release(&holder, InUse::Refused).unwrap();
            }
            store.sweep().unwrap();
            assert_eq!(
                store.mount_build(&container("late"), &[old], None).unwrap_err().kind(),
                varve_types::Kind::NotFound
            );
            assert_eq!(store.check().unwrap(), []);
        });
    });
}

/// The kernel is never handed an index that is not the one that was written.
#[test]
fn a_second_index_that_was_changed_is_not_mounted() {
    alone("real_times::a_second_index_that_was_changed_is_not_mounted", || {
        with_each_backend(|_, store| {
            let bytes = tar(&[("file", EntryKind::File, "content")]);
            let layer = timed(store, "step", &bytes, &times(&[("file", 5)]));
            let directory = store.root().join("varve/times").join(layer.1.unwrap().hex());
            let index = directory.join("index.erofs");
            let mut changed = fs::read(&index).unwrap();
            changed[1_600] ^= 1;
            fs::remove_file(&index).unwrap();
            fs::write(&index, changed).unwrap();
            let refused = store.mount_build(&container("one"), &[layer], None).unwrap_err();
            assert_eq!(refused.kind(), varve_types::Kind::NotFound, "{refused}");
            assert_eq!(store.check().unwrap().len(), 1);
        });
    });
}

#[test]
fn what_a_program_changes_goes_into_the_upper_directory() {
    alone("real_times::what_a_program_changes_goes_into_the_upper_directory", || {
        with_each_backend(|place, store| {
            let layers = stack(store);
            let upper = Upper {
                directory: place.directory.path().join("upper"),
                work: place.directory.path().join("work"),
                is_fleeting: false,
            };
            for path in [&upper.directory, &upper.work] {
                fs::create_dir(path).unwrap();
            }
            let holder = Holder::process().unwrap();
            let mounted = store.mount_build(&holder, &layers, Some(&upper)).unwrap();
            fs::write(mounted.path.join("d/kept"), "changed").unwrap();
            assert_eq!(fs::read(upper.directory.join("d/kept")).unwrap(), b"changed");
            drop(mounted);
            store.release(&holder, InUse::Refused).unwrap();
        });
    });
}
