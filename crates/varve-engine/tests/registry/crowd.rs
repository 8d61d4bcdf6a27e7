//! Several engines on one store at once.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use varve_engine::{Prune, Push, Remove};
use varve_testkit::{Entry, Fault, Image, On, Registry};
use varve_types::{Ctx, Digest, Event, Progress};

use crate::bench::{Bench, files};

const ENGINES: usize = 16;

/// How often the bytes of each blob were asked for.
fn fetched(log: &[Entry]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in log.iter().filter(|entry| entry.is_blob() && entry.method == "GET") {
        *counts.entry(entry.path.clone()).or_default() += 1;
    }
    counts
}

#[test]
fn many_engines_that_pull_one_image_fetch_each_layer_once() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let built = Image::seeded(1).layers(4).layer_size_bytes(200 << 10).build();
    registry.push("app:1", &built);
    let engines: Vec<Bench> = (0..ENGINES).map(|_| bench.beside()).collect();
    thread::scope(|scope| {
        for engine in &engines {
            let name = registry.reference("app:1");
            scope.spawn(move || engine.pull(&name).unwrap());
        }
    });
    bench.check();
    bench.has(&registry, "app:1", &built);
    assert_eq!(bench.arriving(), Vec::<u64>::new());
    let fetched = fetched(&registry.log());
    for layer in &built.images[0].layers {
        assert_eq!(fetched[&format!("/v2/app/blobs/{}", layer.digest)], 1);
    }
}

/// One of the layers is in both images, under way in both at once.
#[test]
fn pulls_of_images_that_overlap_share_what_is_under_way() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let one = Image::seeded(1).layers(2).layer_size_bytes(300 << 10).build();
    let two = Image::seeded(1).layers(3).layer_size_bytes(300 << 10).build();
    registry.push("app:1", &one);
    registry.push("app:2", &two);
    let other = bench.beside();
    thread::scope(|scope| {
        let first = scope.spawn(|| bench.pull(&registry.reference("app:1")).unwrap());
        other.pull(&registry.reference("app:2")).unwrap();
        first.join().unwrap();
    });
    bench.check();
    bench.has(&registry, "app:1", &one);
    bench.has(&registry, "app:2", &two);
    let fetched = fetched(&registry.log());
    for layer in &two.images[0].layers {
        assert_eq!(fetched[&format!("/v2/app/blobs/{}", layer.digest)], 1);
    }
}

/// Whoever waits for a layer of somebody who fails fetches the rest of it.
#[test]
fn a_pull_that_fails_leaves_its_bytes_to_the_one_that_waits() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let built = Image::seeded(1).layer_size_bytes(600 << 10).build();
    registry.push("app:1", &built);
    let layer = built.images[0].layers[0].digest;
    let on = || On::Path("GET", format!("/blobs/{layer}"));
    registry.fail(on(), Fault::Stall(200 << 10, std::time::Duration::from_millis(300)));
    registry.fail_after(1, on(), Fault::status(404));
    let other = bench.beside();
    let (one, two) = thread::scope(|scope| {
        let first = scope.spawn(|| bench.pull(&registry.reference("app:1")));
        while !registry.log().iter().any(|e| e.path.ends_with(&layer.to_string())) {
            thread::yield_now();
        }
        (other.pull(&registry.reference("app:1")), first.join().unwrap())
    });
    assert!(one.is_ok() != two.is_ok(), "one fails and one does not: {one:?} {two:?}");
    bench.check();
    bench.has(&registry, "app:1", &built);
    let ranges: Vec<Option<String>> = registry
        .log()
        .into_iter()
        .filter(|entry| entry.path.ends_with(&layer.to_string()))
        .map(|entry| entry.range)
        .collect();
    let rest = Some(format!("bytes={}-", 200 << 10));
    assert_eq!(ranges, [None, rest.clone(), rest]);
}

/// Everybody pulls, tags, removes and prunes what the others need; whatever order came about,
/// each command either did its work or said that the image is gone, and the store is sound.
#[test]
fn pulls_removals_and_prunes_do_not_hurt_each_other() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let images: Vec<_> = (1..=3).map(|layers| Image::seeded(1).layers(layers).build()).collect();
    for (at, image) in images.iter().enumerate() {
        registry.push(&format!("app:{at}"), image);
    }
    let engines: Vec<Bench> = (0..8).map(|_| bench.beside()).collect();
    thread::scope(|scope| {
        for (number, engine) in engines.iter().enumerate() {
            let registry = &registry;
            scope.spawn(move || {
                for round in 0..6 {
                    let name = registry.reference(&format!("app:{}", (number + round) % 3));
                    engine.pull(&name).unwrap();
                    if number % 2 == 0 {
                        let image = name.to_string();
                        let request = Remove {
                            image: &image,
                            force: true,
                            keep_parents: false,
                            platforms: &[],
                        };
                        if let Err(error) = engine.engine.remove(&request) {
                            let gone = format!("No such image: {image}");
                            assert_eq!(error.to_string(), gone);
                        }
                    } else if number % 4 == 1 {
                        let request = Prune { all: true, ..Prune::default() };
                        engine.engine.prune(&engine.ctx(), &request).unwrap();
                    }
                }
            });
        }
    });
    bench.check();
    for (at, image) in images.iter().enumerate() {
        bench.pulls(&registry, &format!("app:{at}"));
        bench.has(&registry, &format!("app:{at}"), image);
    }
    let prune = Prune { all: true, ..Prune::default() };
    bench.engine.prune(&bench.ctx(), &prune).unwrap();
    bench.check();
    assert_eq!(crate::bench::files(&bench.root().join("blobs/sha256")), 0);
    assert_eq!(crate::bench::files(&bench.root().join("varve/layers")), 0);
}

/// The second engine asks for the bytes behind those that the first one got, for each layer.
#[test]
fn a_pull_that_was_cut_is_resumed_by_another_engine_layer_by_layer() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let built = Image::seeded(1).layers(3).layer_size_bytes(600 << 10).build();
    registry.push("app:1", &built);
    let path = |digest: &Digest| format!("/blobs/{digest}");
    for (at, layer) in built.images[0].layers.iter().enumerate() {
        let on = || On::Path("GET", path(&layer.digest));
        registry.fail(on(), Fault::CutBody((at as u64 + 1) * (100 << 10)));
        registry.fail_always_after(1, on(), Fault::status(500));
    }
    bench.pull(&registry.reference("app:1")).unwrap_err();
    assert_eq!(bench.names(), Vec::<String>::new());
    registry.heal();
    let first = registry.take_log();
    bench.beside().pulls(&registry, "app:1");
    bench.has(&registry, "app:1", &built);
    let second = registry.take_log();
    for layer in &built.images[0].layers {
        let of = |log: &[Entry]| -> u64 {
            log.iter()
                .filter(|entry| entry.path.ends_with(&path(&layer.digest)))
                .map(|entry| entry.bytes_sent)
                .sum()
        };
        let (before, after) = (of(&first), of(&second));
        // The first engine may have been stopped before it read what was on the line.
        assert!(after >= layer.size - before && after <= layer.size, "{before} and {after}");
        let begins = second
            .iter()
            .find(|entry| entry.path.ends_with(&path(&layer.digest)))
            .and_then(|entry| entry.range.as_deref())
            .map_or(0, |range| {
                range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()
            });
        assert_eq!(begins + after, layer.size);
    }
    assert!(second.iter().any(|entry| entry.range.is_some()), "nothing was resumed");
}

/// An image made here is compressed and pushed by many at once: one manifest comes of it.
#[test]
fn many_engines_that_push_one_image_send_the_same() {
    let (registry, bench) = (Registry::start(), Bench::new());
    crate::pushes::import(&bench, &registry, "made:1", 300 << 10);
    let engines: Vec<Bench> = (0..8).map(|_| bench.beside()).collect();
    thread::scope(|scope| {
        for engine in &engines {
            let name = registry.reference("made:1");
            scope.spawn(move || engine.push(&name).unwrap());
        }
    });
    bench.check();
    assert_eq!(bench.names().len(), 2, "{:?}", bench.names());
    let there = Bench::new();
    there.pulls(&registry, "made:1");
}

/// Whoever pushes what another one removes sends all of it, or says that it is gone.
#[test]
fn pushes_of_what_others_remove_are_whole_or_refused() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let built = Image::seeded(1).layers(2).build();
    registry.push("app:1", &built);
    let name = registry.reference("app:1").to_string();
    let target = registry.reference("copy:1");
    let (pusher, remover) = (bench.beside(), bench.beside());
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let removing = scope.spawn(|| {
            for _ in 0..15 {
                remover.pull(&registry.reference("app:1")).unwrap();
                remover.engine.tag(&remover.ctx(), &name, &target.to_string()).unwrap();
                thread::yield_now();
                remover
                    .engine
                    .prune(&remover.ctx(), &Prune { all: true, ..Prune::default() })
                    .unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            if let Err(error) = pusher.push(&target) {
                let text = crate::bench::told(&error, &registry);
                let gone = [
                    "An image does not exist locally with the tag: REGISTRY/copy",
                    "tag does not exist: REGISTRY/copy:1",
                ];
                assert!(gone.contains(&text.as_str()), "{text}");
            }
        }
        removing.join().unwrap();
    });
    bench.check();
}

/// Removes an image as soon as a push of it tells of its first layer.
struct RemovedMeanwhile<'a> {
    beside: &'a Bench,
    image: String,
    removed: AtomicBool,
}

impl Progress for RemovedMeanwhile<'_> {
    fn event(&self, event: Event) {
        if matches!(event, Event::Layer { .. }) && !self.removed.swap(true, Ordering::Relaxed) {
            let image = self.image.as_str();
            let request = Remove { image, force: true, keep_parents: false, platforms: &[] };
            self.beside.engine.remove(&request).unwrap();
        }
    }
}

/// What a push has begun to send stays until it is sent; the image is gone all the same.
#[test]
fn an_image_removed_while_it_is_pushed_arrives_whole_and_stays_removed() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let built = Image::seeded(1).layers(3).build();
    registry.push("app:1", &built);
    bench.pulls(&registry, "app:1");
    let other = Registry::start();
    let target = other.reference("copy:1");
    bench
        .engine
        .tag(&bench.ctx(), &registry.reference("app:1").to_string(), &target.to_string())
        .unwrap();
    let beside = bench.beside();
    let progress = RemovedMeanwhile {
        beside: &beside,
        image: built.id().to_string(),
        removed: AtomicBool::new(false),
    };
    let ctx = Ctx { progress: &progress, ..Ctx::for_test() };
    let text = target.to_string();
    let request = Push {
        reference: &target,
        text: &text,
        all_tags: false,
        platform: None,
        compression: None,
    };
    bench.engine.push(&ctx, &request).unwrap();
    assert!(progress.removed.load(Ordering::Relaxed));
    assert_eq!(bench.names(), Vec::<String>::new());
    bench.engine.store().sweep().unwrap();
    assert_eq!(files(&bench.root().join("blobs/sha256")), 0);
    bench.check();
    let there = Bench::new();
    there.pulls(&other, "copy:1");
    there.has(&other, "copy:1", &built);
}
