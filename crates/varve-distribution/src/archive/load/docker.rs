//! Docker archives: `manifest.json` says what is an image.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, de::DeserializeOwned};
use varve_types::{
    Descriptor, DiffId, Digest, Document, ImageConfig, ImageId, ManifestKind, Platform, Reference,
    limits, media_type,
};

use super::{
    LoadedImage,
    graph::{Graph, check_count, check_operating_system, fits},
};
use crate::{
    archive::{Error, Result},
    go_json,
};

/// An entry of manifest.json.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// What manifest.json gave.
pub(super) enum Images {
    Found(Vec<LoadedImage>),
    /// Images, but none for the platform that was asked for.
    OtherPlatforms,
    /// It lists nothing.
    None,
}

/// The images that manifest.json lists, in its order.
pub(super) fn images(graph: &Graph<'_>, platform: Option<&Platform>) -> Result<Images> {
    let json = graph.contents.document("manifest.json")?;
    let kind = match json.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => "object",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        Some(b'-' | b'0'..=b'9') => "number",
        _ => "array",
    };
    if kind != "array" && go_json::syntax_error(&json, false).is_none() {
        let text = "into Go value of type []tarexport.manifestItem";
        return Err(Error::Json(format!("json: cannot unmarshal {kind} {text}")));
    }
    let entries: Option<Vec<Entry>> = parse("manifest.json", &json)?;
    let entries = entries.unwrap_or_default();
    if entries.is_empty() {
        return Ok(Images::None);
    }
    let originals = Originals::find(graph)?;
    let mut images = Vec::new();
    for entry in entries {
        images.extend(image(graph, &originals, &entry, platform)?);
    }
    Ok(if images.is_empty() { Images::OtherPlatforms } else { Images::Found(images) })
}

/// Parses a document in Go's words for what is wrong with it.
pub(super) fn parse<T: DeserializeOwned>(path: &str, json: &[u8]) -> Result<T> {
    if let Some(text) = go_json::syntax_error(json, false) {
        return Err(Error::Json(text));
    }
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<T>();
    match values.next() {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => {
            Err(Error::Document { path: path.to_owned(), reason: error.to_string() })
        }
        None => Err(Error::Json("EOF".to_owned())),
    }
}

/// Parses a config in Go's words for what is wrong with it.
pub(super) fn parse_config(json: Vec<u8>) -> Result<Document<ImageConfig>> {
    match go_json::syntax_error(&json, true) {
        Some(text) => Err(Error::Json(text)),
        None => Ok(ImageConfig::parse(json)?),
    }
}

/// A path that a document of the archive names, as the name of a member.
pub(super) fn in_scope(path: &str) -> Result<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(|| Error::Escapes(path.to_owned()))?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// One entry, checked in Docker's order. `None` when it is for another platform.
fn image(
    graph: &Graph<'_>,
    originals: &Originals,
    entry: &Entry,
    platform: Option<&Platform>,
) -> Result<Option<LoadedImage>> {
    let config = parse_config(graph.contents.document(&in_scope(&entry.config)?)?)?;
    check_operating_system(&config)?;
    let paths = entry.layers.as_deref().unwrap_or_default();
    check_count(config.diff_ids().len(), paths.len())?;
    if !fits(&config, platform) {
        return Ok(None);
    }
    let diff_ids: Vec<DiffId> = config.diff_ids().to_vec();
    let layers = paths
        .iter()
        .zip(&diff_ids)
        .enumerate()
        .map(|(at, (path, diff_id))| graph.layer_at(&in_scope(path)?, at, *diff_id))
        .collect::<Result<Vec<_>>>()?;
    let names = entry.repo_tags.iter().flatten().map(|tag| name(tag)).collect::<Result<_>>()?;
    if let Some(loaded) = originals.take(graph, config.image_id(), platform.is_none())? {
        return Ok(Some(LoadedImage { names, ..loaded }));
    }
    let loaded = graph.make_manifest(config, &layers)?.into_loaded(names);
    Ok(Some(LoadedImage { made_here: true, ..loaded }))
}

fn name(text: &str) -> Result<Reference> {
    let reference: Reference = text.parse()?;
    let tag = reference.tag().ok_or_else(|| Error::Tag(text.to_owned()))?;
    Ok(reference.repository().with_tag(tag)?)
}

/// The manifests that the OCI part of an archive has, by the image that each is of.
struct Originals {
    manifests: BTreeMap<ImageId, Vec<Original>>,
}

#[derive(Clone)]
struct Original {
    manifest: Descriptor,
    /// The index that index.json reaches it through.
    index: Option<Descriptor>,
}

impl Originals {
    /// Looks through index.json. The Docker part is what counts: of a damaged OCI part no more
    /// is used than makes sense.
    fn find(graph: &Graph<'_>) -> Result<Self> {
        let mut originals = Self { manifests: BTreeMap::new() };
        if !graph.contents.has("index.json") {
            return Ok(originals);
        }
        let Ok(bytes) = graph.contents.document("index.json") else { return Ok(originals) };
        let Ok(ManifestKind::Index(top)) = ManifestKind::parse(bytes, media_type::OCI_INDEX) else {
            return Ok(originals);
        };
        let mut seen = HashSet::new();
        for descriptor in &top.manifests {
            originals.add(graph, descriptor, None, 0, &mut seen)?;
        }
        Ok(originals)
    }

    fn add(
        &mut self,
        graph: &Graph<'_>,
        descriptor: &Descriptor,
        index: Option<&Descriptor>,
        depth: usize,
        seen: &mut HashSet<Digest>,
    ) -> Result<()> {
        if depth > limits::INDEX_DEPTH_MAX || !seen.insert(descriptor.digest) {
            return Ok(());
        }
        match graph.manifest(descriptor) {
            Ok(Some(ManifestKind::Manifest(manifest))) => {
                let image = ImageId(manifest.config.digest);
                let found = Original { manifest: descriptor.clone(), index: index.cloned() };
                self.manifests.entry(image).or_default().push(found);
            }
            Ok(Some(ManifestKind::Index(inner))) => {
                for child in &inner.manifests {
                    self.add(graph, child, Some(index.unwrap_or(descriptor)), depth + 1, seen)?;
                }
            }
            Err(Error::Store(error)) => return Err(error.into()),
            _ => {}
        }
        Ok(())
    }

    /// The image with the manifest that came along, if there is one that is whole and fits.
    fn take(
        &self,
        graph: &Graph<'_>,
        image: ImageId,
        whole_index: bool,
    ) -> Result<Option<LoadedImage>> {
        for original in self.manifests.get(&image).into_iter().flatten() {
            let Some(ManifestKind::Manifest(manifest)) = graph.manifest(&original.manifest)? else {
                continue;
            };
            let taken = match graph.take_image(&manifest) {
                Ok(taken) => taken,
                Err(Error::Store(error)) => return Err(error.into()),
                Err(_) => continue,
            };
            let mut loaded = taken.into_loaded(Vec::new());
            if let Some(descriptor) = &original.index
                && let Some(ManifestKind::Index(index)) = graph.manifest(descriptor)?
            {
                graph.store.put_blob(graph.lease, index.bytes())?;
                loaded.index = Some(index.digest());
                if whole_index && matches!(graph.take_index(&index, 0), Ok(true)) {
                    let media_type = index.media_type.as_deref().unwrap_or(media_type::OCI_INDEX);
                    loaded.target = Descriptor::of(media_type, index.bytes());
                }
            }
            return Ok(Some(loaded));
        }
        Ok(None)
    }
}
