//! Other tools read what is saved, and what they write is loaded.

use std::{path::Path, process::Command};

use varve_testkit::guard;
use varve_types::media_type;

use crate::made::{Image, Members, TempStore, digest, gzip};

/// Runs a tool; `None`, said aloud, when it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(guard::tool(program)?).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn skopeo(arguments: &[&str]) -> Option<String> {
    let policy = ["--insecure-policy"];
    run("skopeo", &[policy.as_slice(), arguments].concat())
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// An archive of two images, one with plain layers, one with compressed ones.
fn two_images(store: &TempStore) -> (Vec<u8>, [Image; 2]) {
    let (plain, packed) = (Image::of(&["one", "two"]), Image::of(&["three"]));
    let mut members = Members::default();
    let layer = gzip(&packed.layers[0]);
    let manifest = packed.manifest(std::slice::from_ref(&layer), media_type::OCI_LAYER_GZIP);
    members.blob(&packed.config).blob(&layer).blob(&manifest);
    members.index_json(&[(&manifest, media_type::OCI_MANIFEST, Some("packed:2"))]);
    let mut images = store.load(&Members::docker(&plain, Some("plain:1")).tar()).unwrap();
    images.extend(store.load(&members.tar()).unwrap());
    (store.save(&images), [plain, packed])
}

#[test]
fn skopeo_reads_both_sides_of_a_saved_archive() {
    let store = TempStore::new();
    let (archive, images) = two_images(&store);
    let path = store.directory.path().join("a.tar");
    std::fs::write(&path, archive).unwrap();
    let path = text(&path);
    for (image, docker, oci) in [(&images[0], "plain:1", "1"), (&images[1], "packed:2", "2")] {
        for source in
            [format!("docker-archive:{path}:{docker}"), format!("oci-archive:{path}:{oci}")]
        {
            let Some(config) = skopeo(&["inspect", "--config", "--raw", &source]) else { return };
            assert_eq!(config.trim_end(), String::from_utf8_lossy(&image.config), "{source}");
            let copy = store.directory.path().join("copy");
            skopeo(&["copy", "-q", &source, &format!("oci:{}:x", text(&copy))]).unwrap();
            std::fs::remove_dir_all(copy).unwrap();
        }
    }
}

#[test]
fn what_skopeo_writes_is_loaded() {
    let store = TempStore::new();
    let (archive, images) = two_images(&store);
    let path = store.directory.path().join("a.tar");
    std::fs::write(&path, archive).unwrap();
    let source = format!("oci-archive:{}:2", text(&path));
    let image = &images[1];
    for (kind, name, told) in [
        ("oci-archive", "ocitag:1", "ocitag:1\n"),
        ("docker-archive", "dock:1", "dock:1 (manifest made)\n"),
    ] {
        let target = store.directory.path().join(kind);
        let target_name = format!("{kind}:{}:{name}", text(&target));
        if skopeo(&["copy", "-q", &source, &target_name]).is_none() {
            return;
        }
        let other = TempStore::new();
        let bytes = std::fs::read(&target).unwrap();
        assert_eq!(other.told(&bytes), told);
        let loaded = other.load(&bytes).unwrap();
        assert_eq!(loaded[0].image.0, digest(&image.config));
    }
    let directory = store.directory.path().join("layout");
    skopeo(&["copy", "-q", &source, &format!("oci:{}:some/name:3", text(&directory))]).unwrap();
    let loaded = TempStore::new().load_directory(&directory).unwrap();
    assert_eq!(loaded[0].names[0].familiar(), "some/name:3");
    assert_eq!(loaded[0].image.0, digest(&image.config));
}

#[test]
fn what_umoci_writes_is_loaded_and_it_reads_what_is_saved() {
    let store = TempStore::new();
    let layout = store.directory.path().join("umoci");
    let image = format!("{}:mine", text(&layout));
    if run("umoci", &["init", "--layout", &text(&layout)]).is_none() {
        return;
    }
    run("umoci", &["new", "--image", &image]).unwrap();
    run("umoci", &["config", "--image", &image, "--config.user", "nobody"]).unwrap();
    let loaded = store.load_directory(&layout).unwrap();
    assert_eq!(loaded[0].names[0].familiar(), "mine:latest");
    let (archive, _) = two_images(&store);
    let unpacked = store.directory.path().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let file = store.directory.path().join("a.tar");
    std::fs::write(&file, archive).unwrap();
    run("tar", &["xf", &text(&file), "-C", &text(&unpacked)]).unwrap();
    let stat = run("umoci", &["stat", "--image", &format!("{}:2", text(&unpacked)), "--json"]);
    assert!(stat.unwrap().contains("history"));
}
