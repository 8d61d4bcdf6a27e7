//! Images that were made, and where they can be put.

use std::{fs, path::Path};

use serde_json::json;
use varve_distribution::server::{RepositoryName, Storage, storage::NewManifest};
use varve_types::{Descriptor, DiffId, Digest, ImageId, ManifestKind, Platform, media_type};

use super::Image;
use crate::tar::Tar;

/// An image or index with everything it names.
#[derive(Debug, Clone)]
pub struct Built {
    /// What a tag points at.
    pub root: Descriptor,
    /// All manifests and indexes, children before parents: the last one is the root.
    pub manifests: Vec<(Descriptor, Vec<u8>)>,
    /// All configs and layers.
    pub blobs: Vec<(Descriptor, Vec<u8>)>,
    /// The images, in the index's order.
    pub images: Vec<BuiltImage>,
}

/// One image of a [`Built`].
#[derive(Debug, Clone)]
pub struct BuiltImage {
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its config.
    pub id: ImageId,
    /// Its layers as stored, lowest first.
    pub layers: Vec<Descriptor>,
    /// Its layers' diff IDs.
    pub diff_ids: Vec<DiffId>,
    /// Its layers' plain tars.
    pub tars: Vec<Vec<u8>>,
}

impl From<Image> for Built {
    fn from(image: Image) -> Self {
        image.build()
    }
}

impl From<&Image> for Built {
    fn from(image: &Image) -> Self {
        image.build()
    }
}

impl From<&Built> for Built {
    fn from(built: &Built) -> Self {
        built.clone()
    }
}

impl Built {
    pub(super) fn image(
        media_type: &str,
        manifest: Vec<u8>,
        config: (Descriptor, Vec<u8>),
        layers: Vec<(Descriptor, Vec<u8>)>,
        tars: Vec<Vec<u8>>,
    ) -> Self {
        let root = Descriptor::of(media_type, &manifest);
        let image = BuiltImage {
            manifest: root.clone(),
            id: ImageId(config.0.digest),
            layers: layers.iter().map(|(descriptor, _)| descriptor.clone()).collect(),
            diff_ids: tars.iter().map(|tar| DiffId(Digest::of(tar))).collect(),
            tars,
        };
        let blobs = std::iter::once(config).chain(layers).collect();
        Self { root: root.clone(), manifests: vec![(root, manifest)], blobs, images: vec![image] }
    }

    pub(super) fn index(images: &[Image]) -> Self {
        let docker = images.iter().any(|image| image.docker);
        let media_type =
            if docker { media_type::DOCKER_MANIFEST_LIST } else { media_type::OCI_INDEX };
        let (mut manifests, mut blobs, mut built) = (Vec::new(), Vec::new(), Vec::new());
        let mut children = Vec::new();
        for image in images {
            let one = image.build();
            let mut child = one.root;
            let platform: Platform = image.platform.parse().expect("a platform");
            child.platform = Some(platform);
            children.push(child);
            manifests.extend(one.manifests);
            blobs.extend(one.blobs);
            built.extend(one.images);
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": children,
        });
        let index = index.to_string().into_bytes();
        let root = Descriptor::of(media_type, &index);
        manifests.push((root.clone(), index));
        Self { root, manifests, blobs, images: built }
    }

    /// The digest of what a tag points at.
    pub fn digest(&self) -> Digest {
        self.root.digest
    }

    /// The ID of the first image.
    pub fn id(&self) -> ImageId {
        self.images[0].id
    }

    /// Puts everything into a registry's storage. Nothing is checked.
    pub fn put_into(
        &self,
        storage: &Storage,
        repository: &RepositoryName,
        tag: Option<&str>,
    ) -> Descriptor {
        for (_, bytes) in &self.blobs {
            storage.put_blob(repository, bytes).expect("a writable registry");
        }
        for (descriptor, bytes) in &self.manifests {
            let kind = ManifestKind::parse(bytes.clone(), &descriptor.media_type);
            let subject = match kind {
                Ok(ManifestKind::Manifest(manifest)) => manifest.value().subject.clone(),
                Ok(ManifestKind::Index(index)) => index.value().subject.clone(),
                // Some tests want a registry that hands out what it should have refused.
                Err(_) => None,
            };
            let new = NewManifest {
                tag: tag.filter(|_| descriptor.digest == self.root.digest),
                media_type: &descriptor.media_type,
                bytes,
                subject: subject.map(|subject| subject.digest),
                requires: &[],
            };
            storage.put_manifest(repository, &new).expect("a writable registry");
        }
        self.root.clone()
    }

    /// Writes an OCI layout; `name` becomes the root's `org.opencontainers.image.ref.name`.
    pub fn write_layout(&self, directory: &Path, name: Option<&str>) {
        let blobs = directory.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("a writable directory");
        for (descriptor, bytes) in self.blobs.iter().chain(&self.manifests) {
            fs::write(blobs.join(descriptor.digest.hex()), bytes).expect("a writable directory");
        }
        let files = [("oci-layout", layout_marker()), ("index.json", self.layout_index(name))];
        for (file, bytes) in files {
            fs::write(directory.join(file), bytes).expect("a writable directory");
        }
    }

    fn layout_index(&self, name: Option<&str>) -> Vec<u8> {
        let mut root = self.root.clone();
        if let Some(name) = name {
            root.annotations
                .insert("org.opencontainers.image.ref.name".to_owned(), name.to_owned());
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": [root],
        });
        index.to_string().into_bytes()
    }

    /// The same layout as a tar.
    pub fn oci_archive(&self, name: Option<&str>) -> Vec<u8> {
        let mut tar = Tar::default();
        tar.file("oci-layout", &layout_marker());
        tar.file("index.json", &self.layout_index(name));
        tar.directory("blobs");
        tar.directory("blobs/sha256");
        for (descriptor, bytes) in self.blobs.iter().chain(&self.manifests) {
            tar.file(&format!("blobs/sha256/{}", descriptor.digest.hex()), bytes);
        }
        tar.finish()
    }

    /// The archive that `docker save` made before it knew OCI: the first image with plain layers.
    pub fn docker_archive(&self, tags: &[&str]) -> Vec<u8> {
        let image = &self.images[0];
        let hex = image.id.digest().hex();
        let mut tar = Tar::default();
        let mut layers = Vec::new();
        for (diff_id, layer) in image.diff_ids.iter().zip(&image.tars) {
            let path = format!("{}/layer.tar", diff_id.digest().hex());
            tar.file(&path, layer);
            layers.push(path);
        }
        let config = self.blobs.iter().find(|(blob, _)| blob.digest == *image.id.digest());
        tar.file(&format!("{hex}.json"), config.map_or(&[], |(_, bytes)| bytes.as_slice()));
        let manifest =
            json!([{"Config": format!("{hex}.json"), "RepoTags": tags, "Layers": layers}]);
        tar.file("manifest.json", manifest.to_string().as_bytes());
        tar.finish()
    }
}

fn layout_marker() -> Vec<u8> {
    json!({"imageLayoutVersion": "1.0.0"}).to_string().into_bytes()
}
