//! Images of several platforms, of which one or all are here.

use serde_json::Value;
use varve_testkit::{Image, Registry, image::Built};

use crate::{
    home::Home,
    peer::{Peer, copy_tree},
};

fn index() -> Built {
    let platform = |seed, platform| Image::seeded(seed).layers(2).platform(platform);
    Image::index(&[
        platform(1, "linux/amd64"),
        platform(2, "linux/arm64/v8"),
        platform(3, "linux/s390x"),
    ])
}

/// Where the layout of a store names an image, in the spelling of `skopeo` and `umoci`.
fn in_layout(home: &Home, name: &str) -> String {
    format!("{}:{name}", home.store().display())
}

/// Absent children would make all of these fail: the layout names what is here.
#[test]
fn one_platform_of_an_index_leaves_a_layout_that_everybody_can_use() {
    let (home, registry, index) = (Home::new(), Registry::start(), index());
    let name = registry.reference("app:1").to_string();
    registry.push("app:1", &index);
    home.ok(&["pull", "--platform", "linux/arm64", &name]);
    assert_eq!(home.id(&name), index.images[1].id.to_string());
    let by_index = format!("{}@{}", registry.reference("app"), index.digest());
    assert_eq!(home.repo_digests(&name), [by_index.as_str()]);

    if let Some(skopeo) = Peer::skopeo() {
        let from = format!("oci:{}", in_layout(&home, &name));
        let to = format!("dir:{}", home.text("copied"));
        skopeo.ok(&home, &["copy", "--all", &from, &to]);
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(home.path("copied/manifest.json")).unwrap())
                .unwrap();
        let config = &manifest["config"]["digest"];
        assert_eq!(config, &Value::from(index.images[1].id.to_string()));
    }
    if let Some(umoci) = Peer::umoci() {
        let copy = home.path("copy");
        copy_tree(home.store(), &copy);
        umoci.ok(&home, &["gc", "--layout", &copy.display().to_string()]);
        let swept = Home::with_store(&copy);
        let manifest = index.images[1].manifest.digest.to_string();
        for blob in [&manifest, &index.images[1].id.to_string()] {
            assert_eq!(swept.blob(blob), home.blob(blob));
        }
        swept.ok(&["save", "-o", &home.text("swept.tar"), &name]);
    }
    let archive = home.text("image.tar");
    home.ok(&["save", "-o", &archive, &name]);
    let loaded = Home::new();
    loaded.ok(&["load", "-i", &archive]);
    assert_eq!(loaded.id(&name), index.images[1].id.to_string());

    let elsewhere = Registry::start();
    let second = elsewhere.reference("app:1").to_string();
    home.ok(&["tag", &name, &second]);
    let pushed = home.run(&["push", &second]);
    assert_eq!(pushed.code, 0, "{}{}", pushed.stdout, pushed.stderr);
    let digest = index.images[1].manifest.digest.to_string();
    assert!(pushed.stdout.contains(&digest), "the manifest is sent: {}", pushed.stdout);
    let said = pushed.stdout + &pushed.stderr;
    assert!(said.contains("not the whole index"), "and push says so: {said}");
    home.check();
    loaded.check();
}

#[test]
fn all_platforms_of_an_index_are_kept_pushed_and_saved_with_its_digest() {
    let (home, registry, index) = (Home::new(), Registry::start(), index());
    let name = registry.reference("app:1").to_string();
    registry.push("app:1", &index);
    home.ok(&["pull", "--platform", "all", &name]);
    let root = index.digest().to_string();
    assert_eq!(home.blob(&root), index.manifests.last().unwrap().1);

    let elsewhere = Registry::start();
    let second = elsewhere.reference("team/app:2").to_string();
    home.ok(&["tag", &name, &second]);
    let said = home.ok(&["push", &second]);
    assert!(said.contains(&root), "{said}");
    let other = Home::new();
    for (image, platform) in index.images.iter().zip(["linux/amd64", "linux/arm64", "linux/s390x"])
    {
        other.ok(&["pull", "--platform", platform, &second]);
        assert_eq!(other.id(&second), image.id.to_string());
        assert_eq!(other.blob(&root), home.blob(&root));
    }
    let digests = home.repo_digests(&name);
    for repository in [registry.reference("app"), elsewhere.reference("team/app")] {
        let wanted = format!("{repository}@{root}");
        assert!(digests.contains(&wanted), "{wanted} in {digests:?}");
    }

    let archive = home.text("all.tar");
    home.ok(&["save", "-o", &archive, &name]);
    let loaded = Home::new();
    loaded.ok(&["load", "-i", &archive]);
    for (descriptor, bytes) in index.blobs.iter().chain(&index.manifests) {
        assert_eq!(&loaded.blob(&descriptor.digest.to_string()), bytes);
    }
    if let Some(skopeo) = Peer::skopeo() {
        let from = format!("oci:{}", in_layout(&home, &name));
        let to = format!("dir:{}", home.text("copied"));
        skopeo.ok(&home, &["copy", "--all", &from, &to]);
        assert_eq!(std::fs::read(home.path("copied/manifest.json")).unwrap(), home.blob(&root));
    }
    if let Some(umoci) = Peer::umoci() {
        let copy = home.path("copy");
        copy_tree(home.store(), &copy);
        umoci.ok(&home, &["gc", "--layout", &copy.display().to_string()]);
        assert_eq!(Home::with_store(&copy).blobs(), home.blobs());
    }
    for home in [&home, &other, &loaded] {
        home.check();
    }
}

/// One platform, then all: what was named by the manifest is named by the index from then on.
#[test]
fn the_rest_of_an_index_can_be_fetched_later() {
    let (home, registry, index) = (Home::new(), Registry::start(), index());
    let name = registry.reference("app:1").to_string();
    registry.push("app:1", &index);
    home.ok(&["pull", "--platform", "linux/s390x", &name]);
    registry.take_log();
    home.ok(&["pull", "--platform", "all", &name]);
    let here: Vec<String> =
        index.images[2].layers.iter().map(|layer| layer.digest.to_string()).collect();
    let again: Vec<String> = registry
        .take_log()
        .into_iter()
        .filter(|entry| {
            entry.method == "GET" && here.iter().any(|digest| entry.path.ends_with(digest))
        })
        .map(|entry| entry.path)
        .collect();
    assert_eq!(again, Vec::<String>::new(), "what was here is not fetched again");
    let elsewhere = Registry::start();
    let second = elsewhere.reference("app:1").to_string();
    home.ok(&["tag", &name, &second]);
    let said = home.ok(&["push", &second]);
    assert!(said.contains(&index.digest().to_string()), "{said}");
    home.check();
}
