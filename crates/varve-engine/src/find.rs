//! Finding the image that a user means: by name first, then by ID or a prefix of it.

use varve_store::{Names, Row};
use varve_types::{
    Digest, Document, ImageConfig, ImageId, Manifest, ManifestKind, Platform, Reference,
};

use crate::{Engine, Error, Result, error::PlatformMismatch};

/// An image that was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// One row of it: that of the name asked for, else the first.
    pub(crate) row: Row,
    /// What the user typed, as Docker repeats it in messages.
    pub(crate) shown: String,
    /// The reference, when it was found by one.
    pub(crate) reference: Option<Reference>,
}

impl Found {
    pub(crate) fn image(&self) -> ImageId {
        self.row.image
    }
}

/// Finds an image by name, digest, ID or unique prefix of an ID.
pub(crate) fn find(names: &Names, text: &str) -> Result<Found> {
    if let Some(digest) = whole_id(text) {
        let row = names.rows.iter().find(|row| row.image.0 == digest);
        let row = row.cloned().ok_or_else(|| Error::no_such_id(&digest))?;
        return Ok(Found { row, shown: text.to_owned(), reference: None });
    }
    let reference = text.parse::<Reference>()?.or_latest();
    let by_name = lookup(names, &reference);
    if let Some(row) = by_name {
        let shown = reference.familiar();
        return Ok(Found { row: row.clone(), shown, reference: Some(reference) });
    }
    if let Prefix::One(row) = by_prefix(names, text) {
        return Ok(Found { row: row.clone(), shown: text.to_owned(), reference: None });
    }
    Err(Error::NoSuchImage(reference.familiar()))
}

/// The row of a reference. One with both tag and digest is looked up by its digest.
fn lookup<'a>(names: &'a Names, reference: &Reference) -> Option<&'a Row> {
    match (reference.tag(), reference.digest()) {
        (Some(_), Some(digest)) => names.get(&reference.repository().with_digest(digest)),
        _ => names.get(reference),
    }
}

fn whole_id(text: &str) -> Option<Digest> {
    text.parse().or_else(|_| Digest::from_hex(text)).ok()
}

/// What a prefix of an image ID fits.
pub(crate) enum Prefix<'a> {
    None,
    One(&'a Row),
    Many,
}

pub(crate) fn by_prefix<'a>(names: &'a Names, text: &str) -> Prefix<'a> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if hex.is_empty() || hex.len() > 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Prefix::None;
    }
    let mut found: Option<&Row> = None;
    for row in &names.rows {
        if found.is_some_and(|first| first.image == row.image) {
            continue;
        }
        if row.image.0.hex().starts_with(hex) {
            if found.is_some() {
                return Prefix::Many;
            }
            found = Some(row);
        }
    }
    found.map_or(Prefix::None, Prefix::One)
}

/// Whether `text` is how an ID is written, for this image.
pub(crate) fn is_id_of(image: ImageId, text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    !hex.is_empty() && image.0.hex().starts_with(hex)
}

/// An image with its documents read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) manifest: Document<Manifest>,
    pub(crate) config: Document<ImageConfig>,
}

impl Engine {
    pub(crate) fn find(&self, text: &str) -> Result<(Names, Found)> {
        let names = self.store.names()?;
        let found = find(&names, text)?;
        Ok((names, found))
    }

    /// Reads manifest and config of a row's image, for `platform` when one is asked for.
    pub(crate) fn open_row(
        &self,
        row: &Row,
        platform: Option<&Platform>,
        shown: &str,
    ) -> Result<Opened> {
        let damaged = |source| Error::Damaged { image: shown.to_owned(), source };
        let manifest = match self.store.manifest(&row.target.digest).map_err(damaged)? {
            ManifestKind::Manifest(manifest) => manifest,
            ManifestKind::Index(index) => {
                return self.open_child(&index, row, platform, shown);
            }
        };
        let config = self.store.config(&row.image).map_err(damaged)?;
        if let Some(wanted) = platform
            && !wanted.matches(&config.platform())
        {
            return Err(Error::OtherPlatform(Box::new(PlatformMismatch {
                reference: shown.to_owned(),
                found: config.platform(),
                wanted: wanted.clone(),
            })));
        }
        Ok(Opened { manifest, config })
    }

    fn open_child(
        &self,
        index: &varve_types::Index,
        row: &Row,
        platform: Option<&Platform>,
        shown: &str,
    ) -> Result<Opened> {
        let damaged = |source| Error::Damaged { image: shown.to_owned(), source };
        for child in index.manifests.iter().filter(|child| !child.is_attestation()) {
            let ManifestKind::Manifest(manifest) =
                self.store.manifest(&child.digest).map_err(damaged)?
            else {
                continue;
            };
            let id = ImageId(manifest.config.digest);
            if platform.is_none() && id != row.image {
                continue;
            }
            let config = self.store.config(&id).map_err(damaged)?;
            if platform.is_none_or(|wanted| wanted.matches(&config.platform())) {
                return Ok(Opened { manifest, config });
            }
        }
        match platform {
            Some(wanted) => Err(Error::NoPlatform {
                reference: shown.to_owned(),
                wanted: Box::new(wanted.clone()),
            }),
            None => Err(Error::NoSuchImage(shown.to_owned())),
        }
    }
}
