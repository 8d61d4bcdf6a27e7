//! A real root file system goes out and comes back by every way there is.

use serde_json::Value;
use varve_testkit::{Entry, Image, Registry};
use varve_types::Digest;

use crate::{
    home::{Home, texts},
    peer::debian_root,
};

/// Manifest and layers of an image as a registry has them.
#[derive(Debug, PartialEq, Eq)]
struct Bytes {
    manifest_digest: String,
    manifest: Vec<u8>,
    layers: Vec<Vec<u8>>,
}

/// Made here, pushed there: the config never changes, the compressed manifest that the first push
/// made never changes either, and what was pushed once is not sent again.
#[test]
fn a_real_root_keeps_its_digests_through_import_push_pull_save_and_load() {
    let Some(tar) = debian_root() else { return };
    let (home, registry) = (Home::new(), Registry::start());
    let tar = tar.display().to_string();
    let name = registry.reference("team/debian:1").to_string();
    let repository = registry.reference("team/debian").to_string();

    // Import: a config and a plain tar, known to no registry.
    let id = home.ok(&["import", "--change", "CMD [\"bash\"]", &tar, "debian:made"]);
    let diff_ids = home.diff_ids("debian:made");
    let same = |home: &Home, image: &str| {
        assert_eq!((home.id(image), home.diff_ids(image)), (id.clone(), diff_ids.clone()));
    };
    same(&home, "debian:made");
    assert!(home.repo_digests("debian:made").is_empty());
    home.ok(&["tag", "debian:made", &name]);
    assert!(home.repo_digests(&name).is_empty());

    // The first push compresses; the local names keep what they had.
    let pushed = pushed_digest(&home.ok(&["push", &name]));
    let there = in_registry(&registry, "1");
    assert_eq!(there.manifest_digest, pushed);
    let by_digest = format!("{repository}@{pushed}");
    same(&home, &name);
    assert_eq!(home.repo_digests(&name), [by_digest.as_str()]);
    assert_eq!(home.repo_digests("debian:made"), [by_digest.as_str()]);

    // The second push, of this name and of another, sends nothing.
    registry.take_log();
    assert_eq!(pushed_digest(&home.ok(&["push", &name])), pushed);
    let second = registry.reference("team/debian:2").to_string();
    home.ok(&["tag", "debian:made", &second]);
    assert_eq!(pushed_digest(&home.ok(&["push", &second])), pushed);
    assert_eq!(sent(&registry.take_log()), Vec::<String>::new());
    assert_eq!(in_registry(&registry, "2"), there);
    home.ok(&["rmi", &second]);
    assert_eq!(home.repo_digests(&name), [by_digest.as_str()]);
    home.check();

    // Another machine, by tag and by digest: the compressed form.
    let other = Home::new();
    for reference in [&name, &by_digest] {
        other.ok(&["pull", reference]);
        same(&other, reference);
        assert_eq!(other.repo_digests(reference), [by_digest.as_str()]);
        assert_eq!(in_store(&other, &pushed), there);
        other.ok(&["rmi", "-f", &id]);
    }

    // The same machine after `rmi`: nothing of it is left, everything comes back.
    home.ok(&["rmi", &name, "debian:made"]);
    assert!(home.images().is_empty());
    assert!(home.blobs().is_empty(), "rmi left {:?}", home.blobs());
    home.ok(&["pull", &name]);
    same(&home, &name);
    home.ok(&["pull", &by_digest]);
    assert_eq!(home.repo_digests(&name), [by_digest.as_str()]);
    assert_eq!(in_store(&home, &pushed), there);

    // Save and load carry the bytes as stored, and push sends nothing then.
    let (archive, again) = (home.text("image.tar"), home.text("again.tar"));
    home.ok(&["save", "-o", &archive, &name]);
    home.ok(&["save", "-o", &again, &name]);
    assert!(std::fs::read(&archive).unwrap() == std::fs::read(&again).unwrap());
    let loaded = Home::new();
    assert!(loaded.ok(&["load", "-i", &archive]).contains(&format!("Loaded image: {name}")));
    same(&loaded, &name);
    assert!(loaded.repo_digests(&name).is_empty(), "nothing says which registry it was in");
    assert_eq!(in_store(&loaded, &pushed), there);
    registry.take_log();
    assert_eq!(pushed_digest(&loaded.ok(&["push", &name])), pushed);
    assert_eq!(sent(&registry.take_log()), Vec::<String>::new());
    assert_eq!(loaded.repo_digests(&name), [by_digest]);
    for home in [&home, &other, &loaded] {
        home.check();
    }
}

/// What is saved before anything was pushed is the first manifest: the plain tar, and so is what
/// another store loads; pushed from there it becomes the very same second manifest.
#[test]
fn an_image_saved_before_its_first_push_is_pushed_alike_from_both_stores() {
    let (home, registry) = (Home::new(), Registry::start());
    let root = home.write("root.tar", &Image::seeded(7).files(30).build().images[0].tars[0]);
    let id = home.ok(&["import", &root.display().to_string(), "made:1"]);
    let archive = home.text("made.tar");
    home.ok(&["save", "-o", &archive, "made:1"]);

    let other = Home::new();
    other.ok(&["load", "-i", &archive]);
    assert_eq!(other.id("made:1"), id);
    assert_eq!(other.diff_ids("made:1"), home.diff_ids("made:1"));
    assert_eq!(other.blobs(), home.blobs());

    let name = registry.reference("made:1").to_string();
    home.ok(&["tag", "made:1", &name]);
    home.ok(&["push", &name]);
    home.ok(&["save", "-o", &home.text("later.tar"), "made:1"]);
    assert!(
        std::fs::read(&archive).unwrap() == std::fs::read(home.path("later.tar")).unwrap(),
        "the local name keeps its first manifest"
    );
    other.check();
    home.check();
}

/// The digest on the last line of a push.
fn pushed_digest(output: &str) -> String {
    let line = output.lines().last().unwrap_or_default();
    let digest = line.split_whitespace().find(|word| word.starts_with("sha256:"));
    digest.unwrap_or_else(|| panic!("no digest in {output}")).to_owned()
}

/// The requests that carried content.
fn sent(log: &[Entry]) -> Vec<String> {
    let uploads = log.iter().filter(|entry| entry.is_upload());
    uploads.map(|entry| format!("{} {}", entry.method, entry.path)).collect()
}

fn in_registry(registry: &Registry, tag: &str) -> Bytes {
    let root = registry.tagged("team/debian", tag).expect("the tag");
    let bytes = |digest: &Digest| registry.bytes("team/debian", digest).expect("the bytes");
    let manifest = bytes(&root.digest);
    let parsed: Value = serde_json::from_slice(&manifest).expect("a manifest");
    let layers = layer_digests(&parsed);
    let layers = layers.iter().map(|digest| bytes(&digest.parse().expect("a digest"))).collect();
    Bytes { manifest_digest: root.digest.to_string(), manifest, layers }
}

fn in_store(home: &Home, digest: &str) -> Bytes {
    let manifest = home.blob(digest);
    let parsed: Value = serde_json::from_slice(&manifest).expect("a manifest");
    let layers = layer_digests(&parsed).iter().map(|digest| home.blob(digest)).collect();
    Bytes { manifest_digest: digest.to_owned(), manifest, layers }
}

fn layer_digests(manifest: &Value) -> Vec<String> {
    let layers = manifest["layers"].as_array().expect("layers");
    texts(&layers.iter().map(|layer| layer["digest"].clone()).collect())
}
