//! Manifests, indexes and configs that are too large, too deep, of unknown kinds, or at odds with
//! each other.

use serde_json::{Value, json};
use varve_engine::PullPlatform;
use varve_testkit::{Fault, Image, On, Registry, image::Built};
use varve_types::{Descriptor, Digest, Kind, Platform, limits, media_type};

use crate::bench::{Bench, told};

/// Lets the registry answer every request for a manifest with this.
fn answer_with(registry: &Registry, media_type: &str, body: Vec<u8>) {
    let headers = vec![("Content-Type".to_owned(), media_type.to_owned())];
    registry.fail_always(On::Manifest, Fault::Respond(200, headers, body));
}

/// Pulls from a registry whose every manifest is this document.
#[track_caller]
fn refuses_document(media_type: &str, document: &Value, kind: Kind, text: &str) {
    let (registry, bench, good) = (Registry::start(), Bench::new(), Image::seeded(1).build());
    registry.push("app:1", &good);
    answer_with(&registry, media_type, document.to_string().into_bytes());
    bench.refuses(&registry, "app:1", kind, text);
    registry.heal();
    bench.pulls(&registry, "app:1");
    bench.has(&registry, "app:1", &good);
}

/// Pulls an image that registries may well have, but that is not to be used.
#[track_caller]
fn refuses_image(bad: &Built, kind: Kind, text: &str) {
    let (registry, bench, good) = (Registry::start(), Bench::new(), Image::seeded(1).build());
    registry.push("app:bad", bad);
    registry.push("app:1", &good);
    bench.refuses(&registry, "app:bad", kind, text);
    bench.pulls(&registry, "app:1");
    bench.refuses(&registry, "app:bad", kind, text);
    bench.has(&registry, "app:1", &good);
}

fn child(built: &Built) -> Descriptor {
    built.root.clone()
}

fn on(platform: &Platform, built: &Built) -> Descriptor {
    Descriptor { platform: Some(platform.clone()), ..built.root.clone() }
}

#[test]
fn schema_1_is_refused_by_name() {
    let text = "Docker image format v1 and manifest version 2, schema 1 are not supported: push the image again with a current tool";
    let document =
        json!({"schemaVersion": 1, "name": "app", "tag": "1", "fsLayers": [], "history": []});
    for media_type in [media_type::DOCKER_SCHEMA1, media_type::DOCKER_SCHEMA1_SIGNED, ""] {
        refuses_document(media_type, &document, Kind::Unsupported, text);
    }
}

#[test]
fn a_document_of_an_unknown_kind_is_refused_by_its_media_type() {
    let odd = "application/vnd.example\u{1b}[31m.v1+json";
    let document = json!({"schemaVersion": 2, "mediaType": odd, "config": {}, "layers": []});
    let shown = "application/vnd.example\\u{1b}[31m.v1+json";
    let text = format!("unsupported manifest media type \"{shown}\"");
    // Also when the registry says that it is a manifest: the store could not read it again.
    for announced in ["", "text/plain", media_type::OCI_MANIFEST] {
        refuses_document(announced, &document, Kind::Unsupported, &text);
    }
}

#[test]
fn a_document_that_is_no_manifest_at_all_is_refused() {
    refuses_document(
        "text/html",
        &json!("<html>"),
        Kind::Invalid,
        "error unmarshalling content: invalid type: string \"<html>\", expected a manifest at line 1 column 8",
    );
    refuses_document(
        media_type::OCI_MANIFEST,
        &json!({"schemaVersion": 2, "manifests": [], "config": {}, "layers": []}),
        Kind::Invalid,
        "manifest is ambiguous: it is both an image manifest and an index",
    );
    refuses_document(
        media_type::OCI_MANIFEST,
        &json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []}),
        Kind::Invalid,
        "manifest says it is \"application/vnd.oci.image.index.v1+json\", but was announced as \"application/vnd.oci.image.manifest.v1+json\"",
    );
    refuses_document(
        media_type::OCI_MANIFEST,
        &json!({"schemaVersion": 7}),
        Kind::Unsupported,
        "unsupported schema version 7",
    );
}

#[test]
fn charts_and_signatures_are_refused_by_their_media_types() {
    let artifact = |config: &str, layer: &str| {
        Image::seeded(3).build().change_manifest(|manifest| {
            manifest["config"]["mediaType"] = json!(config);
            manifest["layers"][0]["mediaType"] = json!(layer);
        })
    };
    let helm = artifact(
        "application/vnd.cncf.helm.config.v1+json",
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    );
    let text = "unsupported media type application/vnd.cncf.helm.config.v1+json";
    refuses_image(&helm, Kind::Unsupported, text);
    let cosign =
        artifact(media_type::OCI_CONFIG, "application/vnd.dev.cosign.simplesigning.v1+json");
    let text = "unsupported media type application/vnd.dev.cosign.simplesigning.v1+json";
    refuses_image(&cosign, Kind::Unsupported, text);
    let empty = artifact(media_type::OCI_EMPTY, "text/\u{1b}[2Jplain");
    refuses_image(
        &empty,
        Kind::Unsupported,
        "unsupported media type application/vnd.oci.empty.v1+json",
    );
    let control = artifact(media_type::OCI_CONFIG, "text/\u{1b}[2Jplain");
    refuses_image(&control, Kind::Unsupported, "unsupported media type text/\\x1b[2Jplain");
}

#[test]
fn a_manifest_above_the_limit_is_refused_whether_its_size_is_announced_or_not() {
    let (registry, bench, good) = (Registry::start(), Bench::new(), Image::seeded(1).build());
    registry.push("app:1", &good);
    let huge = vec![b' '; limits::MANIFEST_SIZE_BYTES_MAX as usize + 1];
    answer_with(&registry, media_type::OCI_MANIFEST, huge);
    let text = "manifest of registry REGISTRY is larger than the limit of 4194304";
    bench.refuses(&registry, "app:1", Kind::Exhausted, text);
    registry.heal();
    registry.fail_always(On::Manifest, Fault::Endless);
    bench.refuses(&registry, "app:1", Kind::Exhausted, text);
    registry.heal();
    bench.pulls(&registry, "app:1");
}

/// 100 MB are refused when they are promised, before one byte of them is asked for.
#[test]
fn a_config_above_the_limit_is_refused_unseen() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let size = 100_000_000;
    let bad = Image::seeded(1)
        .build()
        .change_manifest(|manifest| manifest["config"]["size"] = json!(size));
    registry.push("app:1", &bad);
    let text = "image config of 100000000 bytes is larger than the limit of 8388608 bytes";
    bench.refuses(&registry, "app:1", Kind::Exhausted, text);
    assert!(registry.log().iter().all(|entry| !entry.is_blob()), "a blob was asked for");
}

#[test]
fn a_config_of_another_size_than_promised_is_refused() {
    let built = Image::seeded(1).build();
    let (config, actual) = (built.blobs[0].0.digest, built.blobs[0].0.size);
    let short = built.change_manifest(|manifest| manifest["config"]["size"] = json!(actual - 1));
    let text = format!("expected {} bytes for blob {config}, registry offers {actual}", actual - 1);
    let (registry, bench) = (Registry::start(), Bench::new());
    registry.push("app:bad", &short);
    bench.refuses(&registry, "app:bad", Kind::Corrupt, &text);
    // The same lie about a config that is here already.
    registry.push("app:1", Image::seeded(1));
    bench.pulls(&registry, "app:1");
    let text = format!("config {config} has {actual} bytes, but {} were promised", actual - 1);
    bench.refuses(&registry, "app:bad", Kind::Corrupt, &text);
}

/// What a lying manifest says of a layer that is here must not get into the image table.
#[test]
fn a_wrong_size_of_a_layer_that_is_here_is_refused() {
    let (registry, bench, good) = (Registry::start(), Bench::new(), Image::seeded(1).build());
    registry.push("app:1", &good);
    let layer = &good.images[0].layers[0];
    let bad = good
        .clone()
        .change_manifest(|manifest| manifest["layers"][0]["size"] = json!(layer.size + 1));
    registry.push("app:bad", &bad);
    bench.pulls(&registry, "app:1");
    let text = format!(
        "expected {} bytes for blob {}, registry offers {}",
        layer.size + 1,
        layer.digest,
        layer.size
    );
    bench.refuses(&registry, "app:bad", Kind::Corrupt, &text);
}

#[test]
fn a_config_that_is_not_one_is_refused() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let bad = Image::seeded(1).build().change_config(|config| *config = json!(["no", "config"]));
    registry.push("app:1", &bad);
    let error = bench.pull(&registry.reference("app:1")).unwrap_err();
    assert!(told(&error, &registry).starts_with("image config is not valid: "), "{error}");
    assert_eq!(error.kind(), Kind::Invalid);
    bench.check();
}

#[test]
fn more_diff_ids_than_layers_or_fewer_are_refused() {
    let image = || Image::seeded(1).layers(2).build();
    let fewer = image().change_config(|config| {
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
    });
    let text = "image config lists 1 layers, but the manifest has 2";
    refuses_image(&fewer, Kind::Corrupt, text);
    let more = image().change_config(|config| {
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(json!(Digest::of(b"x")));
    });
    let text = "image config lists 3 layers, but the manifest has 2";
    refuses_image(&more, Kind::Corrupt, text);
    let none = image().change_config(|config| config["rootfs"] = json!({"type": "layers"}));
    let text = "image config lists 0 layers, but the manifest has 2";
    refuses_image(&none, Kind::Corrupt, text);
}

#[test]
fn too_many_layers_are_refused_before_any_is_fetched() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let bad = Image::seeded(1).build().change_manifest(|manifest| {
        manifest["layers"] = json!(vec![manifest["layers"][0].clone(); 501]);
    });
    registry.push("app:1", &bad);
    let text = "manifest has 501 entries, more than the limit of 500";
    bench.refuses(&registry, "app:1", Kind::Exhausted, text);
}

#[test]
fn an_index_of_ten_thousand_entries_is_refused() {
    let built = Image::seeded(1).build();
    let entry = json!(child(&built));
    let bad = Built::index_of(vec![(child(&built), built)])
        .change_manifest(|index| index["manifests"] = json!(vec![entry; 10_000]));
    let text = "manifest has 10000 entries, more than the limit of 4096";
    refuses_image(&bad, Kind::Exhausted, text);
}

fn nested(depth: usize) -> Built {
    let image = Image::seeded(9).platform(&Platform::host().to_string()).build();
    let mut index = Built::index_of(vec![(on(&Platform::host(), &image), image)]);
    for _ in 1..depth {
        index = Built::index_of(vec![(child(&index), index)]);
    }
    index
}

/// An index cannot hold itself, since nobody can know its digest beforehand; depth is what is
/// left of loops.
#[test]
fn indexes_inside_indexes_are_followed_to_the_limit_and_no_further() {
    let (registry, bench) = (Registry::start(), Bench::new());
    registry.push("app:4", nested(4));
    registry.push("app:5", nested(5));
    bench.pulls(&registry, "app:4");
    let innermost = nested(1).digest();
    let text = format!("index {innermost} is nested more than 4 levels deep");
    bench.refuses(&registry, "app:5", Kind::Exhausted, &text);
    let all = PullPlatform::All;
    bench.refuses_for(&registry, "app:5", all.clone(), Kind::Exhausted, &text);
    bench.pull_for(&registry.reference("app:4"), all).unwrap();
    bench.check();
}

/// A registry that answers each question for a manifest with the same index makes no loop: the
/// digest is not the one that was asked for.
#[test]
fn an_index_that_seems_to_hold_itself_is_refused() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let index = nested(2);
    registry.push("app:1", &index);
    let (_, bytes) = index.manifests.last().unwrap();
    answer_with(&registry, media_type::OCI_INDEX, bytes.clone());
    let text = format!("manifest verification failed for digest {}", nested(1).digest());
    bench.refuses(&registry, "app:1", Kind::Corrupt, &text);
    registry.heal();
    bench.pulls(&registry, "app:1");
}

/// Few bytes can lead to very many manifests, so those of nested indexes count as well.
#[test]
fn the_manifests_that_an_index_leads_to_are_counted_in_all() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let image = Image::seeded(9).platform(&Platform::host().to_string()).build();
    let of = |inner: Built, count: usize| {
        Built::index_of(vec![(child(&inner), inner)]).change_manifest(|index| {
            let manifests = index["manifests"].as_array_mut().unwrap();
            let absent = |at: usize| {
                json!(Descriptor::of(media_type::OCI_MANIFEST, at.to_string().as_bytes()))
            };
            manifests.extend((1..count).map(absent));
        })
    };
    registry.push("app:1", of(of(image, 2000), 2097));
    let text = "index leads to more than 4096 manifests";
    bench.refuses_for(&registry, "app:1", PullPlatform::All, Kind::Exhausted, text);
}

#[test]
fn a_damaged_config_in_the_store_is_fetched_again() {
    let (registry, bench, built) = (Registry::start(), Bench::new(), Image::seeded(1).build());
    registry.push("app:1", &built);
    bench.pulls(&registry, "app:1");
    for digest in [built.id().0, built.digest(), built.images[0].layers[0].digest] {
        let path = bench.root().join("blobs/sha256").join(digest.hex());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"garbage").unwrap();
        assert_ne!(bench.engine.check().unwrap(), Vec::new());
        bench.pulls(&registry, "app:1");
    }
}

/// A tag may move at any moment; what was resolved once is pulled to the end.
#[test]
fn a_tag_that_moves_during_a_pull_does_not_mix_two_images() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let (one, two) = (Image::seeded(1).build(), Image::seeded(2).build());
    registry.push("app:1", &one);
    registry.fail(On::Blob, Fault::Delay(std::time::Duration::from_millis(300)));
    std::thread::scope(|scope| {
        let pull = scope.spawn(|| bench.pull(&registry.reference("app:1")));
        // The tag has been resolved when blobs are asked for.
        while !registry.log().iter().any(varve_testkit::Entry::is_blob) {
            std::thread::yield_now();
        }
        registry.push("app:1", &two);
        pull.join().unwrap().unwrap();
    });
    bench.has(&registry, "app:1", &one);
    bench.check();
    bench.pulls(&registry, "app:1");
    bench.has(&registry, "app:1", &two);
}

/// Docker shows the first reason of a refused pull, and all of a refused push.
#[test]
fn a_refused_pull_tells_the_first_reason() {
    let (registry, bench) = (Registry::start(), Bench::new());
    registry.push("app:1", Image::seeded(1).build());
    let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"},{"code":"UNKNOWN","message":"and more"}]}"#;
    registry.fail_always(On::Manifest, Fault::Respond(403, Vec::new(), body.to_vec()));
    bench.refuses(&registry, "app:1", Kind::Denied, "toomanyrequests: slow down");
}
