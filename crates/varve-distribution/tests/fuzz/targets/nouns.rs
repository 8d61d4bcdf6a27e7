//! Any bytes as a reference, a digest, a platform, a manifest, an index, a config, a sealed record and
//! a challenge: read back as the same, or refused.

use varve_types::{
    Digest, ImageConfig, ManifestKind, Platform, Reference, Repository, limits, sealed,
};

use super::challenge;

/// What fuzzing begins with.
#[allow(dead_code)]
pub(crate) const SEEDS: &[&[u8]] = &[
    b"busybox",
    // Was shown as it is.
    b"Upper\x05\x1b[2J",
    b"registry.example:5000/team/app:1.2@sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    b"[::1]:5000/a__b/c---d:_x.-",
    b"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    b"linux/arm64/v8",
    b"{\"a\":1,\"sum\":\"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b\"}\n",
    b"Bearer realm=\"https://auth.example/token\",service=\"x\",scope=\"repository:a:pull,push\", Basic realm=y",
    b"{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\",\"size\":2},\"layers\":[]}",
    b"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\",\"size\":2,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}]}",
    b"{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2026-01-01T00:00:00Z\",\"config\":{\"Env\":[\"A=b\"],\"ExposedPorts\":{\"80/tcp\":{}}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]},\"history\":[]}",
];

/// The target.
pub(crate) fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        names(text);
        for challenge in challenge::parse(text.lines()) {
            assert_eq!(challenge.scheme, challenge.scheme.to_ascii_lowercase());
            assert!(challenge.get("realm").is_none_or(|realm| !realm.is_empty()));
        }
    }
    match ManifestKind::parse(data.to_vec(), "") {
        Ok(ManifestKind::Manifest(manifest)) => {
            assert_eq!(manifest.bytes(), data);
            assert!(manifest.layers.len() <= limits::LAYERS_MAX);
        }
        Ok(ManifestKind::Index(index)) => {
            assert_eq!(index.bytes(), data);
            assert!(index.manifests.len() <= limits::INDEX_ENTRIES_MAX);
        }
        Err(error) => is_plain(&error.to_string()),
    }
    match ImageConfig::parse(data.to_vec()) {
        Ok(config) => {
            assert_eq!((config.bytes(), config.image_id().0), (data, Digest::of(data)));
        }
        Err(error) => is_plain(&error.to_string()),
    }
    if let Ok(value) = sealed::parse::<serde_json::Value>(data) {
        let text = sealed::seal(&value).expect("a value is JSON");
        assert_eq!(sealed::parse::<serde_json::Value>(&text).expect("what was sealed"), value);
    }
}

fn names(text: &str) {
    match text.parse::<Reference>() {
        Ok(reference) => {
            let shown = reference.to_string();
            assert_eq!(shown.parse::<Reference>().as_ref(), Ok(&reference), "{shown}");
            let familiar = reference.familiar();
            assert_eq!(familiar.parse::<Reference>().as_ref(), Ok(&reference), "{familiar}");
        }
        Err(error) => is_plain(&error.to_string()),
    }
    if let Ok(repository) = Repository::parse(text) {
        let shown = repository.to_string();
        assert_eq!(Repository::parse(&shown).as_ref(), Ok(&repository), "{shown}");
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(platform) = text.parse::<Platform>() {
        let shown = platform.to_string();
        assert_eq!(shown.parse::<Platform>().as_ref(), Ok(&platform), "{shown}");
    }
}

/// Nothing of an input drives a terminal.
fn is_plain(error: &str) {
    assert!(!error.chars().any(char::is_control), "{error:?}");
}
