//! Blobs whose bytes are wrong, too few, too many, late, or never end.

use std::time::Duration;

use varve_engine::PullPlatform;
use varve_testkit::{Fault, Image, On, Registry};
use varve_types::Kind;

use crate::bench::Bench;

fn image() -> Image {
    Image::seeded(1).layer_size_bytes(600 << 10)
}

/// Where a layer's blob is fetched.
fn get(digest: &varve_types::Digest) -> On {
    On::Path("GET", format!("/blobs/{digest}"))
}

#[test]
fn a_layer_of_another_digest_is_refused_in_dockers_words() {
    let (registry, bench, built) = (Registry::start(), Bench::new(), image().build());
    registry.push("app:1", &built);
    let layer = &built.images[0].layers[0];
    registry.fail_always(get(&layer.digest), Fault::Corrupt);
    let error = bench.pull(&registry.reference("app:1")).unwrap_err();
    let docker = format!("filesystem layer verification failed for digest {}", layer.digest);
    assert_eq!((error.to_string(), error.kind()), (docker, Kind::Corrupt));
    assert_eq!(bench.names(), Vec::<String>::new());
    assert_eq!(bench.arriving(), Vec::<u64>::new());
    bench.check();
    registry.heal();
    bench.pulls(&registry, "app:1");
    bench.has(&registry, "app:1", &built);
}

#[test]
fn a_layer_of_another_size_is_refused_before_its_bytes_are_taken() {
    let (registry, bench, built) = (Registry::start(), Bench::new(), image().build());
    registry.push("app:1", &built);
    let layer = &built.images[0].layers[0];
    for (fault, actual) in
        [(Fault::Shorten(1000), 1000), (Fault::Lengthen(b"more".to_vec()), layer.size + 4)]
    {
        registry.fail_always(get(&layer.digest), fault);
        let text = format!(
            "expected {} bytes for blob {}, registry offers {actual}",
            layer.size, layer.digest
        );
        bench.refuses(&registry, "app:1", Kind::Corrupt, &text);
        registry.heal();
    }
    bench.pulls(&registry, "app:1");
}

/// A chunked body announces no size, so only counting can end it.
#[test]
fn an_endless_layer_ends_at_the_promised_size() {
    let (registry, bench, built) = (Registry::start(), Bench::new(), image().build());
    registry.push("app:1", &built);
    let layer = &built.images[0].layers[0];
    registry.fail_always(get(&layer.digest), Fault::Endless);
    let text = format!(
        "expected {} bytes for blob {}, registry offers {}",
        layer.size,
        layer.digest,
        layer.size + 1
    );
    bench.refuses_for(&registry, "app:1", PullPlatform::Host, Kind::Corrupt, &text);
    registry.heal();
    bench.pulls(&registry, "app:1");
    bench.has(&registry, "app:1", &built);
}

#[test]
fn an_endless_config_ends_at_the_promised_size() {
    let (registry, bench, built) = (Registry::start(), Bench::new(), image().build());
    registry.push("app:1", &built);
    let (config, _) = &built.blobs[0];
    registry.fail_always(get(&config.digest), Fault::Endless);
    let text = format!(
        "expected {} bytes for blob {}, registry offers {}",
        config.size,
        config.digest,
        config.size + 1
    );
    bench.refuses(&registry, "app:1", Kind::Corrupt, &text);
    registry.heal();
    bench.pulls(&registry, "app:1");
}

#[test]
fn a_config_of_another_digest_is_refused() {
    let (registry, bench, built) = (Registry::start(), Bench::new(), image().build());
    registry.push("app:1", &built);
    let (config, bytes) = &built.blobs[0];
    // Still JSON: a digit of a diff ID is another one.
    let altered = String::from_utf8(bytes.clone()).unwrap().replace("layer 0", "layer 9");
    let fault = Fault::Respond(200, Vec::new(), altered.into_bytes());
    registry.fail_always(get(&config.digest), fault);
    let text = format!("manifest verification failed for digest {}", config.digest);
    bench.refuses(&registry, "app:1", Kind::Corrupt, &text);
    registry.heal();
    bench.pulls(&registry, "app:1");
}

#[test]
fn a_manifest_of_another_digest_is_refused_in_dockers_words() {
    let (registry, bench, built) = (Registry::start(), Bench::new(), image().build());
    registry.push("app:1", &built);
    let text = format!("manifest verification failed for digest {}", built.digest());
    let (_, bytes) = &built.manifests[0];
    let altered = String::from_utf8(bytes.clone()).unwrap().replace("application", "applicatiom");
    let headers = vec![("Docker-Content-Digest".to_owned(), built.digest().to_string())];
    for name in ["app:1".to_owned(), format!("app@{}", built.digest())] {
        let fault = Fault::Respond(200, headers.clone(), altered.clone().into_bytes());
        registry.fail_always(On::Manifest, fault);
        bench.refuses(&registry, &name, Kind::Corrupt, &text);
        registry.heal();
        bench.pulls(&registry, &name);
    }
}

/// What arrived before the end of the connection is on disk, and only the rest is asked for.
#[test]
fn a_truncated_layer_is_kept_and_resumed_by_another_engine() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let built = image().build();
    registry.push("app:1", &built);
    let layer = &built.images[0].layers[0];
    registry.fail(get(&layer.digest), Fault::CutBody(300 << 10));
    registry.fail_always_after(1, get(&layer.digest), Fault::CutBody(0));
    let url = format!("Get \"http://REGISTRY/v2/app/blobs/{}\": unexpected EOF", layer.digest);
    bench.refuses_for(&registry, "app:1", PullPlatform::Host, Kind::Unavailable, &url);
    assert_eq!(bench.arriving(), [300 << 10]);
    registry.heal();
    registry.take_log();
    let other = bench.beside();
    other.pulls(&registry, "app:1");
    other.has(&registry, "app:1", &built);
    let path = format!("/v2/app/blobs/{}", layer.digest);
    let gets: Vec<_> = registry.log().into_iter().filter(|entry| entry.path == path).collect();
    assert_eq!(gets.len(), 1);
    assert_eq!(gets[0].range.as_deref(), Some("bytes=307200-"));
    assert_eq!(gets[0].bytes_sent, layer.size - (300 << 10));
    assert_eq!(bench.arriving(), Vec::<u64>::new());
}

/// Bytes that were kept from a bad registry must not spoil the good one's.
#[test]
fn kept_bytes_that_are_wrong_are_fetched_again() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let built = image().build();
    registry.push("app:1", &built);
    let layer = &built.images[0].layers[0];
    let mut wrong = built.blobs[1].1.clone();
    wrong[500] ^= 1;
    let headers = vec![("Content-Length".to_owned(), layer.size.to_string())];
    registry.fail(get(&layer.digest), Fault::CutBody(200 << 10));
    registry.fail(get(&layer.digest), Fault::Respond(200, headers, wrong));
    registry.fail_always_after(1, get(&layer.digest), Fault::Hangup);
    bench.pull(&registry.reference("app:1")).unwrap_err();
    assert_eq!(bench.arriving(), [200 << 10]);
    registry.heal();
    bench.pulls(&registry, "app:1");
    bench.has(&registry, "app:1", &built);
}

#[test]
fn a_registry_that_cannot_continue_is_read_from_the_beginning() {
    let faults = [Fault::IgnoreRange, Fault::WrongRange(1000), Fault::status(416)];
    for fault in faults {
        let (registry, bench) = (Registry::start(), Bench::new());
        let built = image().build();
        registry.push("app:1", &built);
        let layer = &built.images[0].layers[0];
        registry.fail(get(&layer.digest), Fault::CutBody(300 << 10));
        registry.fail_always_after(1, get(&layer.digest), Fault::Hangup);
        bench.pull(&registry.reference("app:1")).unwrap_err();
        assert_eq!(bench.arriving(), [300 << 10]);
        registry.heal();
        // Once is for the request that continues.
        registry.fail(get(&layer.digest), fault.clone());
        if let Err(error) = bench.pull(&registry.reference("app:1")) {
            panic!("{fault:?}: {}", crate::bench::told(&error, &registry));
        }
        bench.check();
        bench.has(&registry, "app:1", &built);
    }
}

#[test]
fn a_stalled_layer_ends_with_the_time_that_was_waited() {
    let (registry, bench) = (Registry::start(), Bench::hasty());
    let built = image().build();
    registry.push("app:1", &built);
    let layer = &built.images[0].layers[0];
    registry.fail_always(get(&layer.digest), Fault::Stall(1000, Duration::from_secs(30)));
    let text =
        format!("Get \"http://REGISTRY/v2/app/blobs/{}\": no bytes for 0 seconds", layer.digest);
    bench.refuses_for(&registry, "app:1", PullPlatform::Host, Kind::Unavailable, &text);
    registry.heal();
    bench.beside().pulls(&registry, "app:1");
}

#[test]
fn an_answer_that_never_begins_ends_with_the_time_that_was_waited() {
    let (registry, bench) = (Registry::start(), Bench::hasty());
    let built = image().build();
    registry.push("app:1", &built);
    registry.fail_always(On::Manifest, Fault::Delay(Duration::from_secs(30)));
    let text = "Head \"http://REGISTRY/v2/app/manifests/1\": no bytes for 0 seconds";
    bench.refuses(&registry, "app:1", Kind::Unavailable, text);
    registry.heal();
    bench.beside().pulls(&registry, "app:1");
}

#[test]
fn server_errors_are_tried_again_and_then_told() {
    let (registry, bench, built) = (Registry::start(), Bench::new(), image().build());
    registry.push("app:1", &built);
    registry.fail_times(On::Blob, Fault::status(503), 2);
    bench.pulls(&registry, "app:1");
    assert_eq!(bench.pauses.lock().unwrap().len(), 2);
    let (bench, layer) = (Bench::new(), &built.images[0].layers[0]);
    for (status, phrase) in [(500, "Internal Server Error"), (502, "Bad Gateway")] {
        registry.fail_always(get(&layer.digest), Fault::status(status));
        let text = format!("received unexpected HTTP status: {status} {phrase}");
        bench.refuses(&registry, "app:1", Kind::Unavailable, &text);
        registry.heal();
    }
    registry.fail_always(On::Manifest, Fault::status(500));
    let text = "received unexpected HTTP status: 500 Internal Server Error";
    bench.refuses(&registry, "app:1", Kind::Unavailable, text);
    registry.heal();
    bench.pulls(&registry, "app:1");
}

#[test]
fn a_blob_that_is_not_there_is_named() {
    let (registry, bench, built) = (Registry::start(), Bench::new(), image().build());
    registry.push("app:1", &built);
    let layer = &built.images[0].layers[0];
    let body = br#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#;
    registry.fail_always(get(&layer.digest), Fault::Respond(404, Vec::new(), body.to_vec()));
    let text = "blob unknown: blob unknown to registry";
    bench.refuses(&registry, "app:1", Kind::NotFound, text);
}
