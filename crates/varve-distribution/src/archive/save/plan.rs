//! What of an image goes into the archive, found before the first byte is written.

use std::{
    collections::{BTreeMap, HashSet},
    rc::Rc,
};

use varve_store::Store;
use varve_types::{
    Descriptor, DiffId, Digest, ImageConfig, ImageId, Index, Manifest, ManifestKind, Platform,
    limits, media_type,
};

use super::{SavedImage, first_format};
use crate::archive::{Error, Result};

/// One image as it will stand in the archive.
pub(super) struct Planned<'a> {
    /// What index.json points at, without annotations.
    pub(super) target: Descriptor,
    /// Names and their tags.
    pub(super) tags: Vec<(&'a varve_types::Reference, &'a str)>,
    /// What manifest.json says; `None` for an artifact that is no image.
    pub(super) docker: Option<DockerImage>,
    /// Everything that goes under `blobs/`.
    pub(super) members: BTreeMap<Digest, Member>,
    /// When the image was made, in seconds since 1970.
    pub(super) created_seconds: i64,
}

/// A member of the archive that is named by its digest.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) content: Content,
    /// In seconds since 1970.
    pub(super) created_seconds: i64,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A blob of the store.
    Stored { size_bytes: u64 },
    /// Bytes that only archives have.
    Made(Rc<[u8]>),
}

pub(super) struct DockerImage {
    pub(super) config: Digest,
    pub(super) layers: Vec<(DiffId, Descriptor)>,
}

/// Finds what to write of an image.
pub(super) fn plan<'a>(
    store: &Store,
    image: &'a SavedImage,
    platform: Option<&Platform>,
) -> Result<Planned<'a>> {
    let top = store.manifest(&image.manifest.digest)?;
    let (top, picked) = match top {
        ManifestKind::Manifest(manifest) => {
            let found = ManifestKind::Manifest(manifest.clone());
            if let Some(wanted) = platform {
                let config = store.config(&ImageId(manifest.config.digest))?;
                if !wanted.matches(&config.platform()) {
                    return Err(Error::PlatformNotSaved(wanted.clone()));
                }
            }
            (found, Some(manifest))
        }
        ManifestKind::Index(index) => {
            let picked = pick(store, &index, image, platform)?;
            let whole = platform.is_none() && is_complete(store, &index, 0, &mut HashSet::new())?;
            match picked {
                Some(manifest) if !whole => {
                    (ManifestKind::Manifest(manifest.clone()), Some(manifest))
                }
                picked => (ManifestKind::Index(index), picked),
            }
        }
    };
    let mut members = BTreeMap::new();
    collect(store, &top, &mut members, 0)?;
    let mut created_seconds = 0;
    let docker = match picked {
        Some(manifest) if media_type::is_image_config(&manifest.config.media_type) => {
            let config = store.config(&ImageId(manifest.config.digest))?;
            created_seconds = created(&config);
            for document in first_format::documents(&config) {
                let digest = Digest::of(&document);
                let content = Content::Made(document.into());
                members.insert(digest, Member { content, created_seconds });
            }
            Some(docker_image(&config, &manifest)?)
        }
        _ => None,
    };
    let tags = image.tags.iter().filter_map(|name| Some((name, name.tag()?))).collect();
    Ok(Planned { target: top.descriptor(), tags, docker, members, created_seconds })
}

type Found = varve_types::Document<Manifest>;

/// The manifest of an index that is meant: the platform asked for, else the image that its row names.
fn pick(
    store: &Store,
    index: &Index,
    image: &SavedImage,
    platform: Option<&Platform>,
) -> Result<Option<Found>> {
    let mut first = None;
    for child in &index.manifests {
        if child.is_attestation() || store.blob_size(&child.digest)?.is_none() {
            continue;
        }
        let ManifestKind::Manifest(manifest) = store.manifest(&child.digest)? else { continue };
        let fits = match (platform, &child.platform) {
            (None, _) => manifest.config.digest == image.image.0,
            (Some(wanted), Some(found)) => wanted.matches(found),
            (Some(wanted), None) => {
                wanted.matches(&store.config(&ImageId(manifest.config.digest))?.platform())
            }
        };
        if fits {
            return Ok(Some(manifest));
        }
        first.get_or_insert(manifest);
    }
    match platform {
        None => Ok(first),
        Some(wanted) => {
            let name = image.tags.first().map(varve_types::Reference::familiar);
            let name = name.unwrap_or_else(|| image.image.to_string());
            Err(Error::PlatformNotInIndex { name, platform: wanted.clone() })
        }
    }
}

/// Whether all that an index reaches is here. What was seen is not walked again.
fn is_complete(
    store: &Store,
    index: &Index,
    depth: usize,
    seen: &mut HashSet<Digest>,
) -> Result<bool> {
    if depth >= limits::INDEX_DEPTH_MAX {
        return Err(Error::IndexDepth(limits::INDEX_DEPTH_MAX));
    }
    for child in &index.manifests {
        if !seen.insert(child.digest) {
            continue;
        }
        if store.blob_size(&child.digest)?.is_none() {
            return Ok(false);
        }
        let complete = match store.manifest(&child.digest)? {
            ManifestKind::Index(index) => is_complete(store, &index, depth + 1, seen)?,
            ManifestKind::Manifest(manifest) => {
                let mut parts = std::iter::once(&manifest.config).chain(&manifest.layers);
                parts.try_fold(true, |all, part| -> Result<bool> {
                    let may_lack = media_type::is_nondistributable(&part.media_type);
                    Ok(all && (may_lack || store.blob_size(&part.digest)?.is_some()))
                })?
            }
        };
        if !complete {
            return Ok(false);
        }
    }
    Ok(true)
}

/// When an image was made. What is not known, or before 1970, counts as 1970.
fn created(config: &ImageConfig) -> i64 {
    config.created.map_or(0, |time| time.as_second().max(0))
}

/// Adds what a manifest or index reaches.
fn collect(
    store: &Store,
    kind: &ManifestKind,
    members: &mut BTreeMap<Digest, Member>,
    depth: usize,
) -> Result<()> {
    if depth > limits::INDEX_DEPTH_MAX {
        return Err(Error::IndexDepth(limits::INDEX_DEPTH_MAX));
    }
    let own = kind.descriptor();
    let stored = |size_bytes, created_seconds| Member {
        content: Content::Stored { size_bytes },
        created_seconds,
    };
    if members.insert(own.digest, stored(own.size, 0)).is_some() {
        return Ok(());
    }
    let manifest = match kind {
        ManifestKind::Manifest(manifest) => manifest,
        ManifestKind::Index(index) => {
            for child in &index.manifests {
                collect(store, &store.manifest(&child.digest)?, members, depth + 1)?;
            }
            return Ok(());
        }
    };
    let is_image = media_type::is_image_config(&manifest.config.media_type);
    let id = ImageId(manifest.config.digest);
    // A config that cannot be read is reported when it is written.
    let time = is_image.then(|| store.config(&id).map_or(0, |config| created(&config)));
    let time = time.unwrap_or_default();
    for child in kind.children() {
        match store.blob_size(&child.digest)? {
            Some(size) => {
                let member = members.entry(child.digest).or_insert(stored(size, time));
                member.created_seconds = member.created_seconds.min(time);
            }
            None if media_type::is_nondistributable(&child.media_type) => {}
            None => return Err(varve_store::Error::BlobNotFound(child.digest).into()),
        }
    }
    Ok(())
}

fn docker_image(config: &ImageConfig, manifest: &Manifest) -> Result<DockerImage> {
    let (expected, actual) = (config.diff_ids().len(), manifest.layers.len());
    if expected != actual {
        return Err(Error::LayerCount { expected, actual });
    }
    let blob = |layer: &Descriptor| Descriptor::new(&layer.media_type, layer.digest, layer.size);
    let layers = config.diff_ids().iter().copied().zip(manifest.layers.iter().map(blob)).collect();
    Ok(DockerImage { config: manifest.config.digest, layers })
}
