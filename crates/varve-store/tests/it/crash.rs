//! The store after a process died, or a disk failed, at each single call that changes it.
//!
//! Every durable call is a numbered point. A child process adds an image, completes its layers as
//! if an older varve had made them, writes layers of its own, takes the steps of a build, gives its name to another one and
//! removes that; at one point it is killed, or that call fails. Whatever the point, the store is sound, and the same commands
//! then succeed.

use std::{
    env, io,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use rustix::process::{Signal, getpid, kill_process};
use varve_fs::durable::{self, Announced, Observer, Point};
use varve_fs::tar::Time;
use varve_store::{
    CacheKind, CacheMountRequest, CachePolicy, CacheRecord, Error, Lease, Sharing, Store,
};

use crate::made::{Image, Layer, TempStore, files, noise, reference, take_index_away, tar};

const ROOT: &str = "VARVE_STORE_CRASH_ROOT";
const POINT: &str = "VARVE_STORE_CRASH_POINT";
const HOW: &str = "VARVE_STORE_CRASH_HOW";
/// The exit code of a child that went through without reaching its point.
const THROUGH: i32 = 42;
const FAILED: i32 = 43;

struct AtPoint {
    point: usize,
    kill: bool,
    reached: AtomicUsize,
}

impl Observer for AtPoint {
    fn before(&self, _: Point<'_>) -> io::Result<Announced> {
        if self.reached.fetch_add(1, Ordering::SeqCst) == self.point {
            if self.kill {
                kill_process(getpid(), Signal::KILL)?;
            }
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        Ok(None)
    }
}

fn commands(store: &Store) -> Result<(), Error> {
    for seed in [1, 2] {
        let lease = store.lease()?;
        let layers = [Layer::gzipped(&noise(3_000, seed)), Layer::plain(&noise(3_000, 9))];
        let image = Image::try_store(store, &lease, &layers)?;
        store.update_names(|names| Ok::<_, Error>(names.put(image.named("app:1"))))?;
        // A layer that an older varve left is completed.
        for layer in &layers {
            take_index_away(store, &layer.diff_id);
            store.open_layer_index(&layer.diff_id)?;
        }
    }
    // A layer of one piece, one that takes more, and one that is there by then.
    let lease = store.lease()?;
    for size in [700, 300_000, 700] {
        store.write_layer(&lease, |out| {
            out.write_all(&tar("file", &noise(size, 5))).map_err(Error::Source)
        })?;
    }
    build(store, &lease)?;
    drop(lease);
    store.remove_names(|names| {
        names.take(&reference("app:1"));
        Ok::<_, Error>(())
    })?;
    Ok(())
}

/// Steps of a build: done, found again, given other times, made into blobs, pruned; and a directory
/// for its programs.
fn build(store: &Store, lease: &Lease) -> Result<(), Error> {
    let now = jiff::Timestamp::UNIX_EPOCH;
    for size in [700, 300_000] {
        let write = |out: &mut dyn io::Write| {
            out.write_all(&tar("file", &noise(size, 6))).map_err(Error::Source)
        };
        let layer = store.write_cache_layer(lease, write)?.0.summary.diff_id;
        let record = CacheRecord::new(layer.0, CacheKind::Regular, "step", now);
        let record = CacheRecord { layer: Some(layer), ..record };
        for seconds in [5, 6] {
            let times = [(b"file".to_vec(), Time { seconds, nanoseconds: 0 })].into();
            store.remember(lease, &record, Some(&times))?;
        }
        let found = store.cached(lease, &layer.0, now)?;
        assert!(found.is_some_and(|it| it.layer == Some(layer) && it.times.is_some()));
        store.layer_blob(lease, &layer)?;
    }
    let request = CacheMountRequest { id: "id", sharing: Sharing::Shared, now };
    let mut fill = |path: &Path| {
        std::fs::write(path.join("file"), "first").unwrap();
        Ok(())
    };
    let mount = store.cache_mount::<Error>(&request, &mut fill, &|| true)?;
    if let Some(mount) = mount {
        assert_eq!(std::fs::read(mount.path().join("file")).unwrap(), b"first");
        mount.finish(now)?;
    }
    store.prune_cache(&CachePolicy {
        all: true,
        unused_since: None,
        used_bytes_max: 0,
        reserved_bytes: 0,
        free_bytes_min: 0,
        goes: &|it| it.mutable,
    })?;
    Ok(())
}

#[test]
fn what_a_doomed_child_does() {
    let Ok(point) = env::var(POINT) else { return };
    let kill = env::var(HOW).unwrap() == "kill";
    let observer = AtPoint { point: point.parse().unwrap(), kill, reached: AtomicUsize::new(0) };
    assert!(durable::observe(Box::new(observer)));
    let store = crate::made::open(Path::new(&env::var(ROOT).unwrap()));
    std::process::exit(if commands(&store).is_ok() { THROUGH } else { FAILED });
}

/// Returns whether the child reached the point.
fn doomed(root: &Path, point: usize, how: &str) -> bool {
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "crash::what_a_doomed_child_does"])
        .env(ROOT, root)
        .env(POINT, point.to_string())
        .env(HOW, how)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    match status.code() {
        Some(THROUGH) => false,
        // A failed call may also be one that nothing depends on; then all went through, and
        // only the number of points tells that the end has not been reached.
        Some(FAILED) | None => true,
        other => panic!("the child at point {point} ended with {other:?}"),
    }
}

/// So many calls in a row may fail and cost nothing; after as many the end was reached.
const IN_A_ROW: usize = 24;

fn check_each_point(how: &str) {
    let (mut point, mut in_a_row) = (0, 0);
    while in_a_row < IN_A_ROW {
        let store = TempStore::in_memory();
        let reached = doomed(store.root(), point, how);
        let opened = store.again();
        assert_eq!(opened.check().unwrap(), [], "{how} at point {point}");
        opened.sweep().unwrap_or_else(|error| panic!("{how} at point {point}: {error}"));
        assert_eq!(opened.check().unwrap(), [], "{how} at point {point}, swept");
        if reached {
            in_a_row = 0;
            commands(&opened).unwrap_or_else(|error| panic!("{how} at point {point}: {error}"));
            opened.sweep_ingests().unwrap();
            assert_eq!(opened.check().unwrap(), [], "{how} at point {point}, again");
            let left = files(opened.root());
            let litter = |path: &&String| {
                ["ingest", "leases", "trash"].iter().any(|d| path.contains(d))
                    || path.ends_with("index.json.new")
            };
            assert_eq!(left.iter().find(litter), None, "{how} at point {point}: {left:?}");
        } else {
            in_a_row += 1;
        }
        point += 1;
    }
    assert!(point > 130, "only {point} points");
}

#[test]
fn a_process_killed_at_any_call_leaves_a_sound_store() {
    check_each_point("kill");
}

/// Also a call that fails leaves a store in which nothing is wrong.
#[test]
fn a_call_that_fails_leaves_a_sound_store() {
    check_each_point("fail");
}
