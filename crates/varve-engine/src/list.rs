//! `image ls`: the images that are here.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use varve_store::{Names, Row};
use varve_types::{Ctx, Digest, ImageId, Platform, Reference};

use crate::{Engine, Filters, Result, find};

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// Also images that only other images build on.
    pub all: bool,
    /// What must hold for those listed.
    pub filters: Filters,
}

/// One image with all its names, as Docker's API lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// The image's ID.
    pub id: ImageId,
    /// Names with tags that passed the filters, sorted.
    pub tags: Vec<Reference>,
    /// Names with digests that passed the filters, sorted.
    pub digests: Vec<Reference>,
    /// `created` of the config.
    pub created: Option<Timestamp>,
    /// Docker's SIZE in bytes.
    pub size_bytes: u64,
    /// The image it was committed from.
    pub parent: Option<ImageId>,
    /// The platform.
    pub platform: Option<Platform>,
}

/// One platform of an image, for `--tree`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformSummary {
    /// The platform.
    pub platform: Platform,
    /// The image's ID on this platform.
    pub id: ImageId,
    /// The manifest's digest.
    pub manifest: Digest,
    /// Docker's SIZE in bytes.
    pub size_bytes: u64,
    /// Bytes of manifest, config and layer blobs as stored.
    pub content_size_bytes: u64,
}

const KNOWN_FILTERS: &[&str] = &["dangling", "label", "before", "since", "reference", "until"];

impl Engine {
    /// Lists images, newest first; images of the same time in the order of their names.
    pub fn list(&self, ctx: &Ctx<'_>, request: &List) -> Result<Vec<ImageSummary>> {
        let filters = &request.filters;
        filters.only(KNOWN_FILTERS)?;
        let dangling = filters.flag("dangling")?;
        let names = self.store.names()?;
        let before = bound(&names, filters, "before")?;
        let since = bound(&names, filters, "since")?;
        let until = filters.until(ctx.now())?;
        let parents: HashSet<ImageId> = names.rows.iter().filter_map(|row| row.parent).collect();
        let mut listed = Vec::new();
        for summary in summaries(&names) {
            let created = summary.created;
            let inside = before.is_none_or(|bound| created < bound)
                && since.is_none_or(|bound| created > bound)
                && until.is_none_or(|bound| created.is_some_and(|created| created <= bound));
            if !inside || !self.labels_pass(filters, summary.id)? {
                continue;
            }
            let Some(summary) = by_reference(summary, filters)? else { continue };
            let unnamed = summary.tags.is_empty() && summary.digests.is_empty();
            let hidden = unnamed && !request.all && parents.contains(&summary.id);
            let passes = match dangling {
                Some(true) => summary.tags.is_empty(),
                Some(false) => !unnamed,
                None => true,
            };
            if passes && !hidden {
                listed.push(summary);
            }
        }
        listed.sort_by_key(|image| std::cmp::Reverse(image.created));
        Ok(listed)
    }

    /// The platforms of one listed image that are here, for `--tree`.
    pub fn platforms(&self, summary: &ImageSummary) -> Result<Vec<PlatformSummary>> {
        let names = self.store.names()?;
        let Some(row) = names.of_image(summary.id).next() else { return Ok(Vec::new()) };
        let shown =
            row.reference.as_ref().map_or_else(|| row.image.to_string(), Reference::familiar);
        let mut platforms = Vec::new();
        for child in self.children(row, &shown)? {
            let opened = self.open_row(
                &Row { target: child.clone(), image: summary.id, ..row.clone() },
                None,
                &shown,
            );
            let Ok(opened) = opened else { continue };
            let config = self.store.config(&ImageId(opened.manifest.config.digest))?;
            let blobs: u64 = opened.manifest.layers.iter().map(|layer| layer.size).sum();
            platforms.push(PlatformSummary {
                platform: config.platform(),
                id: config.image_id(),
                manifest: child.digest,
                size_bytes: self.content_size(config.diff_ids()),
                content_size_bytes: blobs + config.size() + opened.manifest.size(),
            });
        }
        Ok(platforms)
    }

    fn children(&self, row: &Row, shown: &str) -> Result<Vec<varve_types::Descriptor>> {
        let damaged = |source| crate::Error::Damaged { image: shown.to_owned(), source };
        match self.store.manifest(&row.target.digest).map_err(damaged)? {
            varve_types::ManifestKind::Manifest(_) => Ok(vec![row.target.clone()]),
            varve_types::ManifestKind::Index(index) => Ok(index
                .manifests
                .iter()
                .filter(|child| !child.is_attestation())
                .cloned()
                .collect()),
        }
    }

    pub(crate) fn labels_pass(&self, filters: &Filters, image: ImageId) -> Result<bool> {
        if !filters.want_labels() {
            return Ok(true);
        }
        let config = self.store.config(&image);
        let damaged = |source| crate::Error::Damaged { image: image.to_string(), source };
        Ok(filters.labels_pass(config.map_err(damaged)?.value()))
    }

    /// Docker's SIZE of a stack of layers, in bytes. Layers that came by another tool are indexed
    /// for it; one that cannot be (a damaged blob, a store that may only be read) counts nothing,
    /// because what is asked for is more than its size.
    pub(crate) fn content_size(&self, layers: &[varve_types::DiffId]) -> u64 {
        let records = layers.iter().filter_map(|layer| self.store.indexed_layer(layer).ok());
        records.map(|record| record.summary.content_size_bytes).sum()
    }
}

/// When an image was made, if its config says so.
type Bound = Option<Timestamp>;

/// The time of the image that a `before` or `since` filter names.
fn bound(names: &Names, filters: &Filters, filter: &str) -> Result<Option<Bound>> {
    let named = filters.get(filter).last().map(|text| find::find(names, text)).transpose()?;
    Ok(named.map(|found| found.row.created))
}

/// Groups the rows by image, in the order in which the images first appear.
pub(crate) fn summaries(names: &Names) -> Vec<ImageSummary> {
    let mut order: Vec<ImageSummary> = Vec::new();
    let mut places: HashMap<ImageId, usize> = HashMap::new();
    for row in &names.rows {
        let place = *places.entry(row.image).or_insert_with(|| {
            order.push(ImageSummary {
                id: row.image,
                tags: Vec::new(),
                digests: Vec::new(),
                created: row.created,
                size_bytes: row.size_bytes,
                parent: row.parent,
                platform: row.platform.clone(),
            });
            order.len() - 1
        });
        if let Some(reference) = &row.reference {
            let summary = &mut order[place];
            let list =
                if reference.digest().is_some() { &mut summary.digests } else { &mut summary.tags };
            list.push(reference.clone());
        }
    }
    for summary in &mut order {
        summary.tags.sort_by_cached_key(ToString::to_string);
        summary.digests.sort_by_cached_key(ToString::to_string);
    }
    order.sort_by_cached_key(|summary| summary.tags.first().map(ToString::to_string));
    order
}

/// Keeps the names that pass the `reference` filter; `None` when the filter is given and none does.
fn by_reference(mut summary: ImageSummary, filters: &Filters) -> Result<Option<ImageSummary>> {
    if !filters.has("reference") {
        return Ok(Some(summary));
    }
    let keep = |references: Vec<Reference>| -> Result<Vec<Reference>> {
        let mut kept = Vec::new();
        for reference in references {
            if filters.reference_passes(&reference)? {
                kept.push(reference);
            }
        }
        Ok(kept)
    };
    summary.tags = keep(summary.tags)?;
    summary.digests = keep(summary.digests)?;
    let none = summary.tags.is_empty() && summary.digests.is_empty();
    Ok((!none).then_some(summary))
}
