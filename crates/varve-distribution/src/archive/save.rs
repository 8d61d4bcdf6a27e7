//! Writing images as one archive that is a Docker archive and an OCI image layout at once.
//!
//! ```text
//! blobs/sha256/<hex>    everything the images reach, as stored, and Docker's first format's
//!                       JSON of each layer, sorted
//! index.json            the OCI part: one descriptor per name
//! manifest.json         the Docker part: one entry per image
//! oci-layout
//! repositories          only when an image has a name
//! ```
//!
//! The bytes are a function of the images and names only: every owner is 0, and every time is an
//! image's or 1970. Config, layers and their JSON have the time of the image (the oldest, when
//! several share them), the directories that of the youngest image; the rest is of 1970.

mod first_format;
mod plan;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use serde::Serialize;
use varve_store::Store;
use varve_types::{Descriptor, Digest, ImageId, Platform, Reference, media_type};

use self::{
    plan::{Content, Member, Planned},
    writer::ArchiveWriter,
};
use super::Result;
use crate::go_json;

/// One image to save, with the names to give it.
#[derive(Debug, Clone)]
pub struct SavedImage {
    /// The image's manifest, or a complete index.
    pub manifest: Descriptor,
    /// The image.
    pub image: ImageId,
    /// The names, with tags; none when it was asked for by ID or digest.
    pub tags: Vec<Reference>,
}

/// An entry of manifest.json.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    layer_sources: BTreeMap<String, LayerSource>,
}

/// An entry of the manifest.json of a builder's archive.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct BuildEntry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// A descriptor with its members in the order of Docker's own type.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LayerSource {
    media_type: String,
    size: u64,
    digest: Digest,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexFile {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

/// Familiar name → tag → top layer.
type Repositories = BTreeMap<String, BTreeMap<String, String>>;

/// Writes `images` to `output`, in the order given; several names of one image share an entry.
/// Of an index, `platform` picks one image. Nothing is written when an image cannot be saved.
pub fn save(
    store: &Store,
    images: &[SavedImage],
    platform: Option<&Platform>,
    output: &mut dyn Write,
) -> Result<()> {
    let planned = images
        .iter()
        .map(|image| plan::plan(store, image, platform))
        .collect::<Result<Vec<_>>>()?;
    let youngest = planned.iter().map(|image| image.created_seconds).max().unwrap_or_default();
    let mut archive = ArchiveWriter::new(output);
    archive.directory("blobs", youngest)?;
    archive.directory("blobs/sha256", youngest)?;
    for (digest, member) in members(&planned) {
        let path = blob_path(digest);
        match &member.content {
            Content::Stored { size_bytes } => {
                let blob = store.open_blob(digest)?;
                archive.blob(&path, *size_bytes, member.created_seconds, blob)?;
            }
            Content::Made(bytes) => archive.document(&path, member.created_seconds, bytes)?,
        }
    }
    archive.document("index.json", 0, &go_json::to_vec(&index_file(&planned)))?;
    archive.document("manifest.json", 0, &line(go_json::to_vec(&docker_entries(&planned))))?;
    archive.document("oci-layout", 0, br#"{"imageLayoutVersion": "1.0.0"}"#)?;
    let repositories = repositories(&planned);
    if !repositories.is_empty() {
        archive.document("repositories", 0, &line(go_json::to_vec(&repositories)))?;
    }
    archive.finish()
}

/// What kind of archive a build writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildArchive {
    /// An image layout.
    Oci,
    /// An image layout with docker's `manifest.json`.
    Docker,
}

/// Writes one image as docker's builder does: members of no time, blobs that cannot be written, and
/// `index.json` that says when the image was made. Nothing is written when it cannot be read.
pub fn export(
    store: &Store,
    image: &SavedImage,
    form: BuildArchive,
    output: &mut dyn Write,
) -> Result<()> {
    const CREATED: &str = "org.opencontainers.image.created";
    const READ_ONLY: u32 = 0o444;
    let planned = [plan::plan(store, image, None)?];
    let mut index = index_file(&planned);
    let created = jiff::Timestamp::from_second(planned[0].created_seconds);
    for descriptor in &mut index.manifests {
        if let Ok(created) = created {
            descriptor.annotations.insert(CREATED.to_owned(), created.to_string());
        }
        descriptor.platform.clone_from(&image.manifest.platform);
    }
    let mut archive = ArchiveWriter::new(output).with_blob_mode(READ_ONLY);
    archive.directory("blobs", 0)?;
    archive.directory("blobs/sha256", 0)?;
    for (digest, member) in members(&planned) {
        let path = blob_path(digest);
        match &member.content {
            Content::Stored { size_bytes } => {
                archive.blob(&path, *size_bytes, 0, store.open_blob(digest)?)?;
            }
            Content::Made(_) => {}
        }
    }
    archive.document("index.json", 0, &go_json::to_vec(&index))?;
    if form == BuildArchive::Docker {
        let entries: Vec<BuildEntry> = docker_entries(&planned)
            .into_iter()
            .map(|DockerEntry { config, repo_tags, layers, .. }| BuildEntry {
                config,
                repo_tags,
                layers,
            })
            .collect();
        archive.document("manifest.json", 0, &go_json::to_vec(&entries))?;
    }
    archive.read_only_document("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.finish()
}

/// Everything under `blobs/`. What images share has the time of the oldest.
fn members<'a>(images: &'a [Planned<'_>]) -> BTreeMap<&'a Digest, Member> {
    let mut members: BTreeMap<&Digest, Member> = BTreeMap::new();
    for (digest, member) in images.iter().flat_map(|image| &image.members) {
        let known = members.entry(digest).or_insert(member.clone());
        known.created_seconds = known.created_seconds.min(member.created_seconds);
    }
    members
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn line(mut json: Vec<u8>) -> Vec<u8> {
    json.push(b'\n');
    json
}

fn index_file(images: &[Planned<'_>]) -> IndexFile {
    let named: BTreeSet<Digest> =
        images.iter().filter(|i| !i.tags.is_empty()).map(|i| i.target.digest).collect();
    let mut seen = BTreeSet::new();
    let mut manifests = Vec::new();
    for image in images {
        let plain = &image.target;
        if !named.contains(&plain.digest) && seen.insert((plain.digest, None)) {
            manifests.push(plain.clone());
        }
        for (reference, tag) in &image.tags {
            if seen.insert((plain.digest, Some(*reference))) {
                let mut descriptor = plain.clone();
                descriptor.annotations = BTreeMap::from([
                    ("io.containerd.image.name".to_owned(), reference.to_string()),
                    ("org.opencontainers.image.ref.name".to_owned(), (*tag).to_owned()),
                ]);
                manifests.push(descriptor);
            }
        }
    }
    IndexFile { schema_version: 2, media_type: media_type::OCI_INDEX, manifests }
}

fn docker_entries(images: &[Planned<'_>]) -> Vec<DockerEntry> {
    let mut entries: Vec<DockerEntry> = Vec::new();
    for image in images {
        let Some(docker) = &image.docker else { continue };
        let config = blob_path(&docker.config);
        let at = entries.iter().position(|entry| entry.config == config).unwrap_or_else(|| {
            entries.push(DockerEntry {
                config,
                repo_tags: None,
                layers: docker.layers.iter().map(|(_, blob)| blob_path(&blob.digest)).collect(),
                layer_sources: docker
                    .layers
                    .iter()
                    .map(|(diff_id, blob)| {
                        (
                            diff_id.to_string(),
                            LayerSource {
                                media_type: blob.media_type.clone(),
                                size: blob.size,
                                digest: blob.digest,
                            },
                        )
                    })
                    .collect(),
            });
            entries.len() - 1
        });
        for (reference, _) in &image.tags {
            let names = entries[at].repo_tags.get_or_insert_default();
            let name = reference.familiar();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    entries
}

fn repositories(images: &[Planned<'_>]) -> Repositories {
    let mut repositories = Repositories::new();
    for image in images {
        let Some((top, _)) = image.docker.as_ref().and_then(|docker| docker.layers.last()) else {
            continue;
        };
        for (reference, tag) in &image.tags {
            let tags = repositories.entry(reference.repository().familiar()).or_default();
            tags.insert((*tag).to_owned(), top.0.hex());
        }
    }
    repositories
}
