//! What leaves a store, and what happens when a registry does not take it.

use std::{io::Cursor, time::Duration};

use serde_json::json;
use varve_engine::{Import, ImportSource, PushCompression};
use varve_fs::tar;
use varve_testkit::{Entry, Fault, Image, On, Registry};
use varve_types::{Event, Kind, ManifestKind};

use crate::bench::{Bench, told};

/// Imports a layer of this many bytes that do not compress, as `name`.
pub(crate) fn import(bench: &Bench, registry: &Registry, name: &str, size_bytes: usize) {
    let mut state = 1u64;
    let noise: Vec<u8> = (0..size_bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    let mut writer = tar::Writer::new(Vec::new());
    let entry = tar::NewEntry::file(b"noise", size_bytes as u64);
    writer.append(&entry, &mut &*noise).unwrap();
    let mut tar = Cursor::new(writer.finish().unwrap());
    let reference = registry.reference(name);
    bench
        .engine
        .import(
            &bench.ctx(),
            Import {
                source: ImportSource::Stream(&mut tar),
                reference: Some(&reference),
                changes: &[],
                message: None,
                platform: None,
            },
        )
        .unwrap();
}

fn tag(bench: &Bench, source: &str, target: &str) {
    bench.engine.tag(&bench.ctx(), source, target).unwrap();
}

/// What was sent to a registry: methods and how many bytes, without questions.
fn sent(log: &[Entry]) -> Vec<(String, u64)> {
    log.iter()
        .filter(|entry| !matches!(entry.method.as_str(), "GET" | "HEAD"))
        .map(|entry| (entry.method.clone(), entry.bytes_received))
        .collect()
}

/// The digests that a push reported.
fn digests(bench: &Bench) -> Vec<varve_types::Digest> {
    let pushed = |event| match event {
        Event::Pushed { digest, .. } => Some(digest),
        _ => None,
    };
    bench.heard.take().into_iter().filter_map(pushed).collect()
}

#[test]
fn what_was_pulled_is_pushed_bit_for_bit() {
    for image in [
        Image::seeded(1).layers(2),
        Image::seeded(2).docker(),
        Image::seeded(3).zstd(),
        Image::seeded(4).plain(),
    ] {
        let (from, to, bench) = (Registry::start(), Registry::start(), Bench::new());
        let built = image.annotation("some", "thing").build();
        from.push("app:1", &built);
        bench.pulls(&from, "app:1");
        tag(&bench, &from.reference("app:1").to_string(), &to.reference("copy:1").to_string());
        bench.pushes(&to, "copy:1");
        assert_eq!(digests(&bench), [built.digest()]);
        let there = Bench::new();
        there.pulls(&to, "copy:1");
        for (descriptor, bytes) in built.blobs.iter().chain(&built.manifests) {
            let path = there.root().join("blobs/sha256").join(descriptor.digest.hex());
            assert!(std::fs::read(path).unwrap() == *bytes, "{descriptor:?} is not the same");
        }
        // There is nothing more to send.
        to.take_log();
        bench.pushes(&to, "copy:1");
        let sent = sent(&to.log());
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert_eq!(sent[0].0, "PUT");
    }
}

/// Plain layers are compressed on the way; two stores that make the same image make the same
/// manifest of it, and neither sends a layer twice.
#[test]
fn plain_layers_go_out_compressed_and_always_the_same() {
    let registry = Registry::start();
    let (one, two) = (Bench::new(), Bench::new());
    for bench in [&one, &two] {
        import(bench, &registry, "made:1", 300 << 10);
    }
    let first = one.names();
    one.pushes(&registry, "made:1");
    registry.take_log();
    one.heard.take();
    one.pushes(&registry, "made:1");
    assert_eq!(sent(&registry.take_log()).len(), 1, "a second push sends its tag only");
    let [digest] = digests(&one)[..] else { panic!("one tag was pushed") };
    two.pushes(&registry, "made:1");
    assert_eq!(sent(&registry.take_log()).len(), 1, "another store sends its tag only");
    assert_eq!(digests(&two), [digest]);
    // The name keeps its first manifest; the second one is listed by digest.
    let names = one.names();
    assert!(names.contains(&first[0]), "{names:?} lacks {first:?}");
    let by_digest = format!("{}/made@{digest} {digest}", registry.host());
    assert!(names.contains(&by_digest), "{names:?} lacks {by_digest}");
    // Who pulls it has the same image.
    let three = Bench::new();
    three.pulls(&registry, "made:1");
    let id = |bench: &Bench| {
        bench.engine.inspect(&registry.reference("made:1").to_string(), None).unwrap().id
    };
    assert_eq!(id(&three), id(&one));
    // And who made it finds it present.
    registry.take_log();
    one.pulls(&registry, "made:1");
    assert!(registry.log().iter().all(|entry| !entry.is_blob()), "a blob was fetched");
}

/// A compression that is asked for is used, whatever was used before; both manifests are known.
#[test]
fn plain_layers_go_out_in_zstd_when_that_is_asked_for() {
    let (registry, bench) = (Registry::start(), Bench::new());
    import(&bench, &registry, "made:1", 300 << 10);
    bench.pushes(&registry, "made:1");
    let gzip = digests(&bench);
    let push = |compression| {
        bench.push_as(&registry.reference("made:1"), compression).unwrap();
        bench.check();
        let there = Bench::new();
        there.pulls(&registry, "made:1");
        let names = there.engine.store().names().unwrap();
        let target = names.rows[0].target.digest;
        let Ok(ManifestKind::Manifest(manifest)) = there.engine.store().manifest(&target) else {
            panic!("an image was pushed");
        };
        (target, manifest.layers[0].media_type.clone())
    };
    let (zstd, media_type) = push(Some(PushCompression::Zstd));
    assert_eq!(media_type, varve_types::media_type::OCI_LAYER_ZSTD);
    assert_eq!(push(Some(PushCompression::Zstd)).0, zstd);
    let known = bench.names();
    for digest in [&zstd, &gzip[0]] {
        let by_digest = format!("{}/made@{digest} {digest}", registry.host());
        assert!(known.contains(&by_digest), "{known:?} lacks {by_digest}");
    }
    assert_eq!(push(Some(PushCompression::Gzip)).0, gzip[0], "the same bytes as at first");
}

#[test]
fn a_layer_that_repeats_is_sent_once() {
    let (from, to, bench) = (Registry::start(), Registry::start(), Bench::new());
    let built = Image::seeded(1)
        .build()
        .change_config(|config| {
            let diff_id = config["rootfs"]["diff_ids"][0].clone();
            config["rootfs"]["diff_ids"] = json!([diff_id, diff_id, diff_id]);
        })
        .change_manifest(|manifest| {
            let layer = manifest["layers"][0].clone();
            manifest["layers"] = json!([layer, layer, layer]);
        });
    from.push("app:1", &built);
    bench.pulls(&from, "app:1");
    tag(&bench, &from.reference("app:1").to_string(), &to.reference("copy:1").to_string());
    bench.pushes(&to, "copy:1");
    assert_eq!(digests(&bench), [built.digest()]);
    let begun = to.log().iter().filter(|entry| entry.method == "POST").count();
    assert_eq!(begun, 2, "one layer and one config");
}

#[test]
fn a_layer_of_a_neighbour_is_mounted() {
    let (registry, bench, built) =
        (Registry::start(), Bench::new(), Image::seeded(1).layers(2).build());
    registry.push("one/app:1", &built);
    bench.pulls(&registry, "one/app:1");
    let (source, target) = (registry.reference("one/app:1"), registry.reference("two/app:1"));
    tag(&bench, &source.to_string(), &target.to_string());
    registry.take_log();
    bench.pushes(&registry, "two/app:1");
    let log = registry.take_log();
    assert_eq!(log.iter().filter(|entry| entry.query.contains("mount=")).count(), 3);
    assert_eq!(
        log.iter().filter(|entry| entry.is_upload()).map(|e| e.bytes_received).sum::<u64>(),
        0
    );
    Bench::new().pulls(&registry, "two/app:1");
    // A registry that does not mount gets the bytes.
    let target = registry.reference("three/app:1");
    tag(&bench, &source.to_string(), &target.to_string());
    registry.fail_always(On::Path("POST", "mount".into()), Fault::status(405));
    bench.pushes(&registry, "three/app:1");
}

/// Pushes what cannot be pushed; then the registry is well again, and it can.
#[track_caller]
fn refused(on: On, fault: Fault, kind: Kind, text: &str) {
    let (registry, bench) = (Registry::start(), Bench::new());
    import(&bench, &registry, "made:1", 100 << 10);
    registry.fail_always(on, fault);
    let names = bench.names();
    let error = bench.push(&registry.reference("made:1")).unwrap_err();
    assert_eq!((told(&error, &registry).as_str(), error.kind()), (text, kind));
    assert_eq!(bench.names(), names);
    bench.check();
    registry.heal();
    bench.pushes(&registry, "made:1");
    Bench::new().pulls(&registry, "made:1");
}

#[test]
fn a_push_that_is_denied_says_so_in_dockers_words() {
    let body =
        br#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    let denied = Fault::Respond(403, Vec::new(), body.to_vec());
    let text = "denied: requested access to the resource is denied";
    for on in [On::BlobHead, On::UploadStart, On::UploadData, On::ManifestPut] {
        // A response to HEAD has no body to say anything in.
        if on != On::BlobHead {
            refused(on, denied.clone(), Kind::Denied, text);
        }
    }
}

#[test]
fn a_push_to_a_registry_that_only_reads_is_refused() {
    let registry = Registry::builder().read_only().start();
    let bench = Bench::new();
    import(&bench, &registry, "made:1", 100 << 10);
    let error = bench.push(&registry.reference("made:1")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{}", told(&error, &registry));
    assert_eq!(told(&error, &registry), "unknown: Method not allowed");
    bench.check();
}

#[test]
fn a_registry_that_fails_fails_the_push() {
    let text = "received unexpected HTTP status: 500 Internal Server Error";
    for on in [On::BlobHead, On::UploadStart, On::UploadData, On::ManifestPut] {
        refused(on, Fault::status(500), Kind::Unavailable, text);
    }
}

#[test]
fn a_push_that_finds_no_place_to_send_to_is_refused() {
    let text = "upload to registry REGISTRY went wrong: an answer names no location";
    refused(On::UploadStart, Fault::status(202), Kind::Unavailable, text);
}

#[test]
fn an_upload_that_breaks_is_continued_where_it_broke() {
    let (registry, bench) = (Registry::start(), Bench::new());
    import(&bench, &registry, "made:1", 2 << 20);
    registry.fail(On::UploadPatch, Fault::CutRequest(1 << 20));
    bench.pushes(&registry, "made:1");
    let patches: Vec<Entry> =
        registry.log().into_iter().filter(|entry| entry.method == "PATCH").collect();
    let continued = patches.iter().find(|entry| {
        entry.content_range.as_deref().is_some_and(|range| range.starts_with("1048576-"))
    });
    assert!(continued.is_some(), "{patches:#?}");
    Bench::new().pulls(&registry, "made:1");
}

#[test]
fn an_upload_that_stalls_is_given_up() {
    let (registry, bench) = (Registry::start(), Bench::hasty());
    import(&bench, &registry, "made:1", 100 << 10);
    registry.fail_always(On::UploadStart, Fault::Delay(Duration::from_secs(30)));
    let error = bench.push(&registry.reference("made:1")).unwrap_err();
    assert_eq!(
        told(&error, &registry),
        "Post \"http://REGISTRY/v2/made/blobs/uploads/\": no bytes for 0 seconds"
    );
    assert_eq!(error.kind(), Kind::Unavailable);
    bench.check();
}

/// What the disk did to a blob must not leave the machine.
#[test]
fn a_damaged_blob_is_not_pushed() {
    let (from, to, bench) = (Registry::start(), Registry::start(), Bench::new());
    let built = Image::seeded(1).layer_size_bytes(600 << 10).build();
    from.push("app:1", &built);
    bench.pulls(&from, "app:1");
    tag(&bench, &from.reference("app:1").to_string(), &to.reference("copy:1").to_string());
    let layer = built.images[0].layers[0].digest;
    let path = bench.root().join("blobs/sha256").join(layer.hex());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let error = bench.push(&to.reference("copy:1")).unwrap_err();
    assert_eq!(
        (told(&error, &to), error.kind()),
        (
            format!("cannot read the content to upload: blob {layer} in the store is damaged"),
            Kind::Corrupt
        )
    );
    assert!(Bench::new().pull(&to.reference("copy:1")).is_err(), "a tag was put");
}

#[test]
fn a_digest_or_what_is_not_here_is_not_pushed() {
    let (registry, bench, built) = (Registry::start(), Bench::new(), Image::seeded(1).build());
    registry.push("app:1", &built);
    bench.pulls(&registry, "app:1");
    let by_digest = registry.reference(&format!("app@{}", built.digest()));
    assert_eq!(bench.push(&by_digest).unwrap_err().to_string(), "cannot push a digest reference");
    let error = bench.push(&registry.reference("app:2")).unwrap_err();
    assert_eq!(told(&error, &registry), "tag does not exist: REGISTRY/app:2");
    let error = bench.push(&registry.reference("other:1")).unwrap_err();
    let text = "An image does not exist locally with the tag: REGISTRY/other";
    assert_eq!((told(&error, &registry).as_str(), error.kind()), (text, Kind::NotFound));
}
