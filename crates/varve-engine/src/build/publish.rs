//! The image that came of a build: config and manifest in the store, and its names.

use varve_build::{
    Plan,
    plan::image_json,
    solve::{ImageTime, Solved, image_config},
};
use varve_distribution::archive;
use varve_store::{Lease, Row};
use varve_types::{Ctx, Descriptor, DiffId, ImageConfig, ImageId, Platform, Reference, media_type};

use super::{
    BuildError, BuiltImage,
    bases::{Base, Bases},
    shown::ShownStep,
};
use crate::{Engine, Error};

/// An image in the store, pinned, without a name yet.
#[derive(Debug, Clone)]
pub(super) struct StoredImage {
    /// Its manifest, or an index of several.
    pub(super) target: Descriptor,
    pub(super) image: ImageId,
    pub(super) platform: Platform,
    created: Option<jiff::Timestamp>,
    size_bytes: u64,
}

impl StoredImage {
    /// What a row of the image table points at.
    pub(super) fn bare_target(&self) -> Descriptor {
        Descriptor { platform: None, ..self.target.clone() }
    }
}

impl Engine {
    /// Stores config and manifest. The same plan, layers and time give the same bytes. With a
    /// context, the config has the cache of the image's layers in it.
    pub(super) fn store_image(
        &self,
        lease: &Lease,
        (plan, solved): (&Plan, &Solved),
        (bases, base): (&Bases<'_>, Option<&Base>),
        time: ImageTime,
        annotations: &[(String, String)],
        inline_cache: Option<&Ctx<'_>>,
    ) -> Result<StoredImage, Error> {
        let mut blobs = Vec::new();
        if let Some(base) = base {
            bases.blobs(base)?;
            blobs.clone_from(&base.layers);
        }
        let mut layers: Vec<(DiffId, jiff::Timestamp)> = Vec::with_capacity(solved.layers.len());
        for made in &solved.layers {
            blobs.push(self.store.layer_blob(lease, &made.layer.diff_id)?);
            layers.push((made.layer.diff_id, made.created));
        }
        let config = image_config(&plan.image, &layers, time);
        let mut bytes = image_json(&config);
        if let Some(ctx) = inline_cache {
            let what = (solved.keys.as_slice(), config.diff_ids());
            bytes = self.with_inline_cache(ctx, lease, &bytes, what)?;
        }
        let config = ImageConfig::parse(bytes).map_err(archive::Error::from)?;
        self.store.put_blob(lease, config.bytes())?;
        let descriptor = Descriptor::of(media_type::OCI_CONFIG, config.bytes());
        let manifest = archive::annotated_manifest_bytes(&descriptor, &blobs, annotations);
        self.store.put_blob(lease, &manifest)?;
        let mut target = Descriptor::of(media_type::OCI_MANIFEST, &manifest);
        target.platform = Some(config.platform());
        Ok(StoredImage {
            target,
            image: config.image_id(),
            platform: config.platform(),
            created: config.created,
            size_bytes: self.content_size(config.diff_ids()),
        })
    }

    /// Stores an index of images for several platforms; the image is that of `host`, or the first.
    pub(super) fn store_index(
        &self,
        lease: &Lease,
        images: &[StoredImage],
        host: &Platform,
    ) -> Result<Option<StoredImage>, Error> {
        let own = images.iter().find(|image| host.matches(&image.platform));
        let Some(own) = own.or(images.first()) else { return Ok(None) };
        if images.len() == 1 {
            return Ok(Some(own.clone()));
        }
        let index = archive::index_bytes(images.iter().map(|image| &image.target));
        self.store.put_blob(lease, &index)?;
        let target = Descriptor::of(media_type::OCI_INDEX, &index);
        Ok(Some(StoredImage { target, ..own.clone() }))
    }

    /// Gives an image its names, or a place among those without one; shown as part of a step.
    pub(super) fn name_image(
        &self,
        ctx: &Ctx<'_>,
        image: &StoredImage,
        names: &[Reference],
        step: &ShownStep<'_>,
    ) -> Result<BuiltImage, BuildError> {
        let is_index = image.target.media_type == media_type::OCI_INDEX;
        let id = if is_index { ImageId(image.target.digest) } else { image.image };
        step.part(&format!("writing image {id}"), true);
        let tagged: Vec<Reference> = names.iter().map(|name| name.clone().or_latest()).collect();
        let target = image.bare_target();
        self.store.update_names(|table| {
            let now = ctx.now();
            // Building again what is here does not make it younger.
            let known = table.of_image(image.image).filter(|row| row.made_here);
            let stored = known.filter_map(|row| row.stored).min().or(Some(now));
            let row = Row {
                created: image.created,
                size_bytes: image.size_bytes,
                platform: Some(image.platform.clone()),
                stored,
                made_here: true,
                ..Row::new(target.clone(), image.image)
            };
            if names.is_empty() {
                table.put(row.clone());
            }
            for name in &tagged {
                let there = table.get(name);
                if there.is_some_and(|there| there.image == row.image && there.target == row.target)
                {
                    continue;
                }
                let (reference, tagged) = (Some(name.clone()), Some(now));
                table.put(Row { reference, tagged, ..row.clone() });
            }
            Ok::<_, Error>(())
        })?;
        for name in names {
            step.part(&format!("naming to {name}"), true);
        }
        Ok(BuiltImage { id, manifest: image.target.digest, pushed: None, names: names.to_vec() })
    }
}
