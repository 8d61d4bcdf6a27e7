//! Docker archives: `manifest.json` says what is an image.

use serde::{Deserialize, de::DeserializeOwned};
use varve_types::{
    Descriptor, DiffId, Document, ImageConfig, Index, Manifest, ManifestKind, Platform, Reference,
    limits, media_type,
};

use super::{
    LoadedImage,
    graph::{Graph, Taken, check_count, check_operating_system, fits, image_id},
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
    let entries: Option<Vec<Entry>> =
        parse("manifest.json", &graph.contents.document("manifest.json")?)?;
    let entries = entries.unwrap_or_default();
    if entries.is_empty() {
        return Ok(Images::None);
    }
    let mut images = Vec::new();
    for entry in entries {
        images.extend(image(graph, &entry, platform)?);
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
    if let Some((taken, index)) = original(graph, &config)? {
        let mut loaded = taken.into_loaded(names);
        if let Some((index, is_complete)) = index {
            loaded.index = Some(index.digest());
            if is_complete && platform.is_none() {
                let media_type = index.media_type.as_deref().unwrap_or(media_type::OCI_INDEX);
                loaded.target = Descriptor::of(media_type, index.bytes());
            }
        }
        return Ok(Some(loaded));
    }
    let loaded = graph.make_manifest(config, &layers)?.into_loaded(names);
    Ok(Some(LoadedImage { made_here: true, ..loaded }))
}

fn name(text: &str) -> Result<Reference> {
    let reference: Reference = text.parse()?;
    let tag = reference.tag().ok_or_else(|| Error::Tag(text.to_owned()))?;
    Ok(reference.repository().with_tag(tag)?)
}

/// An index and whether all of it is here.
type Through = Option<(Document<Index>, bool)>;

/// The manifest that the archive itself has for a config, whole and fitting, and the index that
/// index.json reaches it through.
fn original(graph: &Graph<'_>, config: &Document<ImageConfig>) -> Result<Option<(Taken, Through)>> {
    if !graph.contents.has("index.json") {
        return Ok(None);
    }
    // The Docker part is sound; a damaged OCI part only means that there is no original.
    let Ok(bytes) = graph.contents.document("index.json") else { return Ok(None) };
    let Ok(ManifestKind::Index(top)) = ManifestKind::parse(bytes, media_type::OCI_INDEX) else {
        return Ok(None);
    };
    for descriptor in &top.manifests {
        let found = match graph.manifest(descriptor) {
            Ok(Some(ManifestKind::Manifest(manifest))) => {
                take_if_same(graph, &manifest, config)?.map(|taken| (taken, None))
            }
            Ok(Some(ManifestKind::Index(index))) => match find(graph, &index, config, 0)? {
                Some(taken) => {
                    let is_complete = matches!(graph.take_index(&index, 0), Ok(true));
                    graph.store.put_blob(graph.lease, index.bytes())?;
                    Some((taken, Some((index, is_complete))))
                }
                None => None,
            },
            Err(Error::Store(error)) => return Err(error.into()),
            _ => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn find(
    graph: &Graph<'_>,
    index: &Index,
    config: &Document<ImageConfig>,
    depth: usize,
) -> Result<Option<Taken>> {
    if depth >= limits::INDEX_DEPTH_MAX {
        return Ok(None);
    }
    for child in &index.manifests {
        let found = match graph.manifest(child) {
            Ok(Some(ManifestKind::Manifest(manifest))) => take_if_same(graph, &manifest, config)?,
            Ok(Some(ManifestKind::Index(inner))) => find(graph, &inner, config, depth + 1)?,
            Err(Error::Store(error)) => return Err(error.into()),
            _ => None,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn take_if_same(
    graph: &Graph<'_>,
    manifest: &Document<Manifest>,
    config: &Document<ImageConfig>,
) -> Result<Option<Taken>> {
    if image_id(manifest) != config.image_id() {
        return Ok(None);
    }
    match graph.take_image(manifest) {
        Ok(taken) => Ok(Some(taken)),
        Err(Error::Store(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}
