//! OCI image layouts: `index.json` says what is an image.

use varve_types::{
    Descriptor, Document, Index, Manifest, ManifestKind, Platform, Reference, media_type,
};

use super::{
    LoadedImage,
    contents::blob_path,
    docker::parse,
    graph::{Graph, check_operating_system, fits, is_image},
};
use crate::archive::{Error, Result};

/// Full names, as containerd and docker write them.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// A tag, or with some tools a whole name.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The images that index.json lists, in its order; several names of one image are one image.
pub(super) fn images(graph: &Graph<'_>, platform: Option<&Platform>) -> Result<Vec<LoadedImage>> {
    let bytes = graph.contents.document("index.json")?;
    let top: Index = parse("index.json", &bytes)?;
    let mut images: Vec<LoadedImage> = Vec::new();
    let mut is_other_platform = false;
    for descriptor in &top.manifests {
        let Some(mut image) = image(graph, descriptor, platform, &mut is_other_platform)? else {
            continue;
        };
        image.names = name(descriptor)?.into_iter().collect();
        match images.iter_mut().find(|known| known.target == image.target) {
            Some(known) => {
                image.names.retain(|name| !known.names.contains(name));
                known.names.append(&mut image.names);
            }
            None => images.push(image),
        }
    }
    if images.is_empty() && !is_other_platform {
        return Err(Error::NoImage);
    }
    Ok(images)
}

/// The name that a descriptor gives. As with docker, a `ref.name` is read as a whole name; one
/// that is none leaves the image without.
fn name(descriptor: &Descriptor) -> Result<Option<Reference>> {
    let reference: Reference = match descriptor.annotation(CONTAINERD_NAME) {
        Some(name) => name.parse()?,
        None => match descriptor.annotation(REF_NAME).map(str::parse) {
            Some(Ok(reference)) => reference,
            _ => return Ok(None),
        },
    };
    if reference.digest().is_some() {
        return Ok(None);
    }
    Ok(Some(reference.or_latest()))
}

fn image(
    graph: &Graph<'_>,
    descriptor: &Descriptor,
    platform: Option<&Platform>,
    is_other_platform: &mut bool,
) -> Result<Option<LoadedImage>> {
    if descriptor.is_attestation() {
        return Ok(None);
    }
    let found = graph.manifest(descriptor)?;
    match found.ok_or_else(|| Error::Missing(blob_path(&descriptor.digest)))? {
        ManifestKind::Manifest(manifest) if !is_image(&manifest, descriptor) => Ok(None),
        ManifestKind::Manifest(manifest) => {
            let taken = graph.take_image(&manifest)?;
            if !fits(&taken.config, platform) {
                *is_other_platform = true;
                return Ok(None);
            }
            check_operating_system(&taken.config)?;
            Ok(Some(taken.into_loaded(Vec::new())))
        }
        ManifestKind::Index(index) => {
            let images = graph.images_of(&index)?;
            let candidates = candidates(&images, platform);
            if candidates.is_empty() && !images.is_empty() {
                *is_other_platform = true;
                return Ok(None);
            }
            // The first whose parts came along; else it is said what the best one lacks.
            let mut lacking = index
                .manifests
                .iter()
                .find(|child| !child.is_attestation())
                .map(|child| Error::Missing(blob_path(&child.digest)));
            for (at, manifest) in candidates.into_iter().enumerate() {
                match through_index(graph, &index, manifest, platform) {
                    Err(error @ Error::Missing(_)) if at == 0 => lacking = Some(error),
                    Err(Error::Missing(_)) => {}
                    found => return found.map(Some),
                }
            }
            lacking.map_or(Ok(None), Err)
        }
    }
}

/// The images for a platform; without one, all, the best for this host first.
fn candidates<'a>(
    images: &'a [(Platform, Document<Manifest>)],
    platform: Option<&Platform>,
) -> Vec<&'a Document<Manifest>> {
    let host = Platform::host();
    let mut ranked: Vec<(u32, &Document<Manifest>)> = images
        .iter()
        .filter(|(found, _)| platform.is_none_or(|wanted| wanted.matches(found)))
        .map(|(found, image)| (host.rank(found).unwrap_or(u32::MAX), image))
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, image)| image).collect()
}

fn through_index(
    graph: &Graph<'_>,
    index: &Document<Index>,
    manifest: &Document<Manifest>,
    platform: Option<&Platform>,
) -> Result<LoadedImage> {
    let taken = graph.take_image(manifest)?;
    check_operating_system(&taken.config)?;
    let mut image = taken.into_loaded(Vec::new());
    image.index = Some(index.digest());
    if platform.is_some() {
        graph.store.put_blob(graph.lease, index.bytes())?;
    } else if graph.take_index(index, 0)? {
        let media_type = index.media_type.as_deref().unwrap_or(media_type::OCI_INDEX);
        image.target = Descriptor::of(media_type, index.bytes());
    }
    Ok(image)
}
