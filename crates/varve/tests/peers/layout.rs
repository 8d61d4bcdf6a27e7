//! The store is an OCI layout: other tools read it in place, and varve takes what they make.

use varve_testkit::{Image, Registry, guard};

use crate::place::{Place, blobs};

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

fn two_platforms(registry: &Registry) -> String {
    let images = PLATFORMS.map(|platform| {
        Image::seeded(7).layers(2).layer_size_bytes(64 << 10).gzip().platform(platform)
    });
    registry.push("two/platforms:1", Image::index(&images));
    format!("{}/two/platforms:1", registry.host())
}

#[test]
fn skopeo_and_umoci_read_the_store_in_place() {
    let (Some(_), Some(_)) = (guard::tool("skopeo"), guard::tool("umoci")) else { return };
    let (place, registry) = (Place::new(), Registry::start());
    registry.push("app:1", Image::seeded(1).layers(3).gzip());
    let name = format!("{}/app:1", registry.host());
    place.varve(&["pull", &name]);

    let listed = place.tool(&["umoci", "ls", "--layout", "store"]);
    assert!(listed.contains(&name), "umoci lists {listed}");
    let layout = format!("oci:store:{name}");
    let config = place.tool(&["skopeo", "inspect", "--config", "--raw", &layout]);
    let id = place.inspect(&name, "{{.Id}}");
    assert_eq!(format!("sha256:{}", sha256(&place, &config)), id);
    place.varve(&["system", "check"]);
}

fn sha256(place: &Place, text: &str) -> String {
    place.write("hashed", text);
    let sum = place.tool(&["sha256sum", "hashed"]);
    sum.split(' ').next().expect("a sum").to_owned()
}

/// With one platform of an index here, nothing in the layout may point at what is absent.
#[test]
fn one_platform_of_an_index_leaves_a_whole_layout() {
    let (Some(_), Some(_)) = (guard::tool("skopeo"), guard::tool("umoci")) else { return };
    let (place, registry) = (Place::new(), Registry::start());
    let name = two_platforms(&registry);
    place.varve(&["pull", "--platform", "linux/arm64", &name]);

    place.tool(&["skopeo", "copy", "--all", &format!("oci:store:{name}"), "oci:copied:1"]);
    place.tool(&["cp", "-a", "store", "swept"]);
    place.tool(&["umoci", "gc", "--layout", "swept"]);
    let pushed = format!("{}/pushed/one:1", registry.host());
    place.varve(&["tag", &name, &pushed]);
    place.varve(&["push", &pushed]);
    place.varve(&["save", "--output", "one.tar", &name]);
    place.varve(&["--root", "loaded", "load", "--input", "one.tar"]);
    place.varve(&["system", "check"]);
}

#[test]
fn all_platforms_keep_the_index_and_its_digest() {
    let (place, registry) = (Place::new(), Registry::start());
    let name = two_platforms(&registry);
    place.varve(&["pull", "--platform", "all", &name]);
    let digest = place.inspect(&name, "{{index .RepoDigests 0}}");
    let digest = digest.split_once('@').expect("a digest").1.to_owned();
    assert!(blobs(&place.path("store")).iter().any(|blob| digest.ends_with(&blob.0)));

    let pushed = format!("{}/pushed/all:1", registry.host());
    place.varve(&["tag", &name, &pushed]);
    let said = place.varve(&["push", &pushed]);
    assert!(said.contains(&digest), "the push names another digest: {said}");
    if guard::tool("skopeo").is_some() {
        let source = format!("docker://{pushed}");
        place.tool(&["skopeo", "copy", "--all", "--src-tls-verify=false", &source, "oci:back:1"]);
        place.tool(&["skopeo", "copy", "--all", &format!("oci:store:{name}"), "oci:copied:1"]);
        assert!(blobs(&place.path("back")).iter().any(|blob| digest.ends_with(&blob.0)));
    }
}

#[test]
fn images_made_by_umoci_and_skopeo_are_loaded() {
    let (Some(_), Some(_)) = (guard::tool("skopeo"), guard::tool("umoci")) else { return };
    let place = Place::new();
    place.tool(&["umoci", "init", "--layout", "made"]);
    place.tool(&["umoci", "new", "--image", "made:one"]);
    place.write("file", "made by umoci\n");
    place.tool(&["umoci", "insert", "--rootless", "--image", "made:one", "file", "/file"]);
    place.tool(&["umoci", "config", "--image", "made:one", "--config.cmd", "/file"]);
    for (transport, file) in [("oci-archive", "oci.tar"), ("docker-archive", "docker.tar")] {
        let store = &format!("{file}.store");
        let target = format!("{transport}:{file}:umoci/made:one");
        place.tool(&["skopeo", "copy", "oci:made:one", &target]);
        let loaded = place.varve(&["--root", store, "load", "--input", file]);
        assert!(loaded.contains("Loaded image"), "{loaded}");
        let id = place.varve(&["--root", store, "images", "--quiet", "--no-trunc"]);
        let format = ["image", "inspect", "--format", "{{json .Config.Cmd}}", &id];
        let command = place.varve(&[&["--root", store], &format[..]].concat());
        assert_eq!(command, "[\"/file\"]");
        place.varve(&["--root", store, "system", "check"]);
    }
    // The layout as a directory, too.
    place.varve(&["--root", "directory", "load", "--input", "made"]);
}
