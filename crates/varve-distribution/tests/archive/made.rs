//! Archives, layers and stores made to order.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::Path,
};

use serde_json::{Value, json};
use varve_distribution::archive::{self, LoadInput, LoadedImage, SavedImage};
use varve_fs::tar;
use varve_store::{Lease, Store};
use varve_types::{Ctx, Descriptor, Digest, Platform, Reference, media_type};

/// A store that goes away with the test.
pub(crate) struct TempStore {
    pub(crate) store: Store,
    pub(crate) lease: Lease,
    pub(crate) directory: tempfile::TempDir,
}

impl TempStore {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let lease = store.lease().unwrap();
        Self { store, lease, directory }
    }

    pub(crate) fn load(&self, archive: &[u8]) -> archive::Result<Vec<LoadedImage>> {
        self.load_for(archive, None)
    }

    pub(crate) fn load_for(
        &self,
        mut archive: &[u8],
        platform: Option<&str>,
    ) -> archive::Result<Vec<LoadedImage>> {
        let platform: Option<Platform> = platform.map(|text| text.parse().unwrap());
        let input = LoadInput::Stream(&mut archive);
        archive::load(&self.store, &self.lease, input, platform.as_ref(), &Ctx::for_test())
    }

    pub(crate) fn load_directory(&self, path: &Path) -> archive::Result<Vec<LoadedImage>> {
        let input = LoadInput::Directory(path);
        archive::load(&self.store, &self.lease, input, None, &Ctx::for_test())
    }

    /// Loads and tells about each image on a line, or the error.
    pub(crate) fn told(&self, archive: &[u8]) -> String {
        told(self.load(archive))
    }

    pub(crate) fn save(&self, images: &[LoadedImage]) -> Vec<u8> {
        let images: Vec<SavedImage> = images.iter().map(saved).collect();
        let mut output = Vec::new();
        archive::save(&self.store, &images, None, &mut output).unwrap();
        output
    }
}

pub(crate) fn saved(image: &LoadedImage) -> SavedImage {
    SavedImage { manifest: image.target.clone(), image: image.image, tags: image.names.clone() }
}

/// Images on a line each: names, or the ID without one; or the error and its causes.
pub(crate) fn told(loaded: archive::Result<Vec<LoadedImage>>) -> String {
    match loaded {
        Ok(images) => images.iter().fold(String::new(), |told, image| {
            let names: Vec<String> = image.names.iter().map(Reference::familiar).collect();
            let names = if names.is_empty() { "an image".to_owned() } else { names.join(" ") };
            let made = if image.made_here { " (manifest made)" } else { "" };
            format!("{told}{names}{made}\n")
        }),
        Err(error) => format!("error: {error}\n"),
    }
}

/// A tar of files in the order given; a name with a slash at its end is a directory.
pub(crate) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = tar::Writer::new(Vec::new());
    for (path, bytes) in files {
        let path = path.as_bytes();
        if let Some(directory) = path.strip_suffix(b"/") {
            writer.append_bytes(&tar::NewEntry::directory(directory), b"").unwrap();
        } else {
            let entry = tar::NewEntry::file(path, bytes.len() as u64);
            writer.append_bytes(&entry, bytes).unwrap();
        }
    }
    writer.finish().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Runs a program of the system over bytes; `None` when it is not there.
pub(crate) fn filter(program: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut child = std::process::Command::new(varve_testkit::guard::tool(program)?)
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take()?;
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let mut output = Vec::new();
    child.stdout.take()?.read_to_end(&mut output).ok()?;
    writer.join().ok()?.ok()?;
    child.wait().ok()?.success().then_some(output)
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}

pub(crate) fn blob_path(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", digest(bytes).hex())
}

/// An image as its maker has it.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) config: Vec<u8>,
}

impl Image {
    /// An image of one layer per text.
    pub(crate) fn of(texts: &[&str]) -> Self {
        let layers: Vec<Vec<u8>> = texts
            .iter()
            .map(|text| tar_of(&[("etc/", b""), ("etc/text", text.as_bytes())]))
            .collect();
        Self::with_layers(layers, &json!({"architecture": "amd64", "os": "linux"}))
    }

    pub(crate) fn with_layers(layers: Vec<Vec<u8>>, members: &Value) -> Self {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let mut config = members.clone();
        config["created"] = json!("2026-11-20T13:17:23Z");
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        Self { layers, config: config.to_string().into_bytes() }
    }

    pub(crate) fn for_platform(os: &str, architecture: &str) -> Self {
        let layer = tar_of(&[("platform", architecture.as_bytes())]);
        Self::with_layers(vec![layer], &json!({"architecture": architecture, "os": os}))
    }

    /// A manifest over blobs that stand for the layers.
    pub(crate) fn manifest(&self, blobs: &[Vec<u8>], layer_type: &str) -> Vec<u8> {
        let layers: Vec<Descriptor> =
            blobs.iter().map(|blob| Descriptor::of(layer_type, blob)).collect();
        let config = Descriptor::of(media_type::OCI_CONFIG, &self.config);
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": layers})
            .to_string()
            .into_bytes()
    }
}

/// The members of an archive, to be altered before it is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members(pub(crate) BTreeMap<String, Vec<u8>>);

impl Members {
    pub(crate) fn put(&mut self, path: &str, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.0.insert(path.to_owned(), bytes.into());
        self
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) -> &mut Self {
        self.put(&blob_path(bytes), bytes)
    }

    pub(crate) fn remove(&mut self, path: &str) -> &mut Self {
        assert!(self.0.remove(path).is_some(), "{path}");
        self
    }

    pub(crate) fn tar(&self) -> Vec<u8> {
        let files: Vec<(&str, &[u8])> =
            self.0.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        tar_of(&files)
    }

    /// As Docker's overlay2 store writes it since version 25.
    pub(crate) fn docker(image: &Image, tag: Option<&str>) -> Self {
        let mut members = Self::default();
        let manifest = image.manifest(&image.layers, media_type::OCI_LAYER);
        members.blob(&image.config).blob(&manifest);
        for layer in &image.layers {
            members.blob(layer);
        }
        let layers: Vec<String> = image.layers.iter().map(|layer| blob_path(layer)).collect();
        members.manifest_json(&blob_path(&image.config), tag, &layers);
        members.index_json(&[(&manifest, media_type::OCI_MANIFEST, tag)]);
        members.put("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#);
        members
    }

    pub(crate) fn manifest_json(&mut self, config: &str, tag: Option<&str>, layers: &[String]) {
        let tags = tag.map(|tag| vec![tag]);
        let entry = json!([{"Config": config, "RepoTags": tags, "Layers": layers}]);
        self.put("manifest.json", entry.to_string());
    }

    pub(crate) fn index_json(&mut self, manifests: &[(&[u8], &str, Option<&str>)]) {
        let descriptors: Vec<Descriptor> = manifests
            .iter()
            .map(|(bytes, kind, name)| {
                let mut descriptor = Descriptor::of(*kind, bytes);
                let key = "org.opencontainers.image.ref.name".to_owned();
                descriptor.annotations.extend(name.map(|name| (key, name.to_owned())));
                descriptor
            })
            .collect();
        let index = json!({"schemaVersion": 2, "manifests": descriptors});
        self.put("index.json", index.to_string());
    }
}
