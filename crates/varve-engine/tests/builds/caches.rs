//! Caches elsewhere: written by one build, and used by that of another store.

use std::{fs, path::PathBuf};

use varve_engine::build::{BuildOutput, CacheCompression, CacheExport, CacheImport, ContextSource};
use varve_testkit::Registry;
use varve_types::{Digest, Reference};

use crate::bench::{Ask, Bench, Told};

const DOCKERFILE: &str = "FROM scratch AS one\nCOPY a.txt /x/\nWORKDIR /x/y\nFROM scratch\nCOPY --from=one /x /z/\nCOPY b.txt /\n";

fn bench() -> Bench {
    let bench = Bench::new();
    bench.file("a.txt", "a\n");
    bench.file("b.txt", "b\n");
    bench
}

fn local(directory: PathBuf, all_stages: bool, compression: CacheCompression) -> CacheExport {
    CacheExport::Local { directory, tag: "latest".to_owned(), all_stages, compression }
}

fn from(directory: PathBuf) -> CacheImport {
    CacheImport::Local { directory, tag: "latest".to_owned() }
}

/// The steps that were shown with what became of them, those of the machinery left out.
fn steps(told: &Told) -> Vec<String> {
    let is_end = |line: &String| line.ends_with(" CACHED") || line.ends_with(" DONE");
    let mut steps: Vec<String> =
        told.lines().into_iter().filter(|line| line.contains("/2] ") && is_end(line)).collect();
    steps.sort();
    steps
}

const CACHED: [&str; 4] = [
    "[one 1/2] COPY a.txt /x/ CACHED",
    "[one 2/2] WORKDIR /x/y CACHED",
    "[stage-1 1/2] COPY --from=one /x /z/ CACHED",
    "[stage-1 2/2] COPY b.txt / CACHED",
];

#[test]
fn an_empty_store_finds_every_step_in_a_directory_that_another_wrote() {
    for (all_stages, compression) in [
        (false, CacheCompression::Gzip),
        (true, CacheCompression::Zstd),
        (true, CacheCompression::Uncompressed),
    ] {
        let bench = bench();
        let place = bench.root.path().join("cache");
        let cache_to = vec![local(place.clone(), all_stages, compression)];
        let ask = Ask { cache_to, ..Ask::default() };
        let (first, told) = bench.build_with(DOCKERFILE, ask);
        assert_eq!(told.of("exporting cache to client directory"), "DONE");
        let other = self::bench();
        let ask = Ask { cache_from: vec![from(place.clone())], ..Ask::default() };
        let (second, told) = other.build_with(DOCKERFILE, ask);
        assert_eq!(steps(&told), CACHED, "{compression:?}");
        assert_eq!(second, first);
        other.engine.check().unwrap();
        // What was brought in stays.
        assert_eq!(steps(&other.build(DOCKERFILE).1), CACHED);
    }
}

#[test]
fn a_directory_is_a_layout_and_keeps_what_it_has_under_other_tags() {
    let bench = bench();
    let place = bench.root.path().join("cache");
    let export = |tag: &str| CacheExport::Local {
        directory: place.clone(),
        tag: tag.to_owned(),
        all_stages: false,
        compression: CacheCompression::Gzip,
    };
    for tags in [&["one", "two"][..], &["two"]] {
        let cache_to = tags.iter().map(|tag| export(tag)).collect();
        bench.build_with(DOCKERFILE, Ask { cache_to, ..Ask::default() });
        bench.file("b.txt", "changed\n");
    }
    let index = fs::read(place.join("index.json")).unwrap();
    let index = varve_types::ManifestKind::parse(index, "").unwrap();
    let varve_types::ManifestKind::Index(index) = index else { panic!("no index") };
    let tag = "org.opencontainers.image.ref.name";
    let tags: Vec<_> = index.manifests.iter().map(|it| it.annotation(tag).unwrap()).collect();
    assert_eq!(tags, ["one", "two"]);
    assert_ne!(index.manifests[0].digest, index.manifests[1].digest);
    assert!(place.join("oci-layout").exists());
    for entry in fs::read_dir(place.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let digest = Digest::of(&fs::read(&path).unwrap());
        assert_eq!(digest.hex(), path.file_name().unwrap().to_str().unwrap());
    }
}

fn exported(registry: &Registry, all_stages: bool) -> CacheExport {
    let (reference, compression) = (registry.reference("cache:1"), CacheCompression::Gzip);
    CacheExport::Registry { reference, all_stages, compression }
}

/// The blobs that were asked for.
fn blobs_asked(registry: &Registry) -> usize {
    registry.take_log().iter().filter(|entry| entry.is_blob()).count()
}

#[test]
fn of_a_cache_in_a_registry_only_the_layers_that_are_wanted_are_fetched() {
    let (bench, registry) = (bench(), Registry::start());
    let ask = Ask { cache_to: vec![exported(&registry, true)], ..Ask::default() };
    let (first, told) = bench.build_with(DOCKERFILE, ask);
    assert_eq!(told.of("exporting cache to registry"), "DONE");
    registry.take_log();
    let cache_from = || vec![CacheImport::Registry(registry.reference("cache:1"))];
    let other = self::bench();
    let (second, told) =
        other.build_with(DOCKERFILE, Ask { cache_from: cache_from(), ..Ask::default() });
    assert_eq!((second, steps(&told)), (first, CACHED.map(str::to_owned).into()));
    // The config, and the layers of the image; none of the first stage.
    assert_eq!(blobs_asked(&registry), 3);
    // What is here is not asked for.
    let (_, told) =
        other.build_with(DOCKERFILE, Ask { cache_from: cache_from(), ..Ask::default() });
    assert_eq!(steps(&told), CACHED);
    assert_eq!(blobs_asked(&registry), 1);
    // Where the copy is another one, the stage's layers come from the cache too.
    let third = self::bench();
    let text = DOCKERFILE.replace("/z/", "/zz/");
    let (_, told) = third.build_with(&text, Ask { cache_from: cache_from(), ..Ask::default() });
    assert_eq!(told.of("[one 2/2] WORKDIR /x/y"), "CACHED");
    assert_eq!(told.of("[stage-1 1/2] COPY --from=one /x /zz/"), "DONE");
}

#[test]
fn an_image_carries_the_cache_of_its_layers_when_asked_to() {
    let (bench, registry) = (bench(), Registry::start());
    let name: Reference = registry.reference("app:1");
    let push = |bench: &Bench, ask: Ask| {
        bench.file("Dockerfile", DOCKERFILE);
        let output = BuildOutput::Image { names: vec![name.clone()], push: true };
        let context = ContextSource::Directory(bench.context());
        let (built, told) = bench.ask_for(context, ask, output);
        (built.unwrap_or_else(|error| panic!("{error}")).image.unwrap().manifest, told)
    };
    let inline = || Ask { cache_to: vec![CacheExport::Inline], ..Ask::default() };
    let (first, _) = push(&bench, inline());
    let other = self::bench();
    let cache_from = vec![CacheImport::Registry(name.clone())];
    let (second, told) = push(&other, Ask { cache_from, ..inline() });
    assert_eq!(steps(&told), CACHED);
    assert_eq!(second, first);
    // Without it the image is the one that it always was.
    assert_ne!(bench.build(DOCKERFILE).0, first);
    other.engine.check().unwrap();
}

#[test]
fn a_cache_that_is_not_there_is_told_of_and_the_build_goes_on() {
    let (bench, registry) = (bench(), Registry::start());
    let missing = registry.reference("cache:1");
    let cache_from =
        vec![CacheImport::Registry(missing.clone()), from(bench.root.path().join("nosuch"))];
    let (_, told) = bench.build_with(DOCKERFILE, Ask { cache_from, ..Ask::default() });
    let line = told.of(&format!("importing cache manifest from {}", missing.familiar()));
    let text = format!("failed to configure registry cache importer: {missing}: not found");
    assert_eq!(line, format!("ERROR: {text}"));
    assert_eq!(told.of("[stage-1 2/2] COPY b.txt /"), "DONE");
}

#[test]
fn a_layer_that_is_not_what_it_should_be_is_made_anew() {
    let bench = bench();
    let place = bench.root.path().join("cache");
    let cache_to = vec![local(place.clone(), false, CacheCompression::Uncompressed)];
    let (first, _) = bench.build_with(DOCKERFILE, Ask { cache_to, ..Ask::default() });
    let config = bench.config("app");
    let damaged = place.join("blobs/sha256").join(config.diff_ids()[1].0.hex());
    let mut bytes = fs::read(&damaged).unwrap();
    // A byte of the file's text.
    bytes[512] ^= 1;
    fs::remove_file(&damaged).unwrap();
    fs::write(&damaged, bytes).unwrap();
    let other = self::bench();
    let ask = Ask { cache_from: vec![from(place)], ..Ask::default() };
    let (second, told) = other.build_with(DOCKERFILE, ask);
    assert_eq!(second, first);
    assert_eq!(told.of("[stage-1 1/2] COPY --from=one /x /z/"), "CACHED");
    assert_eq!(told.of("[stage-1 2/2] COPY b.txt /"), "DONE");
    assert!(told.lines().iter().any(|line| line.contains("WARN: a layer of the cache")));
    other.engine.check().unwrap();
}
