//! Store → registry.

use std::{
    collections::{HashMap, HashSet},
    io,
};

use varve_fs::compression::Compressor;
use varve_store::{Lease, Store};
use varve_types::{
    Ctx, Descriptor, DiffId, Digest, Document, Event, LayerState, Manifest, ManifestKind,
    Repository, limits, media_type,
};

use super::{
    Error, Result,
    workers::{self, Stop},
};
use crate::client::Remote;

/// What to push.
#[derive(Debug, Clone)]
pub struct PushRequest<'a> {
    /// The manifest or complete index, as the image table names it.
    pub target: &'a Descriptor,
    /// The tag to give it there.
    pub tag: &'a str,
    /// Compress plain layers on the way, into a second manifest with the same config. For images
    /// made here; what was pulled or loaded goes out as it came in.
    pub compress: Option<&'a Compressor>,
    /// Repositories of the same registry that may have the layers already.
    pub mount_from: &'a [Repository],
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest or index as the registry has it now: in the store too, pinned.
    pub target: Descriptor,
}

/// Pushes an image: layers, config, manifest, and the tag last. The image must be pinned under
/// `lease`; what is made on the way is pinned too.
pub fn push(
    store: &Store,
    lease: &Lease,
    remote: &Remote<'_>,
    request: &PushRequest<'_>,
    ctx: &Ctx<'_>,
) -> Result<Pushed> {
    let push = Push { store, lease, remote, request, ctx };
    let document = push.document(request.target)?;
    let target = push.content(&document, 1)?;
    let bytes = store.read_blob(&target.digest, limits::MANIFEST_SIZE_BYTES_MAX)?;
    remote.put_manifest(request.tag, &target.media_type, &bytes)?;
    let (tag, digest, size) = (request.tag.to_owned(), target.digest, target.size);
    ctx.progress.event(Event::Pushed { tag, digest, size });
    Ok(Pushed { target })
}

struct Push<'a> {
    store: &'a Store,
    lease: &'a Lease,
    remote: &'a Remote<'a>,
    request: &'a PushRequest<'a>,
    ctx: &'a Ctx<'a>,
}

impl Push<'_> {
    fn document(&self, descriptor: &Descriptor) -> Result<ManifestKind> {
        Ok(self.store.manifest(&descriptor.digest)?)
    }

    /// Sends everything below a manifest or index, and the children of an index; returns the
    /// descriptor of what is to be sent last.
    fn content(&self, document: &ManifestKind, depth: usize) -> Result<Descriptor> {
        match document {
            ManifestKind::Manifest(manifest) => self.image(manifest, document.media_type()),
            ManifestKind::Index(index) => {
                if depth > limits::INDEX_DEPTH_MAX {
                    return Err(Error::Depth { digest: index.digest() });
                }
                for child in &index.manifests {
                    let inner = self.document(child)?;
                    self.content(&inner, depth + 1)?;
                    let name = child.digest.to_string();
                    if self.remote.head_manifest(&name)?.is_none() {
                        self.remote.put_manifest(&name, inner.media_type(), inner.bytes())?;
                    }
                }
                Ok(document.descriptor())
            }
        }
    }

    fn image(&self, manifest: &Document<Manifest>, media_type: &str) -> Result<Descriptor> {
        let diff_ids = self.diff_ids(manifest)?;
        let layers: Vec<(usize, &Descriptor)> = manifest.layers.iter().enumerate().rev().collect();
        for (at, layer) in &layers {
            self.layer_event(layer, diff_ids.get(*at), LayerState::Preparing);
        }
        // A layer that repeats goes out once.
        let mut unique = HashSet::new();
        let mut once = layers;
        once.retain(|(_, layer)| unique.insert(layer.digest));
        let sent = workers::run(&once, |(at, layer), stop| {
            self.layer(layer, diff_ids.get(*at).copied(), stop)
        })?;
        let sent: HashMap<Digest, Descriptor> =
            once.iter().map(|(_, layer)| layer.digest).zip(sent).collect();
        let sent: Vec<Descriptor> =
            manifest.layers.iter().map(|layer| sent[&layer.digest].clone()).collect();
        self.blob(&manifest.config, &Stop::default(), &|_| ())?;
        if sent == manifest.layers {
            return Ok(Descriptor::new(media_type, manifest.digest(), manifest.size()));
        }
        self.second_manifest(manifest, media_type, sent)
    }

    /// The diff IDs of an image's layers; empty where the manifest is not an image's.
    fn diff_ids(&self, manifest: &Manifest) -> Result<Vec<DiffId>> {
        if !media_type::is_image_config(&manifest.config.media_type) {
            return Ok(Vec::new());
        }
        let config = self.store.config(&varve_types::ImageId(manifest.config.digest))?;
        Ok(config.diff_ids().to_vec())
    }

    /// Sends one layer, compressed if need be; returns the descriptor of what was sent.
    fn layer(
        &self,
        layer: &Descriptor,
        diff_id: Option<DiffId>,
        stop: &Stop,
    ) -> Result<Descriptor> {
        if media_type::is_nondistributable(&layer.media_type) {
            return Ok(layer.clone());
        }
        let sent = match (self.request.compress, diff_id) {
            (Some(compressor), Some(diff_id)) if is_plain(&layer.media_type) => {
                let made = self.store.compressed_layer(self.lease, &diff_id, compressor)?;
                let media_type = compressed_type(&layer.media_type, compressor);
                Descriptor {
                    annotations: layer.annotations.clone(),
                    ..Descriptor::new(media_type, made.digest, made.size)
                }
            }
            _ => layer.clone(),
        };
        let id = diff_id.map_or(layer.digest, |diff_id| diff_id.0).short();
        self.blob(&sent, stop, &|state| {
            self.ctx.progress.event(Event::Layer { id: id.clone(), state });
        })?;
        Ok(sent)
    }

    /// Sends one blob unless the registry has it or can take it from another repository.
    fn blob(
        &self,
        blob: &Descriptor,
        stop: &Stop,
        event: &(dyn Fn(LayerState) + Sync),
    ) -> Result<()> {
        if self.remote.blob_exists(&blob.digest)? {
            event(LayerState::LayerAlreadyExists);
            return Ok(());
        }
        for repository in self.request.mount_from {
            if stop.is_set() {
                return Err(Error::Cancelled);
            }
            if self.remote.mount_blob(&blob.digest, repository)? {
                event(LayerState::MountedFrom { repository: repository.path().to_owned() });
                return Ok(());
            }
        }
        let digest = blob.digest;
        let open = |offset: u64| -> io::Result<Box<dyn io::Read + Send>> {
            if stop.is_set() {
                return Err(io::Error::other("stopped"));
            }
            let mut reader = self.store.open_blob(&digest).map_err(io::Error::other)?;
            io::copy(&mut io::Read::take(&mut reader, offset), &mut io::sink())?;
            Ok(Box::new(reader))
        };
        let progress = |done_bytes| {
            event(LayerState::Pushing { done_bytes, total_bytes: blob.size });
        };
        let result = self.remote.put_blob(blob, &open, &progress);
        if stop.is_set() && result.is_err() {
            return Err(Error::Cancelled);
        }
        result?;
        event(LayerState::Pushed);
        Ok(())
    }

    /// Makes and stores the manifest that has the same config and the layers as they were sent.
    fn second_manifest(
        &self,
        first: &Document<Manifest>,
        media_type: &str,
        layers: Vec<Descriptor>,
    ) -> Result<Descriptor> {
        let second = Manifest {
            schema_version: 2,
            media_type: Some(media_type.to_owned()),
            artifact_type: None,
            config: first.config.clone(),
            layers,
            subject: None,
            annotations: first.annotations.clone(),
        };
        let bytes =
            serde_json::to_vec(&second).map_err(varve_types::manifest::ManifestError::from)?;
        let digest = self.store.put_blob(self.lease, &bytes)?;
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    }

    fn layer_event(&self, layer: &Descriptor, diff_id: Option<&DiffId>, state: LayerState) {
        let id = diff_id.map_or(layer.digest, |diff_id| diff_id.0).short();
        self.ctx.progress.event(Event::Layer { id, state });
    }
}

fn is_plain(media_type: &str) -> bool {
    matches!(media_type, media_type::OCI_LAYER | media_type::DOCKER_LAYER)
}

/// The media type of a plain layer once it is compressed.
fn compressed_type(plain: &str, compressor: &Compressor) -> &'static str {
    match (plain, compressor.name.as_str()) {
        (media_type::DOCKER_LAYER, "zstd") => media_type::DOCKER_LAYER_ZSTD,
        (media_type::DOCKER_LAYER, _) => media_type::DOCKER_LAYER_GZIP,
        (_, "zstd") => media_type::OCI_LAYER_ZSTD,
        _ => media_type::OCI_LAYER_GZIP,
    }
}
