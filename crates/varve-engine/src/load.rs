//! `image load`: images out of an archive.

use std::{io::Read, path::Path};

use varve_distribution::archive::{self, LoadInput};
use varve_store::Row;
use varve_types::{Ctx, Event, Platform};

use crate::{Engine, Error, Result};

/// What to load.
pub struct Load<'a> {
    /// Where the archive comes from.
    pub source: LoadSource<'a>,
    /// Only this platform.
    pub platform: Option<&'a Platform>,
}

/// Where an archive comes from.
pub enum LoadSource<'a> {
    /// A file or pipe, read once from front to back.
    Stream(&'a mut (dyn Read + Send)),
    /// An OCI image layout.
    Directory(&'a Path),
}

impl Engine {
    /// Loads all images of an archive. Names are given when everything is in the store.
    pub fn load(&self, ctx: &Ctx<'_>, request: Load<'_>) -> Result<()> {
        let lease = self.store.lease()?;
        let input = match request.source {
            LoadSource::Stream(stream) => LoadInput::Stream(stream),
            LoadSource::Directory(path) => LoadInput::Directory(path),
        };
        let loaded = archive::load(&self.store, &lease, input, request.platform, ctx)
            .map_err(|error| Error::Archive(error).in_stream())?;
        let now = ctx.now();
        let events = self.store.update_names(|names| {
            let mut events = Vec::new();
            if loaded.is_empty() {
                // Docker ends its answer to an empty manifest.json with an empty line.
                events.push(Event::Note(String::new()));
            }
            for image in &loaded {
                let row = Row {
                    created: image.created,
                    size_bytes: image.size_bytes,
                    platform: Some(image.platform.clone()),
                    index: image.index,
                    tagged: Some(now),
                    stored: Some(now),
                    made_here: image.made_here,
                    ..Row::new(image.target.clone(), image.image)
                };
                if image.names.is_empty() {
                    if names.of_image(image.image).next().is_none() {
                        names.put(row.clone());
                    }
                    if !image.is_silent {
                        events.push(Event::LoadedId { id: image.image });
                    }
                }
                for name in &image.names {
                    let familiar = name.familiar();
                    let before = names.put(Row { reference: Some(name.clone()), ..row.clone() });
                    if let Some(before) = before.filter(|before| before.image != image.image) {
                        events.push(Event::Note(format!(
                            "The image {familiar} already exists, renaming the old one with ID {} to empty string",
                            before.image
                        )));
                    }
                    if !image.is_silent {
                        events.push(Event::LoadedName { name: familiar });
                    }
                }
            }
            Ok::<_, Error>(events)
        })?;
        for event in events {
            ctx.progress.event(event);
        }
        Ok(())
    }
}
