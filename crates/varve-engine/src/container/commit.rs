//! `commit`: what a container changed made into the uppermost layer of a new image.

use std::{fs::File, os::fd::AsFd as _};

use varve_distribution::archive::{self, changes, config_json::ChildImage};
use varve_fs::overlay::Marks;
use varve_store::{Lease, Row, StoredLayer};
use varve_types::{
    Ctx, Descriptor, Digest, ImageConfig, ImageId, Manifest, ManifestKind, Reference,
    container::Container, media_type,
};

use crate::{Engine, Error, Result};

/// What to commit.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// The container.
    pub container: &'a str,
    /// The name to give the image.
    pub reference: Option<&'a Reference>,
    /// Who made it.
    pub author: &'a str,
    /// The comment.
    pub message: &'a str,
    /// Dockerfile instructions that change the config.
    pub changes: &'a [String],
    /// Whether a container that runs is paused while its changes are read.
    pub pause: bool,
}

/// Bytes of a tar without entries, which Docker does not count as a layer.
const EMPTY_TAR: [u8; 1024] = [0; 1024];

impl Engine {
    /// Makes an image of a container.
    pub fn commit(&self, ctx: &Ctx<'_>, request: &Commit<'_>) -> Result<ImageId> {
        let container = self.container(request.container)?;
        let reference = match request.reference {
            Some(reference) if reference.digest().is_some() => {
                return Err(Error::TagDigest);
            }
            reference => reference.cloned().map(Reference::or_latest),
        };
        let container_config = container.config.to_run_config();
        let config =
            changes::apply(&container_config, request.changes).map_err(archive::Error::from)?;
        let lease = self.store.lease()?;
        let (manifest, parent) = self.parent_of(&container)?;
        let frozen = if request.pause { self.freeze(ctx, &container)? } else { None };
        let layer = self.changes_layer(&lease, &container);
        drop(frozen);
        let layer = layer?;
        let image = ChildImage {
            parent: &parent,
            author: request.author,
            comment: request.message,
            config: &config,
            container: &container.id.to_string(),
            container_config: &container_config,
            created: ctx.now(),
            layer: layer.as_ref().map(|layer| layer.record.summary.diff_id),
        };
        let config = ImageConfig::parse(image.to_bytes()).map_err(archive::Error::from)?;
        self.store.put_blob(&lease, config.bytes())?;
        let descriptor = Descriptor::of(media_type::OCI_CONFIG, config.bytes());
        let layers = manifest.layers.iter().chain(layer.as_ref().map(|layer| &layer.blob));
        let manifest = archive::manifest_bytes(&descriptor, layers);
        self.store.put_blob(&lease, &manifest)?;
        let row = Row {
            tagged: reference.is_some().then(|| ctx.now()),
            reference,
            created: config.created,
            size_bytes: self.content_size(config.diff_ids()),
            platform: Some(config.platform()),
            stored: Some(ctx.now()),
            parent: Some(container.image_id),
            made_here: true,
            ..Row::new(Descriptor::of(media_type::OCI_MANIFEST, &manifest), config.image_id())
        };
        let image = row.image;
        self.store.update_names(|names| {
            names.put(row);
            Ok::<_, Error>(())
        })?;
        Ok(image)
    }

    /// Manifest and config of the image that a container is of; it has them also when the image
    /// has lost its last name.
    pub(crate) fn parent_of(&self, container: &Container) -> Result<(Manifest, ImageConfig)> {
        let damaged = |source| Error::Damaged { image: container.image.clone(), source };
        let config = self.store.config(&container.image_id).map_err(damaged)?;
        let mut pending = vec![container.manifest];
        while let Some(digest) = pending.pop() {
            match self.store.manifest(&digest).map_err(damaged)? {
                ManifestKind::Manifest(manifest)
                    if manifest.config.digest == container.image_id.0 =>
                {
                    return Ok((manifest.into_parts().1, config.into_parts().1));
                }
                ManifestKind::Manifest(_) => {}
                ManifestKind::Index(index) => {
                    let here =
                        |digest: &Digest| matches!(self.store.blob_size(digest), Ok(Some(_)));
                    let children = index.manifests.iter().map(|child| child.digest);
                    pending.extend(children.filter(here));
                }
            }
        }
        Err(Error::NoSuchImage(container.image.clone()))
    }

    /// What the container changed, as a layer in the store; `None` where that is nothing.
    fn changes_layer(&self, lease: &Lease, container: &Container) -> Result<Option<StoredLayer>> {
        let upper = self.store.container_path(&container.id).join("upper");
        let opened = File::open(&upper).map_err(|source| varve_store::Error::Io {
            action: "open",
            path: upper.clone(),
            source,
        })?;
        let marks = self.marks()?;
        let (layer, ()) = self.store.write_layer(lease, |tar| {
            varve_fs::upper::write_layer(opened.as_fd(), marks, tar)
                .map(drop)
                .map_err(|source| Error::Upper { container: container.name.to_string(), source })
        })?;
        let is_empty = layer.record.summary.diff_id.0 == Digest::of(&EMPTY_TAR);
        Ok((!is_empty).then_some(layer))
    }

    /// Which attributes of a container's changes are overlayfs's own.
    pub(crate) fn marks(&self) -> Result<Marks> {
        Ok(self.store.backend()?.backend().marks())
    }
}
