//! `image save`: images into one archive.

use std::io::Write;

use varve_distribution::archive::{self, SavedImage};
use varve_store::{Names, Row};
use varve_types::{Descriptor, Platform, Reference, media_type};

use crate::{Engine, Error, Result, find};

/// What to save.
#[derive(Debug, Clone)]
pub struct Save<'a> {
    /// Names, repositories or IDs, in the order of the archive.
    pub images: &'a [String],
    /// Only this platform.
    pub platform: Option<&'a Platform>,
}

/// Images found and ready to be written, so that nothing is written when one is missing.
#[derive(Debug)]
pub struct Saving {
    images: Vec<SavedImage>,
    /// Keeps everything that is to be written from being removed meanwhile.
    _hold: varve_store::Hold,
}

impl Engine {
    /// Finds the images to save.
    pub fn prepare_save(&self, request: &Save<'_>) -> Result<Saving> {
        let mut hold = self.store.hold()?;
        let names = self.store.names()?;
        let mut images: Vec<SavedImage> = Vec::new();
        for text in request.images {
            for (row, tag) in wanted(&names, text)? {
                let damaged = |source| Error::Damaged { image: text.clone(), source };
                if !hold.image(&row.target.digest).map_err(damaged)? {
                    return Err(Error::NoSuchImage(text.clone()));
                }
                let target = self.save_target(row, request.platform, text)?;
                match images.iter_mut().find(|saved| saved.manifest.digest == target.digest) {
                    Some(saved) => {
                        saved.tags.extend(tag.filter(|tag| !saved.tags.contains(tag)));
                    }
                    None => images.push(SavedImage {
                        manifest: target,
                        image: row.image,
                        tags: tag.into_iter().collect(),
                    }),
                }
            }
        }
        Ok(Saving { images, _hold: hold })
    }

    /// Writes the archive.
    pub fn save(&self, saving: &Saving, output: &mut dyn Write) -> Result<()> {
        archive::save(&self.store, &saving.images, None, output).map_err(|error| match error {
            // Whose output it is, and what to call it, only the caller knows.
            archive::Error::Write(source) => Error::Output(source),
            other => other.into(),
        })
    }

    fn save_target(
        &self,
        row: &Row,
        platform: Option<&Platform>,
        text: &str,
    ) -> Result<Descriptor> {
        let Some(wanted) = platform else { return Ok(row.target.clone()) };
        let opened = self.open_row(row, platform, text).map_err(|error| match error {
            Error::OtherPlatform(_) => Error::NoExportTarget(wanted.clone()),
            other => other,
        })?;
        let media_type = opened.manifest.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
        Ok(Descriptor::new(media_type, opened.manifest.digest(), opened.manifest.size()))
    }
}

/// What an argument means: an ID without names, a name with its tag, or a repository with all
/// its tags.
fn wanted<'a>(names: &'a Names, text: &str) -> Result<Vec<(&'a Row, Option<Reference>)>> {
    let missing = || Error::NoSuchImage(text.to_owned());
    let row_of = |found: find::Found| {
        names.rows.iter().find(|row| row.image == found.image()).map(|row| (row, None))
    };
    if let Ok(reference) = text.parse::<Reference>() {
        if reference.is_name_only() {
            let mut rows: Vec<(&Row, Option<Reference>)> = names
                .rows
                .iter()
                .filter_map(|row| Some((row, row.reference.clone()?)))
                .filter(|(_, name)| {
                    name.tag().is_some() && name.repository() == reference.repository()
                })
                .map(|(row, name)| (row, Some(name)))
                .collect();
            rows.sort_by_cached_key(|(_, name)| name.as_ref().map(ToString::to_string));
            if !rows.is_empty() {
                return Ok(rows);
            }
        } else if let Some(row) = names.get(&reference) {
            let tag = row.reference.clone().filter(|name| name.tag().is_some());
            return Ok(vec![(row, tag)]);
        }
        if matches!(find::by_prefix(names, text), find::Prefix::Many) {
            return Err(Error::AmbiguousId);
        }
    }
    match find::find(names, text) {
        Ok(found) => Ok(row_of(found).into_iter().collect()),
        Err(Error::NoSuchImage(_)) => Err(missing()),
        Err(other) => Err(other),
    }
}
