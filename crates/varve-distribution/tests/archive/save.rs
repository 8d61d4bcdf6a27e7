//! What is written.

use expect_test::expect;
use serde_json::{Value, json};
use varve_distribution::archive::{self, SavedImage};
use varve_fs::tar;
use varve_types::{Descriptor, ImageId, Platform, media_type};

use crate::made::{Image, Members, TempStore, blob_path, digest, gzip, saved};

/// When the images of these tests were made, in seconds since 1970.
const CREATED: i64 = 1_795_180_643;

/// The members of an archive: how `tar tv` would show them, and their bytes.
fn members(archive: &[u8]) -> (Vec<String>, Members) {
    let (mut lines, mut members) = (Vec::new(), Members::default());
    let mut reader = tar::Reader::new(archive);
    while let Some(mut member) = reader.next().unwrap() {
        let path = String::from_utf8(member.path().to_vec()).unwrap();
        let entry = member.entry();
        lines.push(format!(
            "{:o} {}/{} {} {} {path}",
            entry.mode, entry.uid, entry.gid, entry.size, entry.mtime.seconds
        ));
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut member, &mut bytes).unwrap();
        members.put(&path, bytes);
    }
    (lines, members)
}

fn json_of(members: &Members, path: &str) -> Value {
    serde_json::from_slice(&members.0[path]).unwrap()
}

fn text_of(members: &Members, path: &str) -> String {
    String::from_utf8(members.0[path].clone()).unwrap()
}

#[test]
fn members_stand_in_dockers_order_with_the_time_of_the_image() {
    let (store, image) = (TempStore::new(), Image::of(&["hello"]));
    let loaded = store.load(&Members::docker(&image, Some("hello-world:latest")).tar()).unwrap();
    let (lines, members) = members(&store.save(&loaded));
    let manifest = image.manifest(&image.layers, media_type::OCI_LAYER);
    let is_first_format = |bytes: &&Vec<u8>| bytes.starts_with(b"{\"id\":");
    let first_format = members.0.values().find(is_first_format).unwrap();
    let mut blobs = [
        (&image.config, CREATED),
        (&image.layers[0], CREATED),
        (first_format, CREATED),
        (&manifest, 0),
    ];
    blobs.sort_by_key(|(blob, _)| digest(blob));
    let mut expected =
        ["blobs", "blobs/sha256"].map(|path| format!("755 0/0 0 {CREATED} {path}")).to_vec();
    expected.extend(
        blobs
            .iter()
            .map(|(blob, time)| format!("644 0/0 {} {time} {}", blob.len(), blob_path(blob))),
    );
    for path in ["index.json", "manifest.json", "oci-layout", "repositories"] {
        expected.push(format!("644 0/0 {} 0 {path}", members.0[path].len()));
    }
    assert_eq!(lines, expected);
}

/// The order in which images are asked for does not change the time of what they share.
#[test]
fn what_images_share_has_the_time_of_the_oldest() {
    let (store, young) = (TempStore::new(), Image::of(&["shared", "own"]));
    let mut old = Image::of(&["shared"]);
    let text = String::from_utf8(old.config.clone()).unwrap();
    old.config = text.replace("2026-11-20", "2026-11-19").into_bytes();
    let first = store.load(&Members::docker(&young, Some("young:1")).tar()).unwrap();
    let second = store.load(&Members::docker(&old, Some("old:1")).tar()).unwrap();
    let time_of = |lines: &[String], path: &str| {
        let line = lines.iter().find(|line| line.ends_with(&format!(" {path}"))).unwrap();
        line.split(' ').nth(3).unwrap().parse::<i64>().unwrap()
    };
    for images in [[first.clone(), second.clone()], [second, first]] {
        let (lines, _) = members(&store.save(&images.concat()));
        let shared = blob_path(&young.layers[0]);
        assert_eq!(time_of(&lines, &shared), CREATED - 24 * 60 * 60);
        assert_eq!(time_of(&lines, &blob_path(&young.layers[1])), CREATED);
        assert_eq!(time_of(&lines, "blobs"), CREATED);
    }
}

/// As recorded of Docker 26.1.5, with our digests.
#[test]
fn documents_are_dockers() {
    let (store, image) = (TempStore::new(), Image::of(&["hello"]));
    let loaded = store.load(&Members::docker(&image, Some("hello-world:latest")).tar()).unwrap();
    let (_, members) = members(&store.save(&loaded));
    let manifest = image.manifest(&image.layers, media_type::OCI_LAYER);
    let (config, layer) = (digest(&image.config).hex(), digest(&image.layers[0]).hex());
    let size = image.layers[0].len();
    assert_eq!(
        text_of(&members, "manifest.json"),
        format!(
            r#"[{{"Config":"blobs/sha256/{config}","RepoTags":["hello-world:latest"],"Layers":["blobs/sha256/{layer}"],"LayerSources":{{"sha256:{layer}":{{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":{size},"digest":"sha256:{layer}"}}}}}}]"#
        ) + "\n"
    );
    assert_eq!(
        text_of(&members, "repositories"),
        format!(r#"{{"hello-world":{{"latest":"{layer}"}}}}"#) + "\n"
    );
    let (digest, size) = (digest(&manifest), manifest.len());
    assert_eq!(
        text_of(&members, "index.json"),
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size},"annotations":{{"io.containerd.image.name":"docker.io/library/hello-world:latest","org.opencontainers.image.ref.name":"latest"}}}}]}}"#
        )
    );
    expect![[r#"{"imageLayoutVersion": "1.0.0"}"#]].assert_eq(&text_of(&members, "oci-layout"));
}

#[test]
fn an_image_without_a_name_is_saved_without_one() {
    let (store, image) = (TempStore::new(), Image::of(&["hello"]));
    let loaded = store.load(&Members::docker(&image, None).tar()).unwrap();
    let (_, members) = members(&store.save(&loaded));
    assert!(!members.0.contains_key("repositories"));
    assert_eq!(json_of(&members, "manifest.json")[0]["RepoTags"], Value::Null);
    assert_eq!(json_of(&members, "index.json")["manifests"][0]["annotations"], Value::Null);
}

#[test]
fn several_names_of_one_image_share_an_entry() {
    let (store, image, other) = (TempStore::new(), Image::of(&["a"]), Image::of(&["b"]));
    let first = store.load(&Members::docker(&image, Some("busybox:1.36.0")).tar()).unwrap();
    let second = store.load(&Members::docker(&other, Some("hello-world:latest")).tar()).unwrap();
    let third = store.load(&Members::docker(&image, Some("alpine:3.12")).tar()).unwrap();
    let archive = store.save(&[first, second, third].concat());
    let (_, members) = members(&archive);
    let entries = json_of(&members, "manifest.json");
    assert_eq!(entries[0]["RepoTags"], json!(["busybox:1.36.0", "alpine:3.12"]));
    assert_eq!(entries[1]["RepoTags"], json!(["hello-world:latest"]));
    assert_eq!(entries.as_array().unwrap().len(), 2);
    assert_eq!(json_of(&members, "index.json")["manifests"].as_array().unwrap().len(), 3);
    let repositories = text_of(&members, "repositories");
    assert!(repositories.starts_with(r#"{"alpine":{"3.12":""#), "{repositories}");
    assert_eq!(TempStore::new().told(&archive), "busybox:1.36.0 alpine:3.12\nhello-world:latest\n");
}

/// What was loaded is saved bit for bit, wherever it goes.
#[test]
fn an_archive_survives_another_store_byte_for_byte() {
    let image = Image::of(&["lower", "upper"]);
    let packed: Vec<Vec<u8>> = image.layers.iter().map(|layer| gzip(layer)).collect();
    let manifest = image.manifest(&packed, media_type::OCI_LAYER_GZIP);
    let mut source = Members::default();
    source.blob(&image.config).blob(&manifest);
    for layer in &packed {
        source.blob(layer);
    }
    source.index_json(&[(&manifest, media_type::OCI_MANIFEST, Some("team/app:2"))]);
    let (first, second) = (TempStore::new(), TempStore::new());
    let archive = first.save(&first.load(&source.tar()).unwrap());
    let loaded = second.load(&archive).unwrap();
    assert_eq!(loaded[0].target.digest, digest(&manifest));
    assert_eq!(second.save(&loaded), archive);
    let (_, members) = members(&archive);
    let sources = &json_of(&members, "manifest.json")[0]["LayerSources"];
    let diff_id = digest(&image.layers[0]).to_string();
    assert_eq!(sources[&diff_id]["digest"], json!(digest(&packed[0])));
    assert_eq!(sources[&diff_id]["mediaType"], json!(media_type::OCI_LAYER_GZIP));
}

fn both_platforms(store: &TempStore) -> (SavedImage, [Vec<u8>; 2], Vec<u8>) {
    let images = [Image::for_platform("linux", "amd64"), Image::for_platform("linux", "arm64")];
    let mut members = Members::default();
    let manifests =
        images.clone().map(|image| image.manifest(&image.layers, media_type::OCI_LAYER));
    let mut descriptors = Vec::new();
    for ((image, manifest), architecture) in images.iter().zip(&manifests).zip(["amd64", "arm64"]) {
        members.blob(&image.config).blob(&image.layers[0]).blob(manifest);
        let mut descriptor = Descriptor::of(media_type::OCI_MANIFEST, manifest);
        descriptor.platform = Some(Platform::new("linux", architecture, ""));
        descriptors.push(descriptor);
    }
    let index =
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": descriptors});
    let index = index.to_string().into_bytes();
    members.blob(&index);
    members.index_json(&[(&index, media_type::OCI_INDEX, Some("both:1"))]);
    let loaded = store.load(&members.tar()).unwrap();
    (saved(&loaded[0]), manifests, index)
}

#[test]
fn a_complete_index_is_saved_whole_and_a_platform_alone() {
    let store = TempStore::new();
    let (image, manifests, index) = both_platforms(&store);
    let save = |platform: Option<&str>| {
        let platform: Option<Platform> = platform.map(|text| text.parse().unwrap());
        let mut output = Vec::new();
        archive::save(&store.store, std::slice::from_ref(&image), platform.as_ref(), &mut output)
            .map(|()| members(&output).1)
            .map_err(|error| error.to_string())
    };
    let whole = save(None).unwrap();
    assert_eq!(json_of(&whole, "index.json")["manifests"][0]["digest"], json!(digest(&index)));
    assert!(manifests.iter().all(|manifest| whole.0.contains_key(&blob_path(manifest))));
    let one = save(Some("linux/arm64")).unwrap();
    assert_eq!(json_of(&one, "index.json")["manifests"][0]["digest"], json!(digest(&manifests[1])));
    assert!(
        !one.0.contains_key(&blob_path(&manifests[0])) && !one.0.contains_key(&blob_path(&index))
    );
    assert_eq!(
        save(Some("linux/s390x")).unwrap_err(),
        "no suitable export target found: image with reference both:1 was found but does not provide the specified platform (linux/s390x)"
    );
}

#[test]
fn a_single_image_of_another_platform_is_not_saved() {
    let (store, image) = (TempStore::new(), Image::of(&["hello"]));
    let loaded = store.load(&Members::docker(&image, None).tar()).unwrap();
    let wanted = Platform::new("linux", "s390x", "");
    let mut output = Vec::new();
    let error =
        archive::save(&store.store, &[saved(&loaded[0])], Some(&wanted), &mut output).unwrap_err();
    assert_eq!(error.to_string(), "no suitable export target found for platform linux/s390x");
    assert!(output.is_empty());
}

/// A blob that is damaged in the store does not leave it as if it were whole.
#[test]
fn a_damaged_blob_is_not_passed_on() {
    let (store, image) = (TempStore::new(), Image::of(&["hello"]));
    let loaded = store.load(&Members::docker(&image, None).tar()).unwrap();
    let path = store.store.root().join(blob_path(&image.layers[0]));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[600] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let error =
        archive::save(&store.store, &[saved(&loaded[0])], None, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the archive's content");
}

#[test]
fn nothing_is_written_of_an_image_that_lacks_something() {
    let (store, image) = (TempStore::new(), Image::of(&["hello"]));
    let loaded = store.load(&Members::docker(&image, None).tar()).unwrap();
    std::fs::remove_file(store.store.root().join(blob_path(&image.layers[0]))).unwrap();
    let mut output = Vec::new();
    archive::save(&store.store, &[saved(&loaded[0])], None, &mut output).unwrap_err();
    assert!(output.is_empty());
    assert_eq!(loaded[0].image, ImageId(digest(&image.config)));
}

#[test]
fn archives_of_builds_have_dockers_members_and_no_times() {
    let (store, image) = (TempStore::new(), Image::of(&["hello"]));
    let loaded = store.load(&Members::docker(&image, Some("hello-world:latest")).tar()).unwrap();
    let mut image = saved(&loaded[0]);
    image.manifest.platform = Some(Platform::new("linux", "amd64", ""));
    let export = |form| {
        let mut bytes = Vec::new();
        archive::export(&store.store, &image, form, &mut bytes).unwrap();
        members(&bytes)
    };
    let (lines, files) = export(archive::BuildArchive::Docker);
    let of_blob = |line: &&String| line.contains(" blobs/sha256/");
    assert_eq!(lines[..2], ["755 0/0 0 0 blobs", "755 0/0 0 0 blobs/sha256"]);
    assert_eq!(lines.iter().filter(of_blob).count(), 3);
    for line in lines.iter().filter(of_blob) {
        assert!(line.starts_with("444 0/0 ") && line.contains(" 0 blobs"), "{line}");
    }
    let names: Vec<&str> = lines[5..].iter().filter_map(|l| l.rsplit(' ').next()).collect();
    assert_eq!(names, ["index.json", "manifest.json", "oci-layout"]);
    let listed = &json_of(&files, "index.json")["manifests"][0];
    assert_eq!(listed["annotations"]["org.opencontainers.image.created"], "2026-11-20T13:17:23Z");
    assert_eq!(listed["platform"], json!({"architecture": "amd64", "os": "linux"}));
    assert_eq!(json_of(&files, "manifest.json")[0]["RepoTags"], json!(["hello-world:latest"]));
    assert_eq!(text_of(&files, "oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    let (lines, files) = export(archive::BuildArchive::Oci);
    assert!(!files.0.contains_key("manifest.json"), "{lines:?}");
    assert!(lines.iter().any(|line| line == "444 0/0 30 0 oci-layout"), "{lines:?}");
}
