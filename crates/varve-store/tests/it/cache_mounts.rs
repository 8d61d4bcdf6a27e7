//! Directories that outlive builds.

use std::{
    cell::Cell,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use varve_fs::tar::Time;
use varve_store::{
    Before, CacheMount, CacheMountRequest, Error, Options, SeenFile, Sharing, Sight, Store,
};
use varve_types::{DiffId, Digest};

use crate::{build_cache::at, made::TempStore};

fn wanted(id: &str, sharing: Sharing, second: i64) -> CacheMountRequest<'_> {
    CacheMountRequest { id, sharing, now: at(second) }
}

fn mount(store: &Store, id: &str, sharing: Sharing, second: i64) -> CacheMount {
    store
        .cache_mount(&wanted(id, sharing, second), &mut |_| Ok::<_, Error>(()), &|| true)
        .unwrap()
        .unwrap()
}

/// The store as another process sees it, with so much room for cache mounts.
fn with_room(store: &TempStore, size_bytes: u64) -> Store {
    let cache_mounts_size_bytes_max = Some(size_bytes);
    let options = Options { cache_mounts_size_bytes_max, ..Options::default() };
    Store::open_with(store.root(), options).unwrap()
}

fn ids(store: &Store) -> Vec<String> {
    store.cache_mounts().unwrap().into_iter().map(|record| record.id).collect()
}

#[test]
fn what_a_build_leaves_the_next_one_finds() {
    let store = TempStore::new();
    assert_eq!(store.cache_mounts().unwrap(), []);
    let first = mount(&store, "cargo", Sharing::Shared, 10);
    fs::write(first.path().join("file"), vec![7; 100_000]).unwrap();
    first.finish(at(20)).unwrap();
    let again = store.again();
    let second = mount(&again, "cargo", Sharing::Shared, 30);
    assert_eq!(fs::read(second.path().join("file")).unwrap().len(), 100_000);
    let [record] = &again.cache_mounts().unwrap()[..] else { panic!("one") };
    assert!(record.in_use && record.size_bytes >= 100_000, "{record:?}");
    assert_eq!((record.created, record.last_used, record.uses), (at(10), at(30), 2));
    drop(second);
    assert!(!again.cache_mounts().unwrap()[0].in_use);
    assert!(!mount(&again, "other", Sharing::Shared, 40).path().join("file").exists());
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn a_shared_directory_is_one_for_all_and_a_private_one_is_not() {
    let store = TempStore::new();
    let (one, other) = (store.again(), store.again());
    let shared = [&one, &other].map(|store| mount(store, "id", Sharing::Shared, 1));
    assert_eq!(shared[0].path(), shared[1].path());
    let private = [&one, &other].map(|store| mount(store, "id", Sharing::Private, 2));
    let late = mount(&other, "id", Sharing::Shared, 3);
    assert_eq!(late.path(), shared[0].path());
    assert_ne!(private[0].path(), private[1].path());
    assert!(private.iter().all(|it| it.path() != late.path()));
    let first = late.path().to_owned();
    drop((shared, late));
    assert_eq!(mount(&one, "id", Sharing::Private, 5).path(), first);
    assert_eq!(ids(&store), ["id", "id", "id"]);
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn builds_that_want_a_new_shared_directory_at_once_get_the_same_one() {
    const BUILDS: usize = 6;
    let store = TempStore::new();
    for id in 0..20 {
        let (id, meeting) = (id.to_string(), Barrier::new(BUILDS));
        let enter = || {
            let store = store.again();
            meeting.wait();
            let mount = mount(&store, &id, Sharing::Shared, 1);
            let path = mount.path().to_owned();
            // All have it at one time.
            meeting.wait();
            path
        };
        let paths = thread::scope(|scope| {
            let all: Vec<_> = (0..BUILDS).map(|_| scope.spawn(enter)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(paths.iter().all(|path| *path == paths[0]), "{paths:?}");
    }
}

#[test]
fn who_wants_a_locked_directory_waits_or_gives_up() {
    let store = TempStore::new();
    let held = mount(&store, "id", Sharing::Locked, 1);
    let other = store.again();
    let asked = Cell::new(0);
    let gives_up = || {
        asked.set(asked.get() + 1);
        asked.get() < 3
    };
    let none = other.cache_mount(
        &wanted("id", Sharing::Locked, 2),
        &mut |_| Ok::<_, Error>(()),
        &gives_up,
    );
    assert!(none.unwrap().is_none());
    assert_eq!(asked.get(), 3);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| mount(&other, "id", Sharing::Locked, 3).path().to_owned());
        fs::write(held.path().join("file"), "left").unwrap();
        let path = held.path().to_owned();
        drop(held);
        assert_eq!(waiting.join().unwrap(), path);
    });
}

#[test]
fn a_new_directory_is_filled_once_and_whole() {
    let store = TempStore::new();
    let filled = AtomicU32::new(0);
    let begin = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = store.again();
                begin.wait();
                let mut fill = |path: &Path| {
                    filled.fetch_add(1, Ordering::SeqCst);
                    fs::write(path.join("one"), "1").unwrap();
                    fs::set_permissions(path, fs::Permissions::from_mode(0o1777)).unwrap();
                    fs::write(path.join("two"), "2").unwrap();
                    Ok::<_, Error>(())
                };
                let request = wanted("id", Sharing::Shared, 1);
                let mount = store.cache_mount(&request, &mut fill, &|| true).unwrap().unwrap();
                assert_eq!(fs::read(mount.path().join("two")).unwrap(), b"2");
                let mode = fs::metadata(mount.path()).unwrap().permissions().mode();
                assert_eq!(mode & 0o7777, 0o1777);
            });
        }
    });
    assert_eq!(filled.load(Ordering::SeqCst), 1);
    // One that fails leaves nothing, and the next begins anew.
    let mut fails = |path: &Path| {
        fs::write(path.join("half"), "").unwrap();
        Err(Error::NoLayers)
    };
    let request = wanted("failing", Sharing::Shared, 2);
    store.cache_mount(&request, &mut fails, &|| true).unwrap_err();
    assert_eq!(ids(&store), ["id"]);
    let mount = mount(&store, "failing", Sharing::Shared, 3);
    assert_eq!(fs::read_dir(mount.path()).unwrap().count(), 0);
    assert_eq!(store.check().unwrap(), []);
}

/// A directory's blocks count, whatever its files say of themselves, and what was used longest ago
/// goes first. What is in use stays.
#[test]
fn what_takes_more_than_it_may_goes_when_its_use_ends() {
    let store = TempStore::new();
    let fill = |name: &str, second: i64| {
        let mount = mount(&store, name, Sharing::Shared, second);
        fs::write(mount.path().join("file"), vec![1; 100_000]).unwrap();
        // A hole takes nothing.
        let hole = fs::File::create(mount.path().join("hole")).unwrap();
        hole.set_len(1 << 40).unwrap();
        let gone = mount.finish(at(second)).unwrap();
        assert_eq!(gone, [], "there is room for {name}");
    };
    for (name, second) in [("oldest", 1), ("middle", 2), ("newest", 3)] {
        fill(name, second);
    }
    let small = with_room(&store, 250_000);
    let held = mount(&store, "oldest", Sharing::Shared, 1);
    let gone = mount(&small, "another", Sharing::Shared, 4).finish(at(4)).unwrap();
    let gone: Vec<String> = gone.into_iter().map(|record| record.id).collect();
    assert_eq!(gone, ["middle"], "the oldest is in use");
    assert_eq!(ids(&store), ["another", "newest", "oldest"]);
    drop(held);
    // Also the one that was used just now, where it alone takes too much.
    let tiny = with_room(&store, 50_000);
    mount(&tiny, "newest", Sharing::Shared, 5).finish(at(5)).unwrap();
    assert_eq!(ids(&store), [""; 0]);
    assert_eq!(fs::read_dir(store.root().join("varve/trash")).unwrap().count(), 0);
}

#[test]
fn what_a_killed_build_was_filling_is_begun_anew_and_goes_with_the_next_that_goes() {
    let store = TempStore::new();
    drop(mount(&store, "whole", Sharing::Shared, 1));
    let directory = |id: &str| {
        let hex = varve_types::Digest::of(id.as_bytes()).hex();
        store.root().join("varve/cache-mounts").join(hex)
    };
    for id in ["begun", "left"] {
        fs::create_dir_all(directory(id).join("new/tree/deep")).unwrap();
        fs::write(directory(id).join("new/tree/half"), "half").unwrap();
    }
    assert_eq!(ids(&store), ["whole"]);
    let begun = mount(&store, "begun", Sharing::Shared, 2);
    assert_eq!(fs::read_dir(begun.path()).unwrap().count(), 0);
    drop(begun);
    assert_eq!(store.check().unwrap(), []);
    store.shrink_cache_mounts(0).unwrap();
    assert!(!directory("left").exists());
    assert_eq!(ids(&store), ["begun", "whole"], "they take nothing");
}

/// A file that a program sees at this path.
fn seen(path: &str, content: &str, second: i64) -> (Vec<u8>, SeenFile) {
    let digest = Digest::of(content.as_bytes());
    let time = Time { seconds: second, nanoseconds: 7 };
    (path.as_bytes().to_vec(), SeenFile { layer: DiffId(digest), digest, time })
}

/// A use by a program that sees these files, and changes the mount or not.
fn used(store: &Store, files: &[(Vec<u8>, SeenFile)], changes: bool) -> Before {
    let mut mount = mount(store, "id", Sharing::Shared, 1);
    let before = mount.begin().unwrap();
    mount.shows(&files.iter().cloned().collect()).unwrap();
    if changes {
        fs::write(mount.path().join("made"), "x").unwrap();
    }
    mount.finish(at(2)).unwrap();
    before
}

/// Later than all that happened.
fn tick() {
    thread::sleep(std::time::Duration::from_millis(20));
}

#[test]
fn what_a_program_saw_is_kept_when_it_changed_the_mount() {
    let store = TempStore::new();
    let (one, two) = ([seen("/a", "one", 1)], [seen("/a", "two", 2), seen("/b\n\0", "b", 3)]);
    let first = used(&store, &one, true);
    assert_eq!(first.sight, None);
    tick();
    let second = used(&store, &two, false);
    let sight = second.sight.unwrap();
    assert_eq!(sight.files, one.iter().cloned().collect());
    assert!(first.now <= sight.until && sight.until < second.now);
    tick();
    let third = used(&store.again(), &two, true);
    assert_eq!(third.sight, Some(sight));
    let fourth = used(&store, &one, false).sight.unwrap();
    assert_eq!(fourth.files, two.iter().cloned().collect());
    assert!(fourth.until >= third.now);
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn what_a_killed_program_saw_counts_from_when_that_is_found() {
    let store = TempStore::new();
    let (a, b) = (seen("/a", "one", 1), seen("/b", "b", 3));
    used(&store, &[a.clone(), b.clone()], true);
    let mut killed = mount(&store, "id", Sharing::Shared, 1);
    killed.begin().unwrap();
    killed.shows(&[seen("/a", "two", 2), b.clone()].into()).unwrap();
    // Another one that was not about to run a program.
    let mut failed = mount(&store, "id", Sharing::Shared, 1);
    failed.begin().unwrap();
    drop((killed, failed));
    tick();
    let found = used(&store, &[a], false);
    let sight = found.sight.unwrap();
    // What both saw alike was the same when anything was made of it.
    assert_eq!((sight.files, sight.until), ([b].into(), found.now));
    let place = fs::read_dir(store.root().join("varve/cache-mounts")).unwrap();
    let place = place.map(|it| it.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let names = fs::read_dir(place).unwrap().map(|it| it.unwrap().file_name());
    assert!(!names.map(|it| it.into_string().unwrap()).any(|name| name.starts_with("sight-")));
}

#[test]
fn of_what_two_programs_saw_at_one_time_only_what_is_the_same_is_believed() {
    let store = TempStore::new();
    let (one, two, b) = (seen("/a", "one", 1), seen("/a", "two", 2), seen("/b", "b", 3));
    let begin = |file: &(Vec<u8>, SeenFile)| {
        let mut mount = mount(&store, "id", Sharing::Shared, 1);
        mount.begin().unwrap();
        mount.shows(&[file.clone(), b.clone()].into()).unwrap();
        fs::write(mount.path().join("made"), "x").unwrap();
        mount
    };
    let (first, second) = (begin(&one), begin(&two));
    first.finish(at(2)).unwrap();
    second.finish(at(2)).unwrap();
    assert_eq!(used(&store, &[two], false).sight.unwrap().files, [b].into());
}

#[test]
fn a_mount_of_which_nothing_is_known_may_have_been_made_of_anything() {
    let store = TempStore::new();
    mount(&store, "id", Sharing::Shared, 1).finish(at(1)).unwrap();
    let before = used(&store, &[seen("/a", "one", 1)], true);
    assert_eq!(before.sight, Some(Sight { until: before.now, files: [].into() }));
    // As after a loss of power.
    let place = fs::read_dir(store.root().join("varve/cache-mounts")).unwrap();
    let place = place.map(|it| it.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let path = place.join("sight");
    let mut text = fs::read(&path).unwrap();
    text[20] ^= 1;
    fs::write(&path, text).unwrap();
    let before = used(&store, &[], false);
    assert_eq!(before.sight, Some(Sight { until: before.now, files: [].into() }));
}
