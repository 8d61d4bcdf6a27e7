//! Root file systems that become images.

use expect_test::expect;
use varve_distribution::archive::{self, Import, LoadedImage};
use varve_types::{Ctx, ManifestKind, media_type};

use crate::made::{TempStore, digest, filter, gzip, tar_of};

const PLAIN: Import<'static> =
    Import { changes: &[], message: None, platform: Some("linux/amd64"), source_text: "-" };

fn import(
    store: &TempStore,
    mut body: &[u8],
    request: &Import<'_>,
) -> archive::Result<LoadedImage> {
    archive::import(&store.store, &store.lease, &mut body, request, &Ctx::for_test())
}

fn root() -> Vec<u8> {
    tar_of(&[("etc/", b""), ("etc/os-release", b"ID=x\n")])
}

#[test]
fn the_layer_is_the_tar_as_it_was_given() {
    let store = TempStore::new();
    let image = import(&store, &root(), &PLAIN).unwrap();
    let ManifestKind::Manifest(manifest) = store.store.manifest(&image.target.digest).unwrap()
    else {
        panic!("an index")
    };
    assert_eq!(manifest.layers[0].digest, digest(&root()));
    assert_eq!(manifest.layers[0].media_type, media_type::OCI_LAYER);
    assert_eq!(store.store.config(&image.image).unwrap().diff_ids()[0].0, digest(&root()));
    assert_eq!(image.size_bytes, 5);
    assert!(image.made_here);
    assert_eq!(image.created, Some(Ctx::for_test().now()));
}

#[test]
fn the_same_tar_in_any_compression_is_the_same_image() {
    let store = TempStore::new();
    let image = import(&store, &root(), &PLAIN).unwrap();
    let mut packed = vec![gzip(&root())];
    packed.extend(["bzip2", "xz", "zstd"].iter().filter_map(|program| filter(program, &root())));
    for body in packed {
        assert_eq!(import(&store, &body, &PLAIN).unwrap().target, image.target);
    }
}

#[test]
fn no_bytes_and_no_members_are_empty_layers() {
    let store = TempStore::new();
    let empty = import(&store, b"", &PLAIN).unwrap();
    assert_eq!(store.store.config(&empty.image).unwrap().diff_ids()[0].0, digest(b""));
    let tar = tar_of(&[]);
    let none = import(&store, &tar, &PLAIN).unwrap();
    assert_eq!(store.store.config(&none.image).unwrap().diff_ids()[0].0, digest(&tar));
}

#[test]
fn platform_message_and_changes_reach_the_config() {
    let store = TempStore::new();
    let changes = ["CMD [\"sh\"]".to_owned(), "ENV A=1".to_owned()];
    let request = Import {
        changes: &changes,
        message: Some("my message"),
        platform: Some("linux/arm/v7"),
        source_text: "http://x/y.tar",
    };
    let image = import(&store, &root(), &request).unwrap();
    let config = store.store.config(&image.image).unwrap();
    assert_eq!(config.comment, "my message");
    assert_eq!(config.history[0].comment, "my message");
    assert_eq!(config.platform().to_string(), "linux/arm/v7");
    assert_eq!(config.config.cmd, Some(vec!["sh".to_owned()]));
    let image = import(&store, &root(), &Import { message: None, ..request }).unwrap();
    assert_eq!(store.store.config(&image.image).unwrap().comment, "Imported from http://x/y.tar");
    let odd = Import { platform: Some("linux/nope"), ..PLAIN };
    assert_eq!(import(&store, &root(), &odd).unwrap().platform.to_string(), "linux/nope");
}

#[test]
fn what_cannot_be_imported_is_refused_in_dockers_words() {
    let store = TempStore::new();
    let refused = |body: &[u8], request: &Import<'_>| {
        import(&store, body, request).expect_err("an import").to_string()
    };
    let packed = gzip(&root());
    expect![["unexpected EOF"]].assert_eq(&refused(b"garbage\n", &PLAIN));
    expect![["unexpected EOF"]].assert_eq(&refused(&root()[..700], &PLAIN));
    expect![["unexpected EOF"]].assert_eq(&refused(&packed[..packed.len() / 2], &PLAIN));
    let changes = ["RUN x".to_owned()];
    let request = Import { changes: &changes, ..PLAIN };
    expect![["RUN is not a valid change command"]].assert_eq(&refused(&root(), &request));
    let request = Import { platform: Some("foo"), ..PLAIN };
    expect![[r#""foo": unknown operating system or architecture: invalid argument"#]]
        .assert_eq(&refused(&root(), &request));
}
