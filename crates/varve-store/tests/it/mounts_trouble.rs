//! Mounts when others come and go, die, or live elsewhere, and layers that are not what they were.

use std::{
    collections::HashMap,
    env, fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::process::{Signal, getpid, kill_process};
use varve_fs::{
    backend::BackendKind,
    durable::{self, Announced, Observer, Point},
    mount::InUse,
};
use varve_store::{Error, Holder, Snapshot, Store};
use varve_types::{DiffId, ImageId, Kind};

use crate::{
    made::{self, Layer, add, remove},
    namespace::{self, Made, Place, alone, is_tidy, layer},
};

const INSIDE_CHILD: &str = "VARVE_STORE_MOUNT_CHILD";
const POINT: &str = "VARVE_STORE_MOUNT_POINT";
const THROUGH: i32 = 42;

/// A stack with a mend, that shares its lowest layer with other such stacks.
fn stack(number: usize) -> Vec<Layer> {
    let text = number.to_string();
    vec![
        layer(7, &[("d", Made::Directory(0o701)), ("d/low", Made::File(b"low"))]),
        layer(9, &[("d/high", Made::File(text.as_bytes())), ("linked", Made::Link("d/low"))]),
    ]
}

fn ids(layers: &[Layer]) -> Vec<DiffId> {
    layers.iter().map(|layer| layer.diff_id).collect()
}

fn devices(paths: &[PathBuf]) -> Vec<u64> {
    paths.iter().map(|path| fs::metadata(path).unwrap().dev()).collect()
}

/// Whoever has a layer at the same time as somebody else has the same file system, and so the
/// same page cache.
#[test]
fn users_that_come_and_go_never_split_a_layer() {
    alone("mounts_trouble::users_that_come_and_go_never_split_a_layer", || {
        let place = Place::new();
        let stacks: Vec<Vec<DiffId>> = (0..3)
            .map(|number| {
                let layers = stack(number);
                add(&place, &format!("app{number}:1"), &layers);
                ids(&layers)
            })
            .collect();
        // Of each lower how many have it, and which device it is to them.
        let had: Mutex<HashMap<PathBuf, (usize, u64)>> = Mutex::default();
        let (place, stacks, had) = (&place, &stacks, &had);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                scope.spawn(move || {
                    for round in 0..15 {
                        let store = namespace::open(place.directory.path(), None);
                        let layers = &stacks[(thread + round) % stacks.len()];
                        use_for_a_while(&store, layers, had);
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..200 {
                    let mut mounted = place.mounted();
                    let all = mounted.len();
                    mounted.dedup();
                    assert_eq!(mounted.len(), all, "a mount upon another");
                }
            });
        });
        place.tidy_mounts().unwrap();
        place.is_tidy();
    });
}

fn use_for_a_while(store: &Store, layers: &[DiffId], had: &Mutex<HashMap<PathBuf, (usize, u64)>>) {
    let holder = Holder::process().unwrap();
    let held = store.lowers(&holder, layers).unwrap();
    let lowers = &held.lowers.lowers;
    for (path, device) in lowers.iter().zip(devices(lowers)) {
        let mut had = had.lock().unwrap();
        let entry = had.entry(path.clone()).or_insert((0, device));
        assert!(entry.0 == 0 || entry.1 == device, "{} is two file systems", path.display());
        *entry = (entry.0 + 1, device);
    }
    assert_eq!(fs::read(lowers[0].join("d/low")).unwrap(), b"low");
    for path in lowers {
        had.lock().unwrap().get_mut(path).unwrap().0 -= 1;
    }
    store.release(&holder, InUse::Refused).unwrap();
}

struct AtPoint {
    point: usize,
    reached: AtomicUsize,
}

impl Observer for AtPoint {
    fn before(&self, _: Point<'_>) -> io::Result<Announced> {
        if self.reached.fetch_add(1, Ordering::SeqCst) == self.point {
            kill_process(getpid(), Signal::KILL)?;
        }
        Ok(None)
    }
}

fn mount_and_release(directory: &Path) -> Result<(), Error> {
    let store = namespace::open(directory, Some(BackendKind::Erofs));
    let layers = ids(&stack(0));
    let (image, process) = (Holder::Image(ImageId(layers[0].0)), Holder::process()?);
    store.mount(&Snapshot { holder: &image, layers: &layers, upper: None })?;
    let held = store.mount(&Snapshot { holder: &process, layers: &layers[..1], upper: None })?;
    store.release(&image, InUse::Refused)?;
    drop(held);
    store.release(&process, InUse::Refused)
}

#[test]
fn what_a_doomed_child_does() {
    let (Ok(directory), Ok(point)) = (env::var(INSIDE_CHILD), env::var(POINT)) else { return };
    let observer = AtPoint { point: point.parse().unwrap(), reached: AtomicUsize::new(0) };
    assert!(durable::observe(Box::new(observer)));
    mount_and_release(Path::new(&directory)).unwrap();
    std::process::exit(THROUGH);
}

fn doomed(directory: &Path, point: usize) -> bool {
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "mounts_trouble::what_a_doomed_child_does"])
        .env(INSIDE_CHILD, directory)
        .env(POINT, point.to_string())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.code().is_none_or(|code| code == THROUGH), "point {point}: {status}");
    status.code().is_none()
}

/// An image that was mounted to the end may stay mounted: that was what was asked for. It is in no
/// table of images here, so the sweep takes it away.
#[test]
fn a_process_killed_between_any_two_steps_leaves_what_the_next_takes_away() {
    alone(
        "mounts_trouble::a_process_killed_between_any_two_steps_leaves_what_the_next_takes_away",
        || {
            let place = Place::new();
            let directory = place.directory.path();
            add(&place, "app:1", &stack(0));
            let mut point = 0;
            while doomed(directory, point) {
                let store = namespace::open(directory, Some(BackendKind::Erofs));
                store.sweep().unwrap();
                is_tidy(directory);
                assert_eq!(store.check().unwrap(), [], "killed at point {point}");
                // Now and then all of it is new again.
                if point % 5 == 0 {
                    for part in ["run", "store/varve/chains"] {
                        // Not there yet, at first.
                        let _ = fs::remove_dir_all(directory.join(part));
                    }
                }
                point += 1;
            }
            assert!(point > 40, "only {point} points");
            mount_and_release(directory).unwrap();
            is_tidy(directory);
        },
    );
}

#[test]
fn a_mount_in_another_mount_namespace_is_private() {
    alone("mounts_trouble::a_mount_in_another_mount_namespace_is_private", || {
        if let Ok(directory) = env::var(INSIDE_CHILD) {
            return mount_elsewhere(Path::new(&directory));
        }
        let place = Place::new();
        let layers = stack(0);
        add(&place, "app:1", &layers);
        let holder = Holder::Container("here".to_owned());
        let here = place.lowers(&holder, &ids(&layers)).unwrap();
        assert!(!here.lowers.is_private);
        let before = place.mounted();
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "unchanged"])
            .arg(env::current_exe().unwrap())
            .args(["--exact", "mounts_trouble::a_mount_in_another_mount_namespace_is_private"])
            .arg("--nocapture")
            .env(INSIDE_CHILD, place.directory.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(place.mounted(), before);
        // What ended with it keeps nothing in use.
        place.release(&holder, InUse::Refused).unwrap();
        remove(&place, "app:1");
        assert_eq!(fs::read_dir(place.root().join("varve/layers")).unwrap().count(), 0);
        place.is_tidy();
    });
}

fn mount_elsewhere(directory: &Path) {
    let store = namespace::open(directory, None);
    let layers = ids(&stack(0));
    let holder = Holder::Container("there".to_owned());
    let mounted = store.mount(&Snapshot { holder: &holder, layers: &layers, upper: None }).unwrap();
    assert!(mounted.is_private);
    assert!(mounted.path.to_str().unwrap().contains("/namespaces/"));
    assert_eq!(fs::read(mounted.path.join("linked")).unwrap(), b"low");
    // Others' layers are not taken away for want of a holder here, nor are ours.
    store.tidy_mounts().unwrap();
    assert_eq!(fs::read(mounted.path.join("d/low")).unwrap(), b"low");
}

/// Where mounts are shared with other namespaces, those of layers are not.
#[test]
fn mounts_stay_in_the_run_directory_where_it_would_be_shared() {
    alone("mounts_trouble::mounts_stay_in_the_run_directory_where_it_would_be_shared", || {
        let place = Place::new();
        let shared = Command::new("mount").args(["--make-rshared", "/"]).status().unwrap();
        assert!(shared.success());
        // Sees what appears in what it shares with us.
        let mut other = Command::new("unshare")
            .args(["--mount", "--propagation", "slave", "sleep", "60"])
            .spawn()
            .unwrap();
        let table = format!("/proc/{}/mountinfo", other.id());
        let ours = fs::read_link("/proc/self/ns/mnt").unwrap();
        let is_there = || fs::read_link(format!("/proc/{}/ns/mnt", other.id()));
        while is_there().unwrap() == ours {
            std::thread::yield_now();
        }
        let layers = stack(0);
        add(&place, "app:1", &layers);
        let holder = Holder::Container("here".to_owned());
        let request = Snapshot { holder: &holder, layers: &ids(&layers), upper: None };
        place.mount(&request).unwrap();
        // The machine may have mounts of others.
        let directory = place.directory.path().to_str().unwrap();
        let seen = fs::read_to_string(&table).unwrap();
        let mut ours = seen.lines().filter(|line| line.contains(directory));
        assert!(!ours.any(|line| line.contains("erofs") || line.contains("/layers/")), "{seen}");
        place.release(&holder, InUse::Refused).unwrap();
        // The run directory itself is a mount now, once.
        assert_eq!(place.mounted(), [""]);
        other.kill().unwrap();
        other.wait().unwrap();
    });
}

fn tar_of(store: &Store, layer: &DiffId) -> PathBuf {
    store.root().join("varve/layers").join(layer.0.hex()).join("layer.tar")
}

/// Changes a byte of a file that may not be written.
fn damage(path: &Path, at: usize) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_changed_tar_or_index_is_made_anew_or_refused_by_name() {
    alone("mounts_trouble::a_changed_tar_or_index_is_made_anew_or_refused_by_name", || {
        let place = Place::new();
        let layers = [layer(1, &[("file", Made::File(&[b'x'; 600]))]), Layer::plain(&[b'y'; 600])];
        add(&place, "app:1", &layers);
        let holder = Holder::Container("one".to_owned());
        let all = ids(&layers);
        let read = |layer: &DiffId| {
            let request = Snapshot { holder: &holder, layers: &[*layer], upper: None };
            let seen = place.mount(&request)?;
            let content = fs::read(seen.path.join("file")).unwrap();
            place.release(&holder, InUse::Refused)?;
            Ok::<_, Error>(content)
        };
        assert_eq!(
            (read(&all[0]).unwrap(), read(&all[1]).unwrap()),
            (vec![b'x'; 600], vec![b'y'; 600])
        );
        // The tar of a layer that came compressed, and its index, can be had again.
        damage(&tar_of(&place, &all[0]), 700);
        assert_eq!(read(&all[0]).unwrap(), [b'x'; 600]);
        damage(&tar_of(&place, &all[0]).with_file_name("index.erofs"), 1100);
        assert_eq!(read(&all[0]).unwrap(), [b'x'; 600]);
        assert_eq!(place.check().unwrap(), []);
        // The same bytes as another file are the same.
        let copy = place.directory.path().join("copy");
        fs::copy(tar_of(&place, &all[0]), &copy).unwrap();
        fs::rename(&copy, tar_of(&place, &all[0])).unwrap();
        assert_eq!(read(&all[0]).unwrap(), [b'x'; 600]);
        // The blob of a plain one is the tar itself.
        damage(&tar_of(&place, &all[1]), 700);
        let refused = read(&all[1]).unwrap_err();
        assert_eq!(refused.kind(), Kind::Corrupt);
        assert!(refused.to_string().contains(&all[1].to_string()), "{refused}");
        place.is_tidy();
    });
}

fn facts(top: &Path) -> Vec<String> {
    let mut facts = made::files(top);
    facts.sort();
    let describe = |path: &String| {
        let seen = fs::symlink_metadata(top.join(path)).unwrap();
        let content = fs::read(top.join(path)).unwrap();
        format!("{path} {:o} {} {} {content:?}", seen.mode(), seen.mtime(), seen.nlink())
    };
    let mut all: Vec<String> = facts.iter().map(describe).collect();
    let directory = fs::metadata(top.join("d")).unwrap();
    all.push(format!("d {:o} {}", directory.mode(), directory.mtime()));
    all
}

/// A store is used in one way and then in another, and reads the same each time.
#[test]
fn every_backend_shows_the_same_of_one_store() {
    alone("mounts_trouble::every_backend_shows_the_same_of_one_store", || {
        let place = Place::new();
        let mut layers = stack(1);
        layers.push(layer(11, &[(".wh.linked", Made::File(b"")), ("new", Made::File(b"new"))]));
        add(&place, "app:1", &layers);
        let all = ids(&layers);
        let holder = Holder::Container("one".to_owned());
        let see = |kind: BackendKind, layers: &[DiffId]| {
            let store = place.with(kind);
            let request = Snapshot { holder: &holder, layers, upper: None };
            let seen = store.mount(&request).unwrap().path;
            let facts = facts(&seen);
            let mounted = place.mounted().len();
            store.release(&holder, InUse::Refused).unwrap();
            assert_eq!(store.check().unwrap(), []);
            (facts, mounted)
        };
        let expected = [see(BackendKind::Erofs, &all[..2]), see(BackendKind::Erofs, &all)];
        assert_eq!((expected[0].1, expected[1].1), (4, 5));
        for kind in [BackendKind::Directory, BackendKind::Erofs, BackendKind::Directory] {
            for (layers, expected) in [&all[..2], &all].into_iter().zip(&expected) {
                let (facts, mounted) = see(kind, layers);
                assert_eq!(facts, expected.0, "{kind}");
                assert_eq!(mounted == 1, kind == BackendKind::Directory);
            }
            // Extracted files do not lie beside the tar that they are from, and it can be read.
            let is_there = tar_of(&place, &all[0]).exists();
            assert_eq!(is_there, kind != BackendKind::Directory, "{kind}");
            let mut tar = place.open_layer_tar(&all[0]).unwrap();
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut tar, &mut bytes).unwrap();
            assert_eq!(bytes, layers[0].tar);
            assert!(place.layer(&all[0]).unwrap().is_some());
        }
        remove(&place, "app:1");
        assert_eq!(fs::read_dir(place.root().join("varve/layers")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(place.root().join("varve/trash")).unwrap().count(), 0);
        place.is_tidy();
    });
}
