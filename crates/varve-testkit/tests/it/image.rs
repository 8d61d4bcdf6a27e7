//! Images made to order.

use std::process::Command;

use varve_testkit::{Image, guard};
use varve_types::{Digest, ManifestKind};

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let make = |seed| Image::seeded(seed).layers(2).zstd().label("a", "b").build();
    assert_eq!(make(1).root, make(1).root);
    assert_ne!(make(1).root.digest, make(2).root.digest);
    assert_ne!(make(1).images[0].layers, make(2).images[0].layers);
}

#[test]
fn descriptors_tell_the_truth() {
    let built = Image::index(&[
        Image::seeded(1).plain(),
        Image::seeded(2).platform("linux/arm64/v8").docker(),
    ]);
    for (descriptor, bytes) in built.blobs.iter().chain(&built.manifests) {
        assert_eq!(descriptor.digest, Digest::of(bytes));
        assert_eq!(descriptor.size, bytes.len() as u64);
    }
    for (descriptor, bytes) in &built.manifests {
        ManifestKind::parse(bytes.clone(), &descriptor.media_type).unwrap();
    }
}

/// Another tool reads what we make: layout, archive and the tars inside.
#[test]
fn skopeo_takes_layouts_and_docker_archives() {
    let Some(skopeo) = guard::tool("skopeo") else { return };
    let directory = tempfile::tempdir().unwrap();
    let built = Image::seeded(1).layers(2).build();
    built.write_layout(&directory.path().join("layout"), Some("1"));
    std::fs::write(directory.path().join("docker.tar"), built.docker_archive(&["app:1"])).unwrap();
    std::fs::write(directory.path().join("oci.tar"), built.oci_archive(Some("1"))).unwrap();
    for source in ["oci:layout:1", "docker-archive:docker.tar", "oci-archive:oci.tar:1"] {
        let status = Command::new(&skopeo)
            .args(["--insecure-policy", "copy", "-q", source, "oci:copy:1"])
            .current_dir(directory.path())
            .status()
            .unwrap();
        assert!(status.success(), "{source}");
    }
}
