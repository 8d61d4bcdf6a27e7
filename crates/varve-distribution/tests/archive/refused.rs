//! What is refused, and in which words. Where Docker's text is known it is ours; its temporary
//! directory (`/var/lib/docker/tmp/docker-import-…/`) is left out.

use std::io::Read;

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use varve_distribution::archive::LoadInput;
use varve_fs::tar;
use varve_types::{Ctx, Descriptor, media_type};

use crate::made::{Image, Members, TempStore, blob_path, gzip, tar_of, told};

#[track_caller]
fn check(archive: &[u8], expected: Expect) {
    expected.assert_eq(&TempStore::new().told(archive));
}

fn hello() -> Image {
    Image::of(&["hello"])
}

fn saved_hello() -> Members {
    Members::docker(&hello(), Some("hello-world:latest"))
}

#[test]
fn what_is_no_archive_is_named_as_docker_names_it() {
    check(b"", expect![["error: open repositories: no such file or directory\n"]]);
    check(b"garbage\n", expect![["error: unexpected EOF\n"]]);
    let mut noise = vec![0_u8; 100_000];
    let mut state = 1_u32;
    for byte in &mut noise {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    check(&noise, expect![["error: archive/tar: invalid tar header\n"]]);
    check(&tar_of(&[]), expect![["error: open repositories: no such file or directory\n"]]);
    check(
        &tar_of(&[("x", b"y")]),
        expect![["error: open repositories: no such file or directory\n"]],
    );
}

/// Wherever an archive ends early, the load fails, and nothing but content has come.
#[test]
fn an_archive_that_stops_anywhere_is_refused() {
    let mut members = saved_hello();
    members.remove("index.json");
    let archive = members.tar();
    let packed = gzip(&archive);
    // What follows manifest.json may be missing: padding, `oci-layout`, the end marker.
    let last = &members.0["manifest.json"];
    let last_begins = archive.windows(last.len()).position(|window| window == last).unwrap();
    let content_end = last_begins + last.len();
    let store = TempStore::new();
    for end in (0..content_end).step_by(211).chain(1..20) {
        let error = store.load(&archive[..end]).expect_err("an archive that stops early");
        let text = error.to_string();
        let fits = text == "unexpected EOF" || text.starts_with("open ");
        assert!(fits, "after {end} bytes: {text}");
    }
    for end in (1..packed.len()).step_by(89) {
        let error = store.load(&packed[..end]).expect_err("a stream that stops early");
        assert_eq!(error.to_string(), "unexpected EOF", "after {end} bytes");
    }
    assert_eq!(store.store.names().unwrap().rows, []);
    assert_eq!(store.store.check().unwrap(), []);
}

#[test]
fn missing_parts_are_named() {
    let image = hello();
    let mut members = saved_hello();
    members.remove(&blob_path(&image.layers[0]));
    let expected =
        format!("error: open {}: no such file or directory\n", blob_path(&image.layers[0]));
    assert_eq!(TempStore::new().told(&members.tar()), expected);
    members.remove("manifest.json");
    assert_eq!(TempStore::new().told(&members.tar()), expected);
    let mut members = saved_hello();
    members.remove(&blob_path(&image.config));
    let expected = format!("error: open {}: no such file or directory\n", blob_path(&image.config));
    assert_eq!(TempStore::new().told(&members.tar()), expected);
}

#[test]
fn an_altered_layer_is_not_the_one_of_the_config() {
    let (image, other) = (hello(), Image::of(&["other"]));
    let mut members = saved_hello();
    members.put(&blob_path(&image.layers[0]), other.layers[0].clone());
    let (expected, actual) =
        (crate::made::digest(&image.layers[0]), crate::made::digest(&other.layers[0]));
    let text =
        format!("error: invalid diffID for layer 0: expected \"{expected}\", got \"{actual}\"\n");
    assert_eq!(TempStore::new().told(&members.tar()), text);
    // Outside of `blobs` no name promises a digest.
    members.put("abc/layer.tar", other.layers[0].clone());
    members.manifest_json(&blob_path(&image.config), Some("a:1"), &["abc/layer.tar".to_owned()]);
    assert_eq!(TempStore::new().told(&members.tar()), text);
}

/// Whether an archive is good does not depend on what else the store has.
#[test]
fn an_altered_layer_is_refused_though_the_right_one_is_here() {
    let (image, store) = (hello(), TempStore::new());
    let good = saved_hello();
    store.load(&good.tar()).unwrap();
    let path = blob_path(&image.layers[0]);
    let expected = crate::made::digest(&image.layers[0]);
    let mut spoilt = image.layers[0].clone();
    let last = spoilt.len() - 1;
    spoilt[last] ^= 1;
    for bytes in [Image::of(&["other"]).layers[0].clone(), spoilt] {
        let mut members = good.clone();
        let actual = crate::made::digest(&bytes);
        members.put(&path, bytes);
        let text = format!(
            "error: invalid diffID for layer 0: expected \"{expected}\", got \"{actual}\"\n"
        );
        assert_eq!(store.told(&members.tar()), text);
        members.remove("manifest.json");
        assert_eq!(store.told(&members.tar()), text);
    }
    assert!(!store.told(&good.tar()).contains("error"));
}

#[test]
fn a_config_that_lists_another_diff_id_is_refused() {
    let mut image = hello();
    let actual = crate::made::digest(&image.layers[0]);
    let mut config: Value = serde_json::from_slice(&image.config).unwrap();
    let zero = format!("sha256:{}", "0".repeat(64));
    config["rootfs"]["diff_ids"][0] = json!(zero);
    image.config = config.to_string().into_bytes();
    let text =
        format!("error: invalid diffID for layer 0: expected \"{zero}\", got \"{actual}\"\n");
    let mut members = Members::docker(&image, None);
    assert_eq!(TempStore::new().told(&members.tar()), text);
    members.remove("manifest.json");
    assert_eq!(TempStore::new().told(&members.tar()), text);
}

#[track_caller]
fn manifest_json(json: &str, expected: Expect) {
    let mut members = saved_hello();
    members.put("manifest.json", json);
    check(&members.tar(), expected);
}

#[test]
fn a_manifest_json_that_makes_no_sense_is_refused() {
    manifest_json(
        "{not json",
        expect![["error: invalid character 'n' looking for beginning of object key string\n"]],
    );
    manifest_json("", expect![["error: EOF\n"]]);
    manifest_json("[", expect![["error: unexpected EOF\n"]]);
    manifest_json(
        "{}",
        expect![[
            "error: json: cannot unmarshal object into Go value of type []tarexport.manifestItem\n"
        ]],
    );
    let config = blob_path(&hello().config);
    manifest_json(
        &json!([{"Config": config, "Layers": []}]).to_string(),
        expect![["error: invalid manifest, layers length mismatch: expected 0, got 1\n"]],
    );
    manifest_json(
        &json!([{"Config": "../../etc/passwd", "Layers": []}]).to_string(),
        expect![["error: evalSymlinksInScope: ../../etc/passwd is not in the archive\n"]],
    );
    manifest_json(
        &json!([{"Config": "no\u{1b}[31m", "Layers": []}]).to_string(),
        expect![["error: open no\\x1b[31m: no such file or directory\n"]],
    );
    manifest_json(
        &json!([{"Config": "oci-layout", "Layers": []}]).to_string(),
        expect![["error: image config is not valid: missing field `rootfs` at line 1 column 31\n"]],
    );
}

#[test]
fn names_that_are_none_are_refused() {
    for (tag, text) in [
        ("Foo:1", "invalid reference format: repository name (library/Foo) must be lowercase"),
        ("a", "invalid tag \"a\""),
        ("a:\u{1b}]0;x\u{7}", "invalid reference format"),
        ("../../x:1", "invalid reference format"),
    ] {
        let archive = Members::docker(&hello(), Some(tag)).tar();
        assert_eq!(TempStore::new().told(&archive), format!("error: {text}\n"), "{tag:?}");
    }
}

#[test]
fn images_for_other_systems_are_refused() {
    let members = Members::docker(&Image::for_platform("windows", "amd64"), None);
    check(&members.tar(), expect![["error: cannot load windows image on linux\n"]]);
    let mut members = members;
    members.remove("manifest.json");
    check(&members.tar(), expect![["error: cannot load windows image on linux\n"]]);
}

#[test]
fn links_lead_nowhere_but_into_the_archive() {
    let image = hello();
    let config = image.config.clone();
    for (target, text) in [
        (b"/etc/passwd".as_slice(), "open layer.tar: no such file or directory"),
        (b"../../../../etc/passwd", "open layer.tar: no such file or directory"),
        (b"layer.tar", "open layer.tar: too many levels of symbolic links"),
    ] {
        let mut writer = tar::Writer::new(Vec::new());
        let manifest = json!([{"Config": "c.json", "RepoTags": null, "Layers": ["layer.tar"]}]);
        for (path, bytes) in
            [("c.json", config.clone()), ("manifest.json", manifest.to_string().into())]
        {
            let entry = tar::NewEntry::file(path.as_bytes(), bytes.len() as u64);
            writer.append_bytes(&entry, &bytes).unwrap();
        }
        writer.append_bytes(&tar::NewEntry::symlink(b"layer.tar", target), b"").unwrap();
        let told = TempStore::new().told(&writer.finish().unwrap());
        assert_eq!(told, format!("error: {text}\n"));
    }
}

#[test]
fn members_that_lead_out_are_refused() {
    let archive = tar_of(&[("../evil", b"x")]);
    check(&archive, expect![["error: path `../evil` leaves the root of the archive\n"]]);
}

#[test]
fn parents_that_go_round_have_an_end() {
    let mut members = Members::default();
    members
        .put("aa/json", r#"{"id":"aa","parent":"aa"}"#)
        .put("repositories", r#"{"a":{"1":"aa"}}"#);
    check(
        &members.tar(),
        expect![["error: number of layers of 501 is more than the limit of 500\n"]],
    );
    members.put("repositories", r#"{"a":{"1":"bb"}}"#);
    check(&members.tar(), expect![["error: open bb/json: no such file or directory\n"]]);
    members.put("repositories", r#"{"a":{"1":"../../etc"}}"#);
    check(
        &members.tar(),
        expect![["error: evalSymlinksInScope: ../../etc/json is not in the archive\n"]],
    );
}

/// An index that contains itself cannot be made, but one inside the other can, for ever.
#[test]
fn nested_indexes_have_an_end() {
    let mut members = Members::default();
    let mut inner = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
    for _ in 0..10 {
        members.blob(&inner);
        let descriptor = Descriptor::of(media_type::OCI_INDEX, &inner);
        inner = json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string().into_bytes();
    }
    members.put("index.json", inner);
    check(&members.tar(), expect![["error: indexes are nested more than 4 levels deep\n"]]);
}

#[test]
fn sizes_and_digests_of_descriptors_are_checked() {
    let image = hello();
    let manifest = image.manifest(&image.layers, media_type::OCI_LAYER);
    let mut members = saved_hello();
    members.remove("manifest.json");
    let mut descriptor = Descriptor::of(media_type::OCI_MANIFEST, &manifest);
    descriptor.size += 1;
    members.put("index.json", json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string());
    let told = TempStore::new().told(&members.tar());
    assert!(told.starts_with("error: invalid size for blob"), "{told}");
    members.index_json(&[(&manifest, media_type::OCI_MANIFEST, None)]);
    members.put(&blob_path(&manifest), "{}");
    let told = TempStore::new().told(&members.tar());
    assert!(told.starts_with("error: invalid digest for blob"), "{told}");
}

#[test]
fn an_archive_of_artifacts_only_has_no_image() {
    let config = Descriptor::of(media_type::OCI_EMPTY, b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": []});
    let manifest = manifest.to_string().into_bytes();
    let mut members = Members::default();
    members.blob(b"{}").blob(&manifest);
    members.index_json(&[(&manifest, media_type::OCI_MANIFEST, Some("a:1"))]);
    check(&members.tar(), expect![["error: the archive has no image\n"]]);
}

/// Documents are kept in memory only up to a point, and a name's length counts.
#[test]
fn too_much_of_anything_is_refused() {
    struct Endless {
        header: Vec<u8>,
        at: usize,
    }
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let part = &self.header[self.at % self.header.len()..];
            let count = part.len().min(buffer.len());
            buffer[..count].copy_from_slice(&part[..count]);
            self.at += count;
            Ok(count)
        }
    }
    let store = TempStore::new();
    let told_of = |mut stream: Endless| {
        let input = LoadInput::Stream(&mut stream);
        told(varve_distribution::archive::load(
            &store.store,
            &store.lease,
            input,
            None,
            &Ctx::for_test(),
        ))
    };
    // One member again and again: every header counts, though there is only one name.
    let member = tar_of(&[("some/file", b"x")])[..1024].to_vec();
    let text = told_of(Endless { header: member, at: 0 });
    assert!(text.contains("in the archive of"), "{text}");
    let mut document = tar_of(&[("manifest.json", b"x")])[..512].to_vec();
    document[124..136].copy_from_slice(b"77777777777\0");
    document[148..156].fill(b' ');
    let sum: u32 = document.iter().map(|&byte| u32::from(byte)).sum();
    document[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let text = told_of(Endless { header: document, at: 0 });
    assert!(text.contains("size of a document in the archive of"), "{text}");
}

/// Whatever byte is changed, a load ends with an image that is whole or with an error, and the
/// store is sound.
#[test]
fn archives_with_changed_bytes_do_no_harm() {
    let archive = saved_hello().tar();
    let store = TempStore::new();
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..60 {
        let mut damaged = archive.clone();
        for _ in 0..=random(3) {
            damaged[random(archive.len())] = random(256) as u8;
        }
        for image in store.load(&damaged).unwrap_or_default() {
            store.store.config(&image.image).unwrap();
            store.store.manifest(&image.target.digest).unwrap();
        }
    }
    assert_eq!(store.store.check().unwrap(), []);
}

/// The name of a blob promises its digest, also when it is a link's.
#[test]
fn a_link_in_a_blobs_place_does_not_change_what_the_digest_names() {
    let (image, other) = (hello(), Image::of(&["other"]));
    let manifest = image.manifest(&image.layers, media_type::OCI_LAYER);
    let promised = [&image.config, &image.layers[0], &manifest];
    let instead = [
        other.config.clone(),
        other.layers[0].clone(),
        other.manifest(&other.layers, media_type::OCI_LAYER),
    ];
    for (at, bytes) in instead.iter().enumerate() {
        let mut members = saved_hello();
        members
            .remove("manifest.json")
            .remove(&blob_path(promised[at]))
            .put("elsewhere", bytes.clone());
        let mut archive = members.tar();
        archive.truncate(archive.len() - 1024);
        let mut writer = tar::Writer::new(archive);
        let path = blob_path(promised[at]);
        let link = tar::NewEntry::symlink(path.as_bytes(), b"../../elsewhere");
        writer.append_bytes(&link, b"").unwrap();
        let store = TempStore::new();
        let told = store.told(&writer.finish().unwrap());
        assert!(told.starts_with("error: invalid d"), "{told}");
        assert_eq!(store.store.check().unwrap(), []);
    }
}

/// A directory is somebody else's: a pipe in a blob's place is not waited for, a link out of it
/// is not followed.
#[test]
fn layouts_with_pipes_and_links_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let image = hello();
    let manifest = image.manifest(&image.layers, media_type::OCI_LAYER);
    let mut members = Members::default();
    members.blob(&image.config).blob(&manifest).blob(&image.layers[0]);
    members.index_json(&[(&manifest, media_type::OCI_MANIFEST, None)]);
    std::fs::create_dir_all(directory.path().join("layout/blobs/sha256")).unwrap();
    for (path, bytes) in &members.0 {
        std::fs::write(directory.path().join("layout").join(path), bytes).unwrap();
    }
    let layout = directory.path().join("layout");
    TempStore::new().load_directory(&layout).unwrap();
    let config = layout.join(blob_path(&image.config));
    std::fs::remove_file(&config).unwrap();
    std::fs::write(directory.path().join("outside"), &image.config).unwrap();
    std::os::unix::fs::symlink("../../../outside", &config).unwrap();
    TempStore::new().load_directory(&layout).unwrap_err();
    std::fs::remove_file(&config).unwrap();
    if let Some(mkfifo) = varve_testkit::guard::tool("mkfifo") {
        assert!(std::process::Command::new(mkfifo).arg(&config).status().unwrap().success());
        TempStore::new().load_directory(&layout).unwrap_err();
    }
}
