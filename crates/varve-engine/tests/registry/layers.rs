//! Layers that are sound bytes and bad layers, and layers that look odd and are good.

use std::os::unix::fs::MetadataExt as _;

use serde_json::json;
use varve_fs::{compression::Compressor, tar};
use varve_testkit::{Image, Registry, image::Built};
use varve_types::{Digest, Kind, media_type};

use crate::bench::{Bench, files, told};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    Compressor::gzip().compress(&mut &*bytes, &mut blob).unwrap();
    blob
}

fn tar_of(name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut writer = tar::Writer::new(Vec::new());
    let entry = tar::NewEntry::file(name, content.len() as u64);
    writer.append(&entry, &mut &*content).unwrap();
    writer.finish().unwrap()
}

/// An image whose only layer is this blob, and whose config lists this tar.
fn image_of(blob: Vec<u8>, tar: &[u8]) -> Built {
    let diff_id = Digest::of(tar);
    Image::seeded(7)
        .build()
        .replace_layer(0, blob)
        .change_config(|config| config["rootfs"]["diff_ids"] = json!([diff_id]))
}

/// Pulls an image that must be refused because of its first layer, for this reason.
#[track_caller]
fn refuses(bad: &Built, kind: Kind, reason: &str) {
    let (registry, bench) = (Registry::start(), Bench::new());
    registry.push("app:1", bad);
    let digest = bad.images[0].layers[0].digest;
    let text = format!("filesystem layer verification failed for digest {digest}: {reason}")
        .replace("DIGEST", &digest.to_string());
    bench.refuses(&registry, "app:1", kind, &text);
    assert_eq!(files(&bench.root().join("varve/layers")), 0, "a layer was kept");
    registry.push("app:1", Image::seeded(1));
    bench.pulls(&registry, "app:1");
}

#[test]
fn a_layer_that_is_not_a_tar_is_refused() {
    let text = b"#!/bin/sh\necho this is not a tar\n".repeat(40);
    let bad = image_of(gzip(&text), &text);
    refuses(&bad, Kind::Corrupt, "layer DIGEST cannot be read: archive/tar: invalid tar header");
}

#[test]
fn a_layer_that_is_damaged_gzip_is_refused() {
    let tar = tar_of(b"file", b"content");
    let mut blob = gzip(&tar);
    let middle = blob.len() / 2;
    blob.truncate(middle);
    refuses(
        &image_of(blob, &tar),
        Kind::Corrupt,
        "layer DIGEST cannot be decompressed: incomplete deflate stream",
    );
}

#[test]
fn a_layer_of_another_diff_id_is_refused() {
    let (tar, other) = (tar_of(b"file", b"content"), tar_of(b"file", b"other"));
    let (expected, actual) = (Digest::of(&other), Digest::of(&tar));
    let reason = format!("expected diff ID {expected}, got {actual}");
    refuses(&image_of(gzip(&tar), &other), Kind::Corrupt, &reason);
}

/// Both layers are in the store, and still they must not be taken for one another.
#[test]
fn layers_that_are_here_are_not_taken_for_one_another() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let good = Image::seeded(1).layers(2).build();
    registry.push("app:1", &good);
    let swapped = good.clone().change_config(|config| {
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().swap(0, 1);
    });
    registry.push("app:bad", &swapped);
    bench.pulls(&registry, "app:1");
    let error = bench.pull(&registry.reference("app:bad")).unwrap_err();
    assert!(told(&error, &registry).contains("expected diff ID"), "{}", told(&error, &registry));
    assert_eq!(error.kind(), Kind::Corrupt);
    assert_eq!(bench.names().len(), 2);
    bench.check();
}

/// The same tar under two compressions is the same layer, and both blobs are kept.
#[test]
fn one_layer_in_two_compressions_is_one_layer() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let (gzip, zstd) = (Image::seeded(1).gzip().build(), Image::seeded(1).zstd().build());
    registry.push("app:gzip", &gzip);
    registry.push("app:zstd", &zstd);
    bench.pulls(&registry, "app:gzip");
    bench.pulls(&registry, "app:zstd");
    bench.pulls(&registry, "app:zstd");
    assert_eq!(files(&bench.root().join("varve/layers")), 1);
    assert_eq!(gzip.id(), zstd.id());
}

/// Zeros take zstd next to nothing: a layer full of them is no attack.
#[test]
fn a_layer_of_zeros_is_taken_however_small_it_was_made() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let zeros = vec![0u8; 64 << 20];
    let mut compressed = Vec::new();
    Compressor::zstd(3).compress(&mut &*zeros, &mut compressed).unwrap();
    assert!(compressed.len() < zeros.len() / 5_000);
    registry.push("app:1", image_of(compressed, &zeros));
    bench.pulls(&registry, "app:1");
    bench.check();
}

#[test]
fn names_that_lead_out_of_a_layer_are_refused_and_shown_harmlessly() {
    let tar = tar_of(b"../../etc/\x1b[31mpasswd", b"x");
    let reason = "layer DIGEST cannot be read: path `../../etc/\\x1b[31mpasswd` leaves the root of the archive";
    refuses(&image_of(gzip(&tar), &tar), Kind::Corrupt, reason);
}

#[test]
fn a_layer_that_repeats_in_one_image_is_fetched_once() {
    let (registry, bench) = (Registry::start(), Bench::new());
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
    registry.push("app:1", &built);
    bench.pulls(&registry, "app:1");
    let path = format!("/v2/app/blobs/{}", built.images[0].layers[0].digest);
    assert_eq!(registry.log().iter().filter(|entry| entry.path == path).count(), 1);
}

#[test]
fn a_layer_that_repeats_under_another_diff_id_is_refused() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let other = Digest::of(b"another tar");
    let bad = Image::seeded(1)
        .build()
        .change_config(|config| {
            let diff_id = config["rootfs"]["diff_ids"][0].clone();
            config["rootfs"]["diff_ids"] = json!([diff_id, other]);
        })
        .change_manifest(|manifest| {
            let layer = manifest["layers"][0].clone();
            manifest["layers"] = json!([layer, layer]);
        });
    registry.push("app:1", &bad);
    let layer = bad.images[0].layers[0].digest;
    let actual = bad.images[0].diff_ids[0];
    let text = format!(
        "filesystem layer verification failed for digest {layer}: expected diff ID {other}, got {actual}"
    );
    bench.refuses(&registry, "app:1", Kind::Corrupt, &text);
}

#[test]
fn an_image_without_layers_is_an_image() {
    let (registry, bench, built) =
        (Registry::start(), Bench::new(), Image::seeded(1).layers(0).build());
    registry.push("app:1", &built);
    bench.pulls(&registry, "app:1");
    bench.has(&registry, "app:1", &built);
    bench.pushes(&registry, "app:1");
}

#[test]
fn a_layer_that_two_images_share_is_fetched_once() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let one = Image::seeded(1).layers(2).build();
    let two = Image::seeded(1).layers(3).build();
    registry.push("one:1", &one);
    registry.push("two:1", &two);
    bench.pulls(&registry, "one:1");
    registry.take_log();
    bench.pulls(&registry, "two:1");
    let fetched: Vec<_> =
        registry.log().into_iter().filter(varve_testkit::Entry::is_blob).map(|e| e.path).collect();
    let expected = [two.id().0, two.images[0].layers[2].digest]
        .map(|digest| format!("/v2/two/blobs/{digest}"));
    assert_eq!(fetched, expected);
}

#[test]
fn a_plain_layer_is_linked_and_not_copied() {
    let (registry, bench, built) =
        (Registry::start(), Bench::new(), Image::seeded(1).plain().build());
    registry.push("app:1", &built);
    bench.pulls(&registry, "app:1");
    let (layer, diff_id) = (&built.images[0].layers[0], &built.images[0].diff_ids[0]);
    assert_eq!(layer.media_type, media_type::OCI_LAYER);
    let inode = |path: String| std::fs::metadata(bench.root().join(path)).unwrap().ino();
    assert_eq!(
        inode(format!("blobs/sha256/{}", layer.digest.hex())),
        inode(format!("varve/layers/{}/layer.tar", diff_id.0.hex()))
    );
}

#[test]
fn zstd_layers_and_docker_types_are_pulled() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let images = [
        ("app:zstd", Image::seeded(1).zstd()),
        ("app:docker", Image::seeded(2).docker()),
        ("app:docker-zstd", Image::seeded(3).docker().zstd()),
        ("app:docker-plain", Image::seeded(4).docker().plain()),
    ];
    for (name, image) in images {
        let built = image.layers(2).build();
        registry.push(name, &built);
        bench.pulls(&registry, name);
        bench.has(&registry, name, &built);
        for (diff_id, tar) in built.images[0].diff_ids.iter().zip(&built.images[0].tars) {
            let path = bench.root().join("varve/layers").join(diff_id.0.hex()).join("layer.tar");
            assert!(std::fs::read(path).unwrap() == *tar, "{name}: the tar is another one");
        }
    }
}

#[test]
fn a_layer_that_promises_more_than_any_disk_has_is_refused() {
    let (registry, bench) = (Registry::start(), Bench::new());
    let bad = Image::seeded(1)
        .build()
        .change_manifest(|manifest| manifest["layers"][0]["size"] = json!(1u64 << 60));
    registry.push("app:1", &bad);
    let text = "layer size of 1152921504606846976 is more than the limit of 1099511627776";
    bench.refuses(&registry, "app:1", Kind::Exhausted, text);
}
