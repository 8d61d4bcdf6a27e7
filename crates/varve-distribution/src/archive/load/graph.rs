//! From documents to images: what belongs together, whether all of it came, and whether it fits.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use varve_fs::layer::{HeaderFault, LayerError};
use varve_store::{LayerRequest, Lease, Store, StoredLayer, ingest};
use varve_types::{
    Descriptor, DiffId, Digest, Document, ImageConfig, Index, Manifest, ManifestKind, Platform,
    Reference, limits, media_type,
};

use super::{
    LoadedImage,
    contents::{Contents, Damage, Member, blob_path},
};
use crate::archive::{Error, Result};

/// The documents and layers of an archive, and the store that they go to.
pub(super) struct Graph<'a> {
    pub(super) store: &'a Store,
    pub(super) lease: &'a Lease,
    pub(super) contents: &'a Contents<'a>,
    /// Indexes and manifests that were taken, and whether all of each is here. Indexes may share
    /// children, so nothing is walked twice.
    taken: RefCell<HashMap<Digest, bool>>,
}

/// An image whose manifest, config and layers are all in the store.
pub(super) struct Taken {
    pub(super) manifest: Descriptor,
    pub(super) config: Document<ImageConfig>,
    pub(super) size_bytes: u64,
}

impl Taken {
    /// The image, to be pointed at by its own manifest.
    pub(super) fn into_loaded(self, names: Vec<Reference>) -> LoadedImage {
        LoadedImage {
            image: self.config.image_id(),
            target: self.manifest,
            index: None,
            names,
            platform: self.config.platform(),
            created: self.config.created,
            size_bytes: self.size_bytes,
            made_here: false,
            is_silent: false,
        }
    }
}

impl<'a> Graph<'a> {
    pub(super) fn new(store: &'a Store, lease: &'a Lease, contents: &'a Contents<'a>) -> Self {
        Self { store, lease, contents, taken: RefCell::default() }
    }

    /// The bytes of a document that is named by its digest, from the archive or the store.
    fn document(&self, digest: &Digest, size_bytes_max: u64) -> Result<Option<Vec<u8>>> {
        match self.contents.blob(digest)? {
            Some(_) => {
                let bytes = self.contents.document(&blob_path(digest))?;
                // A link may lead from this name to something else.
                check_digest(*digest, Digest::of(&bytes))?;
                Ok(Some(bytes))
            }
            None if self.store.pin_blob(self.lease, digest)?.is_some() => {
                Ok(Some(self.store.read_blob(digest, size_bytes_max)?))
            }
            None => Ok(None),
        }
    }

    /// The manifest or index that a descriptor names, when it is here.
    pub(super) fn manifest(&self, descriptor: &Descriptor) -> Result<Option<ManifestKind>> {
        let limit = limits::MANIFEST_SIZE_BYTES_MAX;
        let Some(bytes) = self.document(&descriptor.digest, limit)? else { return Ok(None) };
        check_size(descriptor, bytes.len() as u64)?;
        Ok(Some(ManifestKind::parse(bytes, &descriptor.media_type)?))
    }

    /// Takes an image: all its parts must be here, and each layer must be the one that the
    /// config lists.
    pub(super) fn take_image(&self, manifest: &Document<Manifest>) -> Result<Taken> {
        let digest = manifest.config.digest;
        let bytes = self.document(&digest, limits::CONFIG_SIZE_BYTES_MAX)?;
        let bytes = bytes.ok_or_else(|| Error::Missing(blob_path(&digest)))?;
        check_size(&manifest.config, bytes.len() as u64)?;
        let config = ImageConfig::parse(bytes)?;
        let diff_ids = config.diff_ids();
        check_count(diff_ids.len(), manifest.layers.len())?;
        let mut size_bytes = 0;
        for (at, (diff_id, blob)) in diff_ids.iter().zip(&manifest.layers).enumerate() {
            let layer = self.layer_at(&blob_path(&blob.digest), at, *diff_id)?;
            if self.contents.was_made_plain(&blob.digest) {
                return Err(Error::LayerCompression(blob.digest));
            }
            check_digest(blob.digest, layer.blob.digest)?;
            check_size(blob, layer.blob.size)?;
            size_bytes += layer.record.summary.content_size_bytes;
        }
        self.store.put_blob(self.lease, config.bytes())?;
        self.store.put_blob(self.lease, manifest.bytes())?;
        let media_type = manifest.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
        let manifest = Descriptor::of(media_type, manifest.bytes());
        Ok(Taken { manifest, config, size_bytes })
    }

    /// The layer of a path, which must have this diff ID. `at` counts layers from the lowest.
    pub(super) fn layer_at(&self, path: &str, at: usize, expected: DiffId) -> Result<StoredLayer> {
        let layer = match self.contents.get(path)? {
            Some(Member::Layer(layer)) => (**layer).clone(),
            Some(Member::Empty) => self.empty_layer()?,
            Some(Member::Damaged(Damage::Digest { actual, is_plain: true, .. })) => {
                return Err(Error::DiffId { layer: at, expected: expected.0, actual: *actual });
            }
            Some(Member::Damaged(damage)) => return Err(damage.error()),
            Some(_) => return Err(not_a_tar()),
            None => self.stored_layer(path)?.ok_or_else(|| Error::Missing(path.to_owned()))?,
        };
        let actual = layer.record.summary.diff_id;
        if actual != expected {
            return Err(Error::DiffId { layer: at, expected: expected.0, actual: actual.0 });
        }
        Ok(layer)
    }

    /// Any layer at a path, whatever its diff ID.
    pub(super) fn any_layer_at(&self, path: &str) -> Result<StoredLayer> {
        match self.contents.get(path)? {
            Some(Member::Layer(layer)) => Ok((**layer).clone()),
            Some(Member::Empty) => self.empty_layer(),
            Some(Member::Damaged(damage)) => Err(damage.error()),
            Some(_) => Err(not_a_tar()),
            None => Err(Error::Missing(path.to_owned())),
        }
    }

    /// A file without bytes is a layer without entries, as in Docker.
    fn empty_layer(&self) -> Result<StoredLayer> {
        match self.store.ingest_layer(self.lease, LayerRequest::default())? {
            ingest::LayerState::Present(layer) => Ok(layer),
            ingest::LayerState::Wanted(mut ingest) => {
                ingest.receive(&mut std::io::empty()).map_err(Error::receiving)
            }
        }
    }

    /// A layer that did not come along but is in the store already.
    fn stored_layer(&self, path: &str) -> Result<Option<StoredLayer>> {
        let hex = path.strip_prefix("blobs/sha256/");
        let Some(digest) = hex.and_then(|hex| Digest::from_hex(hex).ok()) else { return Ok(None) };
        let Some(size) = self.store.pin_blob(self.lease, &digest)? else { return Ok(None) };
        let descriptor = Some(Descriptor::new(media_type::OCI_LAYER, digest, size));
        let request = LayerRequest { descriptor, ..LayerRequest::default() };
        match self.store.ingest_layer(self.lease, request).map_err(Error::receiving)? {
            ingest::LayerState::Present(layer) => Ok(Some(layer)),
            ingest::LayerState::Wanted(_) => Ok(None),
        }
    }

    /// Takes the parts of a manifest that is no image: attestations and other artifacts.
    fn take_artifact(&self, manifest: &Document<Manifest>) -> Result<()> {
        for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
            let missing = || Error::Missing(blob_path(&part.digest));
            match self.contents.blob(&part.digest)? {
                Some(Member::Document(document)) => {
                    let bytes = self.contents.bytes(document)?;
                    check_digest(part.digest, Digest::of(&bytes))?;
                    self.store.put_blob(self.lease, &bytes)?;
                }
                Some(Member::Empty) => {
                    check_digest(part.digest, Digest::of(b""))?;
                    self.store.put_blob(self.lease, b"")?;
                }
                Some(Member::Damaged(damage)) => return Err(damage.error()),
                _ => {
                    self.store.pin_blob(self.lease, &part.digest)?.ok_or_else(missing)?;
                }
            }
        }
        self.store.put_blob(self.lease, manifest.bytes())?;
        Ok(())
    }

    /// Takes everything that an index reaches and is here. Returns whether that is all of it.
    pub(super) fn take_index(&self, index: &Document<Index>, depth: usize) -> Result<bool> {
        if depth >= limits::INDEX_DEPTH_MAX {
            return Err(Error::IndexDepth(limits::INDEX_DEPTH_MAX));
        }
        let mut complete = true;
        for child in &index.manifests {
            let known = self.taken.borrow().get(&child.digest).copied();
            if let Some(known) = known {
                complete &= known;
                continue;
            }
            let taken = match self.manifest(child)? {
                None => Err(Error::Missing(blob_path(&child.digest))),
                Some(ManifestKind::Index(inner)) => self.take_index(&inner, depth + 1),
                Some(ManifestKind::Manifest(manifest)) if is_image(&manifest, child) => {
                    self.take_image(&manifest).map(|_| true)
                }
                Some(ManifestKind::Manifest(manifest)) => {
                    self.take_artifact(&manifest).map(|()| true)
                }
            };
            let taken = match taken {
                Err(Error::Missing(_)) => false,
                other => other?,
            };
            self.taken.borrow_mut().insert(child.digest, taken);
            complete &= taken;
        }
        self.store.put_blob(self.lease, index.bytes())?;
        Ok(complete)
    }

    /// The images of an index that are here, with their platforms, in order.
    pub(super) fn images_of(&self, index: &Index) -> Result<Vec<(Platform, Document<Manifest>)>> {
        let mut images = Vec::new();
        self.add_images_of(index, 0, &mut HashSet::new(), &mut images)?;
        Ok(images)
    }

    fn add_images_of(
        &self,
        index: &Index,
        depth: usize,
        seen: &mut HashSet<Digest>,
        images: &mut Vec<(Platform, Document<Manifest>)>,
    ) -> Result<()> {
        if depth >= limits::INDEX_DEPTH_MAX {
            return Err(Error::IndexDepth(limits::INDEX_DEPTH_MAX));
        }
        for child in index.manifests.iter().filter(|child| !child.is_attestation()) {
            if !seen.insert(child.digest) {
                continue;
            }
            match self.manifest(child)? {
                Some(ManifestKind::Index(inner)) => {
                    self.add_images_of(&inner, depth + 1, seen, images)?;
                }
                Some(ManifestKind::Manifest(manifest)) if is_image(&manifest, child) => {
                    let platform = match &child.platform {
                        Some(platform) => platform.clone(),
                        // Without its config it is not here.
                        None => match self.platform_of(&manifest) {
                            Err(Error::Missing(_)) => continue,
                            platform => platform?,
                        },
                    };
                    images.push((platform, manifest));
                }
                Some(ManifestKind::Manifest(_)) | None => {}
            }
        }
        Ok(())
    }

    fn platform_of(&self, manifest: &Manifest) -> Result<Platform> {
        let digest = &manifest.config.digest;
        match self.document(digest, limits::CONFIG_SIZE_BYTES_MAX)? {
            Some(bytes) => Ok(ImageConfig::parse(bytes)?.platform()),
            None => Err(Error::Missing(blob_path(digest))),
        }
    }

    /// Writes a manifest for a config and layers that came without one.
    pub(super) fn make_manifest(
        &self,
        config: Document<ImageConfig>,
        layers: &[StoredLayer],
    ) -> Result<Taken> {
        self.store.put_blob(self.lease, config.bytes())?;
        let manifest = crate::archive::manifest_bytes(
            &Descriptor::of(media_type::OCI_CONFIG, config.bytes()),
            layers.iter().map(|layer| &layer.blob),
        );
        self.store.put_blob(self.lease, &manifest)?;
        Ok(Taken {
            manifest: Descriptor::of(media_type::OCI_MANIFEST, &manifest),
            size_bytes: layers.iter().map(|l| l.record.summary.content_size_bytes).sum(),
            config,
        })
    }
}

/// Whether a manifest is one of an image rather than of an attestation or another artifact.
pub(super) fn is_image(manifest: &Manifest, descriptor: &Descriptor) -> bool {
    let config = manifest.config.media_type.as_str();
    !descriptor.is_attestation() && (config.is_empty() || media_type::is_image_config(config))
}

/// Refuses an image that cannot run on Linux. An image that says nothing is for Linux.
pub(super) fn check_operating_system(config: &ImageConfig) -> Result<()> {
    if config.os.is_empty() || config.os.eq_ignore_ascii_case("linux") {
        return Ok(());
    }
    Err(Error::OperatingSystem(config.os.clone()))
}

/// Whether a config's image is one for `wanted`.
pub(super) fn fits(config: &Document<ImageConfig>, wanted: Option<&Platform>) -> bool {
    wanted.is_none_or(|wanted| wanted.matches(&config.platform()))
}

pub(super) fn check_count(expected: usize, actual: usize) -> Result<()> {
    // Docker counts the other way round: "expected" is what manifest.json has.
    if expected == actual {
        Ok(())
    } else {
        Err(Error::LayerCount { expected: actual, actual: expected })
    }
}

fn check_digest(expected: Digest, actual: Digest) -> Result<()> {
    if expected == actual { Ok(()) } else { Err(Error::BlobDigest { expected, actual }) }
}

fn check_size(descriptor: &Descriptor, actual: u64) -> Result<()> {
    if descriptor.size == actual {
        return Ok(());
    }
    Err(Error::BlobSize { digest: descriptor.digest, expected: descriptor.size, actual })
}

fn not_a_tar() -> Error {
    Error::Tar(LayerError::InvalidHeader { offset: 0, fault: HeaderFault::Checksum })
}
