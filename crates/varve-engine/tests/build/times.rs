//! Which times files have: in a layer, and for the programs above it.

use varve_build::solve::{BuildLayer, LayerOrigin, Timestamps};
use varve_store::{CacheKind, CacheRecord};
use varve_types::Digest;

use crate::world::{EPOCH, World, shell};

#[test]
fn a_later_program_sees_when_files_really_changed() {
    let Some(world) = World::new() else { return };
    let first =
        world.run(&shell("echo x > /new; touch -d @1000 /old; touch -d @4000000000 /future"));
    assert_eq!(
        world.entries(&first),
        ["future File 644 0!", "new File 644 0!", &format!("old File 644 {}", 1000 - EPOCH)]
    );
    let made = first.layer.as_ref().unwrap();
    let store = world.engine.store();
    let key = Digest::of(b"key");
    let record = CacheRecord::new(key, CacheKind::Regular, "", jiff::Timestamp::UNIX_EPOCH);
    let record = CacheRecord { layer: Some(made.diff_id), ..record };
    store.remember(&world.lease, &record, Some(&made.real_times)).unwrap();
    let cached = store.cached(&world.lease, &key, jiff::Timestamp::UNIX_EPOCH).unwrap().unwrap();
    assert!(cached.times.is_some());
    let layer =
        BuildLayer { diff_id: made.diff_id, times: cached.times, origin: LayerOrigin::Program };
    let line = format!(
        "stat -c %Y /old /future; test $(stat -c %Y /new) -gt {EPOCH} && echo real; \
         stat -c %Y /bin/busybox; echo $SOURCE_DATE_EPOCH"
    );
    let second = world.run_over(&shell(&line), &[world.base.clone(), layer], &[]);
    assert_eq!(second.output, format!("1000\n4000000000\nreal\n{}\n{EPOCH}\n", EPOCH - 1000));
    world.check();
}

#[test]
fn times_may_be_kept() {
    let Some(mut world) = World::new() else { return };
    world.how = Timestamps::Keep;
    let outcome = world.run(&shell("touch -d @4000000000 /future; touch -d @1000 /old"));
    assert_eq!(
        world.entries(&outcome),
        [
            format!("future File 644 {}", 4_000_000_000 - EPOCH),
            format!("old File 644 {}", 1000 - EPOCH)
        ]
    );
    world.check();
}

#[test]
fn the_same_program_makes_the_same_layer() {
    let Some(world) = World::new() else { return };
    let step =
        shell("mkdir /d; echo 1 > /d/a; ln /d/a /d/b; ln -s a /d/c; rm -r /home; mknod /p p");
    let (one, other) = (world.run(&step), world.run(&step));
    assert_eq!(one.made(), other.made());
    assert_ne!(one.layer.unwrap().real_times, other.layer.unwrap().real_times);
    world.check();
}
