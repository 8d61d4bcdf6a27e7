//! Other tools read the store where it is, and varve takes what they make.

use serde_json::Value;
use varve_testkit::{Image, Registry};

use crate::{
    home::{Home, texts},
    peer::{Peer, copy_tree},
};

/// A store with one image of two layers; returns its name.
fn with_image(home: &Home) -> String {
    let registry = Registry::start();
    registry.push("app:1", Image::seeded(5).layers(2).files(4));
    let name = registry.reference("app:1").to_string();
    home.ok(&["pull", &name]);
    name
}

#[test]
fn skopeo_inspects_and_copies_out_of_the_store_in_place() {
    let Some(skopeo) = Peer::skopeo() else { return };
    let home = Home::new();
    let name = with_image(&home);
    let in_store = format!("oci:{}:{name}", home.store().display());
    let seen = skopeo.json(&home, &["inspect", &in_store]);
    let config = skopeo.json(&home, &["inspect", "--config", &in_store]);
    assert_eq!(texts(&config["rootfs"]["diff_ids"]), home.diff_ids(&name));
    assert_eq!(seen["Layers"].as_array().map(Vec::len), Some(2));
    let digest = seen["Digest"].as_str().unwrap();
    assert!(home.repo_digests(&name)[0].ends_with(digest), "{digest}");

    let to = format!("docker-archive:{}:copied:1", home.text("copied.tar"));
    skopeo.ok(&home, &["copy", &in_store, &to]);
    let to = format!("oci-archive:{}:copied:2", home.text("copied-oci.tar"));
    skopeo.ok(&home, &["copy", &in_store, &to]);
    let other = Home::new();
    for (archive, image) in [("copied.tar", "copied:1"), ("copied-oci.tar", "copied:2")] {
        other.ok(&["load", "-i", &home.text(archive)]);
        assert_eq!(other.id(image), home.id(&name), "{archive}");
    }
    other.check();
    home.check();
}

#[test]
fn umoci_lists_shows_and_unpacks_the_store_in_place() {
    let Some(umoci) = Peer::umoci() else { return };
    let home = Home::new();
    let name = with_image(&home);
    let (layout, image) =
        (home.store().display().to_string(), format!("{}:{name}", home.store().display()));
    let listed = umoci.ok(&home, &["ls", "--layout", &layout]);
    assert!(listed.lines().any(|line| line == name), "{listed}");
    let seen = umoci.json(&home, &["stat", "--json", "--image", &image]);
    assert_eq!(seen["history"].as_array().map(Vec::len), Some(2));
    let bundle = home.text("bundle");
    umoci.ok(&home, &["unpack", "--rootless", "--image", &image, &bundle]);
    for layer in 0..2 {
        let file = home.path(&format!("bundle/rootfs/layer-{layer}/file-3"));
        assert_eq!(std::fs::metadata(&file).unwrap().len(), 4096, "{}", file.display());
    }
    home.check();
}

/// `umoci` makes images step by step in a layout of its own; skopeo carries them to a registry.
#[test]
fn images_made_by_umoci_are_loaded_and_pulled() {
    let (Some(umoci), Some(skopeo)) = (Peer::umoci(), Peer::skopeo()) else { return };
    let home = Home::new();
    let layout = home.text("layout");
    let image = format!("{layout}:made");
    home.write("inserted/hello", b"hello\n");
    umoci.ok(&home, &["init", "--layout", &layout]);
    umoci.ok(&home, &["new", "--image", &image]);
    let inserted = home.text("inserted");
    umoci.ok(&home, &["insert", "--rootless", "--image", &image, &inserted, "/srv"]);
    let bundle = home.text("bundle");
    umoci.ok(&home, &["unpack", "--rootless", "--image", &image, &bundle]);
    home.write("bundle/rootfs/srv/more", b"more\n");
    std::fs::remove_file(home.path("bundle/rootfs/srv/hello")).unwrap();
    umoci.ok(&home, &["repack", "--image", &image, &bundle]);
    umoci.ok(&home, &["config", "--image", &image, "--config.cmd", "/bin/true"]);
    let config = skopeo.json(&home, &["inspect", "--config", &format!("oci:{image}")]);
    let diff_ids = texts(&config["rootfs"]["diff_ids"]);
    assert_eq!(diff_ids.len(), 2);

    // As an archive of the layout, and as the layout itself.
    let tar = home.text("layout.tar");
    let packed = std::process::Command::new("tar").args(["-C", &layout, "-cf", &tar, "."]).status();
    assert!(packed.unwrap().success());
    for source in [&tar, &layout] {
        let loaded = Home::new();
        loaded.ok(&["load", "-i", source]);
        assert_eq!(loaded.diff_ids("made:latest"), diff_ids, "{source}");
        loaded.check();
    }

    let registry = Registry::start();
    let name = registry.reference("umoci:1").to_string();
    let to = format!("docker://{name}");
    skopeo.ok(&home, &["copy", "--dest-tls-verify=false", &format!("oci:{image}"), &to]);
    home.ok(&["pull", &name]);
    assert_eq!(home.diff_ids(&name), diff_ids);
    assert_eq!(home.inspect(&name)["Config"]["Cmd"], serde_json::json!(["/bin/true"]));
    home.check();
}

/// Rows that other tools write into our layout are adopted.
#[test]
fn what_skopeo_and_umoci_write_into_the_store_is_an_image_there() {
    let (Some(umoci), Some(skopeo)) = (Peer::umoci(), Peer::skopeo()) else { return };
    let home = Home::new();
    let name = with_image(&home);
    let registry = Registry::start();
    let made = Image::seeded(9).layers(2).build();
    registry.push("other:1", &made);
    let from = format!("docker://{}", registry.reference("other:1"));
    let to = format!("oci:{}:other:1", home.store().display());
    skopeo.ok(&home, &["copy", "--src-tls-verify=false", &from, &to]);
    assert_eq!(home.id("other:1"), made.id().to_string());

    let ours = format!("{}:{name}", home.store().display());
    umoci.ok(&home, &["tag", "--image", &ours, "tagged"]);
    assert_eq!(home.id("tagged:latest"), home.id(&name));
    let tagged = format!("{}:tagged", home.store().display());
    umoci.ok(&home, &["config", "--image", &tagged, "--config.label", "by=umoci"]);
    assert_eq!(home.inspect("tagged:latest")["Config"]["Labels"]["by"], "umoci");
    assert_ne!(home.id("tagged:latest"), home.id(&name));
    for image in ["other:1", "tagged:latest", &name] {
        home.ok(&["save", "-o", &home.text("saved.tar"), image]);
        let loaded = Home::new();
        loaded.ok(&["load", "-i", &home.text("saved.tar")]);
        assert_eq!(loaded.id(image), home.id(image));
    }
    home.check();
    home.ok(&["rmi", "other:1", "tagged:latest"]);
    assert_eq!(home.images().len(), 1);
    home.check();
}

/// `buildah` commits to its own storage and copies out as every kind of archive.
#[test]
fn images_made_by_buildah_are_loaded_saved_and_loaded_again() {
    let home = Home::new();
    let Some(buildah) = Peer::buildah(&home) else { return };
    home.write("tree/etc/greeting", b"hello\n");
    home.write("tree/usr/share/words", &b"words ".repeat(5000));
    let container = buildah.ok(&home, &["from", "scratch"]);
    buildah.ok(&home, &["copy", &container, &home.text("tree"), "/"]);
    buildah.ok(&home, &["config", "--cmd", "/bin/true", "--label", "by=buildah", &container]);
    for (kind, format) in [("oci-archive", "oci"), ("docker-archive", "docker")] {
        let archive = home.text(&format!("{kind}.tar"));
        let image = format!("localhost/{kind}:1");
        let to = format!("{kind}:{archive}:{image}");
        buildah.ok(&home, &["commit", "--format", format, &container, &to]);
        let loaded = Home::new();
        let said = loaded.ok(&["load", "-i", &archive]);
        assert!(said.contains(&format!("Loaded image: {image}")), "{said}");
        let seen = loaded.inspect(&image);
        assert_eq!(seen["Config"]["Labels"]["by"], Value::from("buildah"));
        assert_eq!(seen["Config"]["Cmd"], serde_json::json!(["/bin/true"]));

        let saved = loaded.text("saved.tar");
        loaded.ok(&["save", "-o", &saved, &image]);
        let again = Home::new();
        again.ok(&["load", "-i", &saved]);
        assert_eq!((again.id(&image), again.blobs()), (loaded.id(&image), loaded.blobs()));
        // And back to where it came from.
        buildah.ok(&home, &["pull", "--policy", "always", &format!("docker-archive:{saved}")]);
        loaded.check();
        again.check();
    }
}

/// A copy of the store is a store.
#[test]
fn a_copied_store_is_a_store() {
    let home = Home::new();
    let name = with_image(&home);
    copy_tree(home.store(), &home.path("copy"));
    let copy = Home::with_store(&home.path("copy"));
    assert_eq!(copy.id(&name), home.id(&name));
    copy.check();
}
