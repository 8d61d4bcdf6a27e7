//! Builds whose images lie in a registry.

use varve_testkit::{Image, Registry};

use crate::bench::Bench;

/// The layers that were asked for; configs are not counted, which are small.
fn layers_asked(registry: &Registry) -> usize {
    registry.take_log().iter().filter(|entry| entry.is_blob()).count()
}

#[test]
fn an_image_is_fetched_and_gets_no_name() {
    let (bench, registry) = (Bench::new(), Registry::start());
    registry.push("base:1", Image::seeded(1).layers(2));
    bench.file("a.txt", "a\n");
    let text = format!("FROM {}\nCOPY a.txt /\n", registry.reference("base:1"));
    let (first, _) = bench.build(&text);
    assert_eq!(bench.config("app").diff_ids().len(), 3);
    let names = bench.engine.store().names().unwrap();
    assert_eq!(names.rows.len(), 1, "{:?}", names.rows);
    // The config and both layers.
    assert_eq!(layers_asked(&registry), 3);
    let (second, told) = bench.build(&text);
    assert_eq!(first, second);
    assert_eq!(layers_asked(&registry), 0);
    assert_eq!(told.of("[2/2] COPY a.txt /"), "CACHED");
    bench.engine.check().unwrap();
}

#[test]
fn an_image_that_is_here_is_not_asked_for() {
    let (bench, registry) = (Bench::new(), Registry::start());
    registry.push("base:1", Image::seeded(1));
    let base = registry.reference("base:1");
    let pull = varve_engine::Pull {
        reference: &base,
        all_tags: false,
        platform: varve_engine::PullPlatform::Host,
    };
    bench.engine.pull(&varve_types::Ctx::for_test(), &pull).unwrap();
    registry.take_log();
    let (_, told) = bench.build(&format!("FROM {base}\nCMD x\n"));
    assert_eq!(registry.take_log().len(), 0);
    assert_eq!(told.of(&format!("[1/1] FROM {base}")), "DONE");
}

#[test]
fn a_missing_image_is_said_as_docker_does() {
    let (bench, registry) = (Bench::new(), Registry::start());
    registry.push("base:1", Image::seeded(1));
    let missing = registry.reference("base:nosuch");
    let (error, told) = bench.refuse(&format!("FROM scratch\nFROM {missing}\n"));
    let text = format!("{missing}: not found");
    assert_eq!(
        told.of(&format!("[internal] load metadata for {missing}")),
        format!("ERROR: {text}")
    );
    let last = error.lines().last().unwrap();
    assert_eq!(last, format!("{missing}: failed to resolve source metadata for {missing}: {text}"));
    assert!(error.starts_with("Dockerfile:2\n"), "{error}");
}
