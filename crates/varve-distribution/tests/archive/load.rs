//! What is loaded, from whatever wrote it.

use expect_test::{Expect, expect};
use serde_json::json;
use varve_fs::tar;
use varve_types::{Descriptor, Digest, ImageId, media_type};

use crate::made::{Image, Members, TempStore, blob_path, digest, filter, gzip, tar_of, told};

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
fn docker_archive_keeps_the_manifest_that_it_has() {
    let (stores, image) = (TempStore::new(), hello());
    let loaded = stores.load(&saved_hello().tar()).unwrap();
    let manifest = image.manifest(&image.layers, media_type::OCI_LAYER);
    assert_eq!(loaded[0].target, Descriptor::of(media_type::OCI_MANIFEST, &manifest));
    assert_eq!(loaded[0].image, ImageId(digest(&image.config)));
    assert_eq!(loaded[0].size_bytes, "hello".len() as u64);
    assert_eq!(loaded[0].platform.to_string(), "linux/amd64");
    assert_eq!(loaded[0].created.unwrap().to_string(), "2026-11-20T13:17:23Z");
    assert_eq!(stores.store.read_blob(&digest(&manifest), 1 << 20).unwrap(), manifest);
    let diff_id = varve_types::DiffId(digest(&image.layers[0]));
    assert!(stores.store.layer(&diff_id).unwrap().is_some());
}

#[test]
fn every_compression_around_an_archive_is_seen_through() {
    let archive = saved_hello().tar();
    check(&gzip(&archive), expect!["hello-world:latest\n"]);
    for program in ["bzip2", "xz", "zstd"] {
        if let Some(packed) = filter(program, &archive) {
            check(&packed, expect!["hello-world:latest\n"]);
        }
    }
}

#[test]
fn without_the_oci_part_a_manifest_is_made_and_always_the_same() {
    let mut members = saved_hello();
    members.remove("index.json").remove("oci-layout");
    check(&members.tar(), expect!["hello-world:latest (manifest made)\n"]);
    let first = TempStore::new().load(&members.tar()).unwrap();
    let second = TempStore::new().load(&members.tar()).unwrap();
    assert_eq!(first[0].target, second[0].target);
}

#[test]
fn only_the_oci_part_is_enough() {
    let mut members = saved_hello();
    members.remove("manifest.json");
    check(&members.tar(), expect!["hello-world:latest\n"]);
}

#[test]
fn full_names_are_preferred_to_tags() {
    let image = hello();
    let manifest = image.manifest(&image.layers, media_type::OCI_LAYER);
    let mut descriptor = Descriptor::of(media_type::OCI_MANIFEST, &manifest);
    for (name, value) in [
        ("io.containerd.image.name", "docker.io/library/a:1"),
        ("org.opencontainers.image.ref.name", "1"),
    ] {
        descriptor.annotations.insert(name.to_owned(), value.to_owned());
    }
    let mut members = Members::default();
    members.blob(&image.config).blob(&image.layers[0]).blob(&manifest);
    members.put("index.json", json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string());
    check(&members.tar(), expect!["a:1\n"]);
}

#[test]
fn layout_that_an_earlier_docker_wrote() {
    let image = hello();
    let mut members = Members::default();
    members.put(&format!("{}.json", digest(&image.config).hex()), image.config.clone());
    members.put("abc/layer.tar", image.layers[0].clone());
    members.put("abc/VERSION", "1.0");
    members.manifest_json(
        &format!("{}.json", digest(&image.config).hex()),
        Some("classic:1"),
        &["abc/layer.tar".to_owned()],
    );
    check(&members.tar(), expect!["classic:1 (manifest made)\n"]);
}

#[test]
fn compressed_layers_stay_as_they_are() {
    let image = hello();
    let packed = gzip(&image.layers[0]);
    let mut members = Members::default();
    members.blob(&image.config).blob(&packed);
    members.manifest_json(&blob_path(&image.config), Some("gzl:1"), &[blob_path(&packed)]);
    let store = TempStore::new();
    let loaded = store.load(&members.tar()).unwrap();
    assert_eq!(told(Ok(loaded)), "gzl:1 (manifest made)\n");
    assert_eq!(store.store.read_blob(&digest(&packed), 1 << 20).unwrap(), packed);
}

/// There is no media type for these: the manifest names the plain tar.
#[test]
fn layers_in_bzip2_and_xz_become_plain() {
    for program in ["bzip2", "xz"] {
        let image = hello();
        let Some(packed) = filter(program, &image.layers[0]) else { continue };
        let mut members = Members::default();
        members.blob(&image.config).blob(&packed);
        members.manifest_json(&blob_path(&image.config), Some("odd:1"), &[blob_path(&packed)]);
        let store = TempStore::new();
        let loaded = store.load(&members.tar()).unwrap();
        let manifest = store.store.manifest(&loaded[0].target.digest).unwrap();
        assert_eq!(manifest.children()[1].digest, digest(&image.layers[0]));
        // An OCI manifest cannot be followed: its layer has lost its digest.
        let manifest = image.manifest(std::slice::from_ref(&packed), media_type::OCI_LAYER);
        members.remove("manifest.json").blob(&manifest);
        members.index_json(&[(&manifest, media_type::OCI_MANIFEST, None)]);
        let told = TempStore::new().told(&members.tar());
        assert!(told.ends_with("in a way that manifests have no media type for\n"), "{told}");
    }
}

#[test]
fn members_may_begin_with_a_dot() {
    let members = saved_hello();
    let dotted: Vec<(String, Vec<u8>)> =
        members.0.into_iter().map(|(path, bytes)| (format!("./{path}"), bytes)).collect();
    let dotted: Vec<(&str, &[u8])> =
        dotted.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    check(&tar_of(&dotted), expect!["hello-world:latest\n"]);
}

/// Docker before version 25 wrote a layer once and linked to it.
#[test]
fn layers_may_be_links_to_other_layers() {
    let image = Image::of(&["same", "same"]);
    let config = format!("{}.json", digest(&image.config).hex());
    let manifest = json!([{"Config": config, "RepoTags": ["twice:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}]);
    let manifest = manifest.to_string();
    let mut writer = tar::Writer::new(Vec::new());
    for (path, bytes) in [(config.as_str(), &image.config), ("a/layer.tar", &image.layers[0])] {
        let entry = tar::NewEntry::file(path.as_bytes(), bytes.len() as u64);
        writer.append_bytes(&entry, bytes).unwrap();
    }
    let link = tar::NewEntry::symlink(b"b/layer.tar", b"../a/layer.tar");
    writer.append_bytes(&link, b"").unwrap();
    let entry = tar::NewEntry::file(b"manifest.json", manifest.len() as u64);
    writer.append_bytes(&entry, manifest.as_bytes()).unwrap();
    check(&writer.finish().unwrap(), expect!["twice:1 (manifest made)\n"]);
}

fn first_format() -> Members {
    let image = Image::of(&["lower", "upper"]);
    let mut members = Members::default();
    for (at, (id, parent)) in [("aa", None), ("bb", Some("aa"))].into_iter().enumerate() {
        let mut json = json!({
            "id": id, "created": "2015-01-02T03:04:05.5Z", "architecture": "amd64", "os": "linux",
            "docker_version": "1.9.0", "author": "Jane <j@x>",
            "container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) CMD"]}, "config": {"Cmd": ["sh"]}, "Size": 5
        });
        if let Some(parent) = parent {
            json["parent"] = json!(parent);
        }
        members.put(&format!("{id}/json"), json.to_string());
        members.put(&format!("{id}/layer.tar"), image.layers[at].clone());
        members.put(&format!("{id}/VERSION"), "1.0");
    }
    members.put("repositories", r#"{"v1img":{"latest":"bb","old":"bb"}}"#);
    members
}

#[test]
fn archive_of_the_first_format_is_converted_and_not_spoken_of() {
    let store = TempStore::new();
    let loaded = store.load(&first_format().tar()).unwrap();
    assert!(loaded[0].is_silent);
    let config = store.store.config(&loaded[0].image).unwrap();
    let image = Image::of(&["lower", "upper"]);
    let (lower, upper) = (digest(&image.layers[0]), digest(&image.layers[1]));
    let step = r#"{"created":"2015-01-02T03:04:05.5Z","author":"Jane \u003cj@x\u003e","created_by":"/bin/sh -c #(nop) CMD"}"#;
    let expected = format!(
        r##"{{"architecture":"amd64","author":"Jane \u003cj@x\u003e","config":{{"Cmd":["sh"]}},"container_config":{{"Cmd":["/bin/sh","-c","#(nop) CMD"]}},"created":"2015-01-02T03:04:05.5Z","docker_version":"1.9.0","history":[{step},{step}],"os":"linux","rootfs":{{"type":"layers","diff_ids":["{lower}","{upper}"]}}}}"##
    );
    assert_eq!(String::from_utf8_lossy(config.bytes()), expected);
    assert_eq!(told(Ok(loaded)), "v1img:latest v1img:old (manifest made)\n");
}

/// What an engine from before 1.8.3 wrote is brought into today's shape first, as Docker does.
#[test]
fn first_format_of_an_untrusted_version_is_written_anew() {
    let mut members = first_format();
    members.put("bb/json", r#"{"id":"bb","parent":"aa","created":"2014-01-01T00:00:00Z","odd":1,"config":{"Cmd":["sh"]},"os":"linux"}"#);
    let store = TempStore::new();
    let loaded = store.load(&members.tar()).unwrap();
    let config = store.store.config(&loaded[0].image).unwrap();
    let text = String::from_utf8_lossy(config.bytes()).into_owned();
    assert!(text.starts_with(r#"{"config":{"Hostname":"","Domainname":"","User":"","#), "{text}");
    assert!(!text.contains("odd"), "{text}");
}

#[test]
fn a_manifest_json_that_lists_nothing_gives_nothing() {
    let mut members = saved_hello();
    for empty in ["[]", "null"] {
        members.put("manifest.json", empty);
        check(&members.tar(), expect![""]);
    }
}

#[test]
fn images_without_tags_have_no_name() {
    check(&Members::docker(&hello(), None).tar(), expect!["an image\n"]);
}

#[test]
fn images_of_other_architectures_are_loaded() {
    let image = Image::for_platform("linux", "arm64");
    check(
        &Members::docker(&image, Some("hello-world:latest")).tar(),
        expect!["hello-world:latest\n"],
    );
}

/// What is in the store already need not come along, as with Docker.
#[test]
fn layers_that_are_here_already_may_be_missing() {
    let store = TempStore::new();
    store.load(&saved_hello().tar()).unwrap();
    let mut members = saved_hello();
    members.remove(&blob_path(&hello().layers[0]));
    assert_eq!(store.told(&members.tar()), "hello-world:latest\n");
}

#[test]
fn a_layer_of_no_bytes_is_an_empty_layer() {
    let image = Image::with_layers(vec![Vec::new()], &json!({"os": "linux"}));
    check(&Members::docker(&image, Some("empty:1")).tar(), expect!["empty:1\n"]);
}

/// An index of two platforms: what of it came decides what the image points at.
fn two_platforms() -> (Members, Vec<u8>, [Vec<u8>; 2]) {
    let images = [Image::for_platform("linux", "amd64"), Image::for_platform("linux", "arm64")];
    let mut members = Members::default();
    let mut descriptors = Vec::new();
    let manifests =
        images.clone().map(|image| image.manifest(&image.layers, media_type::OCI_LAYER));
    for ((image, manifest), architecture) in images.iter().zip(&manifests).zip(["amd64", "arm64"]) {
        members.blob(&image.config).blob(&image.layers[0]).blob(manifest);
        let mut descriptor = Descriptor::of(media_type::OCI_MANIFEST, manifest);
        descriptor.platform = Some(varve_types::Platform::new("linux", architecture, ""));
        descriptors.push(descriptor);
    }
    let index =
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": descriptors});
    let index = index.to_string().into_bytes();
    members.blob(&index);
    members.index_json(&[(&index, media_type::OCI_INDEX, Some("both:1"))]);
    (members, index, manifests)
}

#[test]
fn a_complete_index_is_kept_whole() {
    let (members, index, _) = two_platforms();
    let store = TempStore::new();
    let loaded = store.load(&members.tar()).unwrap();
    assert_eq!(loaded[0].target, Descriptor::of(media_type::OCI_INDEX, &index));
    assert_eq!(loaded[0].index, Some(digest(&index)));
}

#[test]
fn of_an_index_with_missing_parts_the_manifest_that_is_here_is_taken() {
    let (mut members, index, manifests) = two_platforms();
    members.remove(&blob_path(&manifests[0]));
    let loaded = TempStore::new().load(&members.tar()).unwrap();
    assert_eq!(loaded[0].target.digest, digest(&manifests[1]));
    assert_eq!(loaded[0].index, Some(digest(&index)));
    assert_eq!(loaded[0].platform.to_string(), "linux/arm64");
}

/// Docker's containerd store writes manifest.json for one platform and index.json for all.
#[test]
fn the_docker_part_may_name_one_image_of_an_index() {
    let (mut members, index, _) = two_platforms();
    let image = Image::for_platform("linux", "amd64");
    members.manifest_json(
        &blob_path(&image.config),
        Some("both:1"),
        &[blob_path(&image.layers[0])],
    );
    let loaded = TempStore::new().load(&members.tar()).unwrap();
    assert_eq!(loaded[0].target.digest, digest(&index));
    assert_eq!(loaded[0].image, ImageId(digest(&image.config)));
}

#[test]
fn a_platform_picks_one_image_or_says_that_there_is_none() {
    let (mut members, index, manifests) = two_platforms();
    let picked = |members: &Members, platform: &str| {
        TempStore::new().load_for(&members.tar(), Some(platform))
    };
    let loaded = picked(&members, "linux/arm64").unwrap();
    assert_eq!(loaded[0].target.digest, digest(&manifests[1]));
    assert_eq!(loaded[0].index, Some(digest(&index)));
    let missing =
        "error: requested platform (linux/s390x) not found: image might be filtered out\n";
    assert_eq!(told(picked(&members, "linux/s390x")), missing);
    let image = Image::for_platform("linux", "amd64");
    members.manifest_json(
        &blob_path(&image.config),
        Some("both:1"),
        &[blob_path(&image.layers[0])],
    );
    assert_eq!(picked(&members, "linux/arm64").unwrap()[0].target.digest, digest(&manifests[1]));
    assert_eq!(told(picked(&saved_hello(), "linux/s390x")), missing);
}

#[test]
fn a_layout_in_a_directory_is_read_where_its_index_leads() {
    let (members, index, manifests) = two_platforms();
    let directory = tempfile::tempdir().unwrap();
    for (path, bytes) in &members.0 {
        let file = directory.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    std::fs::write(directory.path().join("blobs/sha256").join(Digest::of(b"x").hex()), "not x")
        .unwrap();
    let store = TempStore::new();
    let loaded = store.load_directory(directory.path()).unwrap();
    assert_eq!(loaded[0].target.digest, digest(&index));
    std::fs::remove_file(directory.path().join(blob_path(&manifests[0]))).unwrap();
    let loaded = TempStore::new().load_directory(directory.path()).unwrap();
    assert_eq!(loaded[0].target.digest, digest(&manifests[1]));
    std::fs::remove_file(directory.path().join("index.json")).unwrap();
    let without = TempStore::new().load_directory(directory.path());
    assert_eq!(told(without), "error: open index.json: no such file or directory\n");
}

/// Collects what is said of layers.
#[derive(Default)]
struct Said(std::sync::Mutex<Vec<(String, u64, u64)>>);

impl varve_types::Progress for Said {
    fn event(&self, event: varve_types::Event) {
        if let varve_types::Event::Layer { id, state } = event
            && let varve_types::LayerState::Loading { done_bytes, total_bytes } = state
        {
            self.0.lock().unwrap().push((id, done_bytes, total_bytes));
        }
    }
}

#[test]
fn new_layers_are_reported_while_they_are_read_and_known_ones_are_not() {
    let large = vec![b'x'; 2 << 20];
    let image = Image::with_layers(vec![tar_of(&[("large", &large)])], &json!({"os": "linux"}));
    let archive = Members::docker(&image, Some("large:1")).tar();
    let (store, said) = (TempStore::new(), Said::default());
    let ctx = varve_types::Ctx { progress: &said, ..varve_types::Ctx::for_test() };
    let load = || {
        let mut stream = archive.as_slice();
        let input = varve_distribution::archive::LoadInput::Stream(&mut stream);
        varve_distribution::archive::load(&store.store, &store.lease, input, None, &ctx).unwrap();
        std::mem::take(&mut *said.0.lock().unwrap())
    };
    let size = image.layers[0].len() as u64;
    let id = digest(&image.layers[0]).short();
    let reports = load();
    assert!((3..20).contains(&reports.len()), "{reports:?}");
    assert!(reports.iter().all(|report| report.0 == id && report.2 == size));
    assert!(reports.is_sorted_by_key(|report| report.1));
    assert_eq!(reports.last().unwrap().1, size);
    assert_eq!(load(), []);
}
