//! Between descriptors of `index.json` and rows of the image table.
//!
//! A row that varve wrote carries its facts in annotations. Other tools write rows without them,
//! and some (umoci) keep the annotations of the row that they started from beside a new digest;
//! `dev.varve.target` tells the facts' own digest, and facts of another target do not count.

use std::{borrow::Cow, collections::HashSet};

use varve_types::{
    Descriptor, Digest, ImageId, ManifestKind, Platform, Reference, limits, media_type,
};

use crate::{
    Store,
    names::Row,
    table::{Annotations, Entry, REF_NAME, Text},
};

/// The value of `dev.varve.made`.
const MADE_HERE: &str = "here";

/// What a descriptor of the file turned out to be.
#[expect(clippy::large_enum_variant, reason = "taken apart at once, ten thousand times")]
pub(crate) enum Adopted {
    /// Written by varve.
    Known(Row),
    /// Written by another tool, and everything about it is known now.
    Settled(Row),
    /// Written by another tool; its size is that of the compressed layers until they are indexed.
    Unsettled(Row, Entry<'static>),
    /// Not an image of ours.
    Other(Entry<'static>),
}

/// Makes a row of a descriptor.
pub(crate) fn row(store: &Store, entry: Entry<'_>) -> Adopted {
    let name = entry.annotations.ref_name.as_ref().map(|name| &*name.0);
    let reference = match name.map(reference) {
        None => None,
        Some(Some(reference)) => Some(reference),
        Some(None) => return Adopted::Other(entry.into_owned()),
    };
    let Some(digest) = entry.digest.as_ref().and_then(|text| text.0.parse::<Digest>().ok()) else {
        return Adopted::Other(entry.into_owned());
    };
    let ours = entry.annotations.target == entry.digest;
    if ours && let Some(row) = known(&entry, reference.clone(), digest) {
        return Adopted::Known(row);
    }
    match adopted(store, &entry, reference, digest) {
        None => Adopted::Other(entry.into_owned()),
        Some((row, true)) => Adopted::Settled(row),
        Some((row, false)) => Adopted::Unsettled(row, entry.into_owned()),
    }
}

/// A name as other tools write it. A bare `app` means `app:latest`, as everywhere; a name with
/// both tag and digest is not one that the table can hold.
fn reference(name: &str) -> Option<Reference> {
    let reference: Reference = name.parse().ok()?;
    let both = reference.tag().is_some() && reference.digest().is_some();
    (!both).then(|| reference.or_latest())
}

fn known(entry: &Entry<'_>, reference: Option<Reference>, digest: Digest) -> Option<Row> {
    let from = &entry.annotations;
    let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.clone().into_owned());
    let time = |text: &Option<Text<'_>>| text.as_ref().and_then(|text| text.0.parse().ok());
    Some(Row {
        target: target(entry, digest),
        image: from.image.as_ref()?.0.parse().ok()?,
        created: time(&from.created),
        size_bytes: from.size.as_ref()?.0.parse().ok()?,
        platform: entry.platform.clone(),
        index: from.index.as_ref().and_then(|text| text.0.parse().ok()),
        source: text(&from.source),
        tagged: time(&from.tagged),
        stored: time(&from.stored),
        parent: from.parent.as_ref().and_then(|text| text.0.parse().ok()),
        made_here: from.made.is_some(),
        foreign_annotations: foreign(entry, reference.as_ref()),
        reference,
    })
}

fn target(entry: &Entry<'_>, digest: Digest) -> Descriptor {
    let media_type = entry.media_type.as_ref().map_or("", |text| &*text.0);
    let mut target = Descriptor::new(media_type, digest, entry.size);
    for (name, value) in &entry.others {
        match &*name.0 {
            "urls" => target.urls = serde_json::from_str(value.get()).unwrap_or_default(),
            "artifactType" => target.artifact_type = serde_json::from_str(value.get()).ok(),
            _ => {}
        }
    }
    target
}

/// Annotations of other tools. The spelling of a name that is not ours is kept among them.
fn foreign(
    entry: &Entry<'_>,
    reference: Option<&Reference>,
) -> std::collections::BTreeMap<String, String> {
    let own = |text: &Text<'_>| text.0.clone().into_owned();
    let pairs = entry.annotations.foreign.iter().map(|(name, value)| (own(name), own(value)));
    let spelled =
        entry.annotations.ref_name.as_ref().filter(|spelled| {
            reference.is_some_and(|reference| reference.familiar() != *spelled.0)
        });
    pairs.chain(spelled.map(|text| (REF_NAME.to_owned(), own(text)))).collect()
}

/// Reads what another tool did not write from manifest and config. `None` when this is not an
/// image; the flag tells whether the size is the real one.
fn adopted(
    store: &Store,
    entry: &Entry<'_>,
    reference: Option<Reference>,
    digest: Digest,
) -> Option<(Row, bool)> {
    let mut target = target(entry, digest);
    let manifest = platform_manifest(store, &digest)?;
    if target.media_type.is_empty() {
        store.manifest(&digest).ok()?.media_type().clone_into(&mut target.media_type);
    }
    let image = ImageId(manifest.config.digest);
    let config = store.config(&image).ok()?;
    if config.diff_ids().len() != manifest.layers.len() {
        return None;
    }
    let mut settled = true;
    let mut size_bytes = 0;
    for (diff_id, layer) in config.diff_ids().iter().zip(&manifest.layers) {
        if let Ok(Some(record)) = store.layer(diff_id) {
            size_bytes += record.summary.content_size_bytes;
        } else {
            settled = false;
            size_bytes += layer.size;
        }
    }
    let row = Row {
        foreign_annotations: foreign(entry, reference.as_ref()),
        reference,
        target,
        image,
        created: config.created,
        size_bytes,
        platform: Some(config.platform()),
        index: None,
        source: None,
        tagged: None,
        stored: None,
        parent: None,
        made_here: false,
    };
    Some((row, settled))
}

/// The image manifest behind a digest: itself, or in an index the best of those that are here.
fn platform_manifest(store: &Store, digest: &Digest) -> Option<varve_types::Manifest> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    collect(store, digest, None, limits::INDEX_DEPTH_MAX, &mut seen, &mut found);
    let best = found.into_iter().min_by_key(|(rank, _)| *rank)?;
    Some(best.1)
}

fn collect(
    store: &Store,
    digest: &Digest,
    platform: Option<&Platform>,
    depth: usize,
    seen: &mut HashSet<Digest>,
    found: &mut Vec<(u32, varve_types::Manifest)>,
) {
    if !seen.insert(*digest) {
        return;
    }
    match store.manifest(digest) {
        Ok(ManifestKind::Manifest(manifest))
            if media_type::is_image_config(&manifest.config.media_type) =>
        {
            let rank = platform.and_then(|platform| Platform::host().rank(platform));
            found.push((rank.unwrap_or(u32::MAX), manifest.into_parts().1));
        }
        Ok(ManifestKind::Index(index)) if depth > 0 => {
            for child in index.manifests.iter().filter(|child| !child.is_attestation()) {
                collect(store, &child.digest, child.platform.as_ref(), depth - 1, seen, found);
            }
        }
        _ => {}
    }
}

/// The descriptor that a row is written as.
pub(crate) fn entry(row: &Row) -> Entry<'_> {
    let own = |text: String| Some(Text(Cow::Owned(text)));
    let spelled = row
        .foreign_annotations
        .get(REF_NAME)
        .filter(|spelled| row.reference.is_some() && reference(spelled) == row.reference);
    let foreign = row.foreign_annotations.iter().filter(|(name, _)| *name != REF_NAME);
    let digest = row.target.digest.to_string();
    let mut others = Vec::new();
    let mut add = |name: &'static str, value: serde_json::Result<Box<_>>| {
        if let Ok(value) = value {
            others.push((Text(Cow::Borrowed(name)), value));
        }
    };
    if !row.target.urls.is_empty() {
        add("urls", serde_json::value::to_raw_value(&row.target.urls));
    }
    if let Some(artifact_type) = &row.target.artifact_type {
        add("artifactType", serde_json::value::to_raw_value(artifact_type));
    }
    Entry {
        media_type: Some(Text(Cow::Borrowed(&row.target.media_type))),
        digest: own(digest.clone()),
        size: row.target.size,
        platform: row.platform.clone(),
        annotations: Annotations {
            ref_name: match (spelled, &row.reference) {
                (Some(spelled), _) => Some(Text(Cow::Borrowed(spelled))),
                (None, Some(reference)) => own(reference.familiar()),
                (None, None) => None,
            },
            image: own(row.image.to_string()),
            created: row.created.and_then(|time| own(time.to_string())),
            size: own(row.size_bytes.to_string()),
            index: row.index.and_then(|index| own(index.to_string())),
            source: row.source.as_deref().map(|text| Text(Cow::Borrowed(text))),
            tagged: row.tagged.and_then(|time| own(time.to_string())),
            stored: row.stored.and_then(|time| own(time.to_string())),
            parent: row.parent.and_then(|parent| own(parent.to_string())),
            made: row.made_here.then(|| text(MADE_HERE)),
            target: own(digest),
            foreign: foreign.map(|(n, v)| (text(n), text(v))).collect(),
        },
        others,
    }
}

fn text(text: &str) -> Text<'_> {
    Text(Cow::Borrowed(text))
}
