//! Which of an index's images is pulled, and what is kept beside it.

use serde_json::json;
use varve_engine::{PullPlatform, Remove};
use varve_testkit::{Image, Registry, image::Built};
use varve_types::{Descriptor, Event, Kind, Platform, media_type};

use crate::bench::{Bench, told};

fn only(platform: &str) -> PullPlatform {
    PullPlatform::Only(platform.parse().unwrap())
}

/// Two platforms that this machine is not, and its own in between.
fn index() -> Built {
    let host = Platform::host().to_string();
    Image::index(&[
        Image::seeded(1).platform("linux/s390x"),
        Image::seeded(2).platform(&host),
        Image::seeded(3).platform("linux/riscv64"),
    ])
}

/// The provenance that buildkit puts beside an image: config and layer are no file system.
fn attestation(of: &Descriptor) -> (Descriptor, Built) {
    let built = Image::seeded(20)
        .platform("unknown/unknown")
        .build()
        .replace_layer(0, br#"{"_type":"https://in-toto.io/Statement/v0.1"}"#.to_vec())
        .change_manifest(|manifest| {
            manifest["layers"][0]["mediaType"] = json!("application/vnd.in-toto+json");
        });
    let mut descriptor = built.root.clone();
    descriptor.platform = Some("unknown/unknown".parse().unwrap());
    descriptor
        .annotations
        .insert("vnd.docker.reference.type".into(), "attestation-manifest".into());
    descriptor.annotations.insert("vnd.docker.reference.digest".into(), of.digest.to_string());
    (descriptor, built)
}

fn attested() -> Built {
    let mut children = Vec::new();
    for (seed, platform) in [(1, Platform::host().to_string()), (2, "linux/s390x".to_owned())] {
        let built = Image::seeded(seed).platform(&platform).build();
        let platform = Some(platform.parse().unwrap());
        children.push((Descriptor { platform, ..built.root.clone() }, built));
    }
    let more = attestation(&children[0].0);
    children.push(more);
    Built::index_of(children)
}

#[test]
fn the_hosts_own_image_is_pulled_and_the_index_kept_beside_it() {
    let (registry, bench, index) = (Registry::start(), Bench::new(), index());
    registry.push("app:1", &index);
    bench.pulls(&registry, "app:1");
    let facts = bench.engine.inspect(&registry.reference("app:1").to_string(), None).unwrap();
    assert_eq!(facts.id, index.images[1].id);
    let own = index.images[1].manifest.digest;
    let host = registry.host();
    assert_eq!(
        bench.names(),
        [format!("{host}/app:1 {own}"), format!("{host}/app@{} {own}", index.digest())]
    );
    assert!(bench.engine.store().blob_size(&index.digest()).unwrap().is_some());
    assert!(bench.engine.store().blob_size(&index.images[0].manifest.digest).unwrap().is_none());
}

/// A name whose image is here is up to date, though it comes to stand for the whole index.
#[test]
fn a_name_is_up_to_date_while_its_image_is_the_same() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let host = Platform::host().to_string();
    let index =
        Image::index(&[Image::seeded(1).platform("linux/s390x"), Image::seeded(2).platform(&host)]);
    registry.push("app:1", &index);
    let newer = |name: &str, platform| {
        bench.heard.take();
        bench.pull_for(&registry.reference(name), platform).unwrap();
        let is_newer = |event: Event| match event {
            Event::PullStatus { newer, .. } => Some(newer),
            _ => None,
        };
        bench.heard.take().into_iter().find_map(is_newer)
    };
    assert_eq!(newer("app:1", PullPlatform::Host), Some(true));
    assert_eq!(newer("app:1", PullPlatform::Host), Some(false));
    registry.push("app:2", &index);
    assert_eq!(newer("app:2", only("linux/s390x")), Some(true));
    assert_eq!(newer("app:1", PullPlatform::Host), Some(false));
    assert_eq!(newer("app:2", PullPlatform::Host), Some(true));
    bench.check();
}

#[test]
fn a_platform_that_an_index_has_not_is_refused_in_dockers_words() {
    let (registry, bench, index) = (Registry::start(), Bench::new(), index());
    registry.push("app:1", &index);
    let text = "no matching manifest for linux/mips64le in the manifest list entries";
    bench.refuses_for(&registry, "app:1", only("linux/mips64le"), Kind::NotFound, text);
    bench.pull_for(&registry.reference("app:1"), only("linux/s390x")).unwrap();
    bench.check();
}

#[test]
fn an_index_without_anything_for_the_host_is_refused_in_dockers_words() {
    let (registry, bench) = (Registry::start(), Bench::new());
    registry.push("app:1", Image::index(&[Image::seeded(1).platform("linux/s390x")]));
    let host = Platform::host();
    let text = format!("no matching manifest for {host} in the manifest list entries");
    bench.refuses(&registry, "app:1", Kind::NotFound, &text);
    // Attestations are for no platform.
    let image = Image::seeded(1).build();
    let only_attestations = Built::index_of(vec![attestation(&image.root)]);
    registry.push("app:1", &only_attestations);
    bench.refuses(&registry, "app:1", Kind::NotFound, &text);
    bench.refuses_for(&registry, "app:1", PullPlatform::All, Kind::NotFound, &text);
    registry.push("app:1", Built::index_of(Vec::new()));
    bench.refuses(&registry, "app:1", Kind::NotFound, &text);
}

/// Docker keeps such an image and ends with an error; so do we.
#[test]
fn a_single_image_of_another_platform_is_kept_and_told() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let built = Image::seeded(1).platform("linux/s390x").build();
    registry.push("app:1", &built);
    let error = bench.pull_for(&registry.reference("app:1"), only("linux/riscv64")).unwrap_err();
    assert_eq!(
        told(&error, &registry),
        "image with reference REGISTRY/app:1 was found but does not match the specified platform: wanted linux/riscv64, actual: linux/s390x"
    );
    assert_eq!(error.kind(), Kind::NotFound);
    bench.has(&registry, "app:1", &built);
    bench.check();
    let odd = built.change_config(|config| config["architecture"] = json!("\u{1b}[31m"));
    registry.push("app:odd", &odd);
    let error = bench.pull_for(&registry.reference("app:odd"), only("linux/riscv64")).unwrap_err();
    assert!(error.to_string().ends_with("actual: linux/\\x1b[31m"), "{error}");
}

#[test]
fn windows_images_are_refused_unless_asked_for() {
    let (registry, bench) = (Registry::start(), Bench::new());
    registry.push("app:1", Image::seeded(1).platform("windows/amd64"));
    let text = "image operating system \"windows\" cannot be used on this platform: operating system is not supported";
    bench.refuses(&registry, "app:1", Kind::Unsupported, text);
    bench.pull_for(&registry.reference("app:1"), only("windows/amd64")).unwrap();
    bench.check();
}

/// All platforms and the attestations come, go out again under the same digest, and come back.
#[test]
fn all_platforms_are_pulled_and_pushed_whole() {
    let (registry, bench, index) = (Registry::start(), Bench::new(), attested());
    registry.push("app:1", &index);
    let name = registry.reference("app:1");
    bench.pull_for(&name, PullPlatform::All).unwrap();
    bench.check();
    let host = registry.host();
    let digest = index.digest();
    assert_eq!(
        bench.names(),
        [format!("{host}/app:1 {digest}"), format!("{host}/app@{digest} {digest}")]
    );
    for (descriptor, _) in index.blobs.iter().chain(&index.manifests) {
        let size = bench.engine.store().blob_size(&descriptor.digest).unwrap();
        assert_eq!(size, Some(descriptor.size), "{descriptor:?}");
    }
    let other = Registry::start();
    let target = other.reference("copy:1");
    bench.engine.tag(&bench.ctx(), &name.to_string(), &target.to_string()).unwrap();
    bench.pushes(&other, "copy:1");
    let there = Bench::new();
    there.pull_for(&target, PullPlatform::All).unwrap();
    there.check();
    assert!(there.names()[0].ends_with(&digest.to_string()));
    for (descriptor, bytes) in index.blobs.iter().chain(&index.manifests) {
        let path = there.root().join("blobs/sha256").join(descriptor.digest.hex());
        assert!(std::fs::read(path).unwrap() == *bytes, "{descriptor:?} is not the same");
    }
}

/// The digest that another platform has there is none of the image that is listed here.
#[test]
fn one_platform_of_a_whole_index_is_pushed_without_becoming_a_name_of_the_image() {
    let (registry, bench, index) = (Registry::start(), Bench::new(), attested());
    registry.push("app:1", &index);
    let name = registry.reference("app:1");
    bench.pull_for(&name, PullPlatform::All).unwrap();
    let names = bench.names();
    let push = |platform: &Platform| {
        let platform = Some(platform);
        let text = &name.to_string();
        let request = varve_engine::Push {
            reference: &name,
            text,
            all_tags: false,
            platform,
            compression: None,
        };
        bench.engine.push(&bench.ctx(), &request).unwrap();
        bench.check();
    };
    push(&"linux/s390x".parse().unwrap());
    assert_eq!(bench.names(), names);
    push(&Platform::host());
    assert_eq!(bench.names().len(), names.len() + 1);
}

/// A pull of all platforms that fails half-way leaves no name and can be repeated.
#[test]
fn all_platforms_or_none() {
    use varve_testkit::{Fault, On};
    let (registry, bench, index) = (Registry::start(), Bench::new(), attested());
    registry.push("app:1", &index);
    let layer = index.images[1].layers[0].digest;
    let on = On::Path("GET", format!("/blobs/{layer}"));
    registry.fail_always(on, Fault::status(500));
    let text = "received unexpected HTTP status: 500 Internal Server Error";
    bench.refuses_for(&registry, "app:1", PullPlatform::All, Kind::Unavailable, text);
    registry.heal();
    registry.take_log();
    bench.pull_for(&registry.reference("app:1"), PullPlatform::All).unwrap();
    bench.check();
    let again = index.images[0].layers[0].digest;
    assert!(
        registry.log().iter().all(|entry| !entry.path.ends_with(&again.to_string())),
        "a layer that was here was fetched again"
    );
}

#[test]
fn a_schema_type_in_an_index_that_nobody_knows_is_passed_over() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let host = Platform::host();
    let image = Image::seeded(1).platform(&host.to_string()).build();
    let mut odd = Descriptor::of("application/vnd.example.thing", b"thing");
    odd.platform = Some("linux/s390x".parse().unwrap());
    let own = Descriptor { platform: Some(host), ..image.root.clone() };
    let index = Built::index_of(vec![(own, image.clone())])
        .change_manifest(|index| index["manifests"].as_array_mut().unwrap().insert(0, json!(odd)));
    assert_eq!(index.root.media_type, media_type::OCI_INDEX);
    registry.push("app:1", &index);
    bench.pulls(&registry, "app:1");
}

/// All platforms lie under one digest: taking one away would take the others' name away.
#[test]
fn one_platform_of_a_whole_index_is_not_removed_alone() {
    let (registry, bench) = (Registry::start(), Bench::new());
    registry.push("app:1", attested());
    let name = registry.reference("app:1");
    bench.pull_for(&name, PullPlatform::All).unwrap();
    let (names, image) = (bench.names(), name.to_string());
    for force in [false, true] {
        let platforms = [Platform::host()];
        let request = Remove { image: &image, force, keep_parents: false, platforms: &platforms };
        let error = bench.engine.remove(&request).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains("one platform of"), "{error}");
        assert!(error.hint().is_some());
    }
    assert_eq!(bench.names(), names);
    bench.check();
}
