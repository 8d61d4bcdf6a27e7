//! `image import`: a root file system becomes an image of one layer.

use std::io::Read;

use varve_distribution::archive;
use varve_store::Row;
use varve_types::{Ctx, ImageId, Reference};

use crate::{Engine, Error, Result};

/// What to import.
pub struct Import<'a> {
    /// Where the tar comes from.
    pub source: ImportSource<'a>,
    /// The name to give the image.
    pub reference: Option<&'a Reference>,
    /// Dockerfile instructions that change the config.
    pub changes: &'a [String],
    /// The comment.
    pub message: Option<&'a str>,
    /// The platform to write into the config, as the user typed it.
    pub platform: Option<&'a str>,
}

/// Where the tar of an import comes from.
pub enum ImportSource<'a> {
    /// A file or pipe.
    Stream(&'a mut (dyn Read + Send)),
    /// An http or https address.
    Url(&'a str),
}

impl Engine {
    /// Imports a root file system. Every import makes a new image; the same tar makes the same layer.
    pub fn import(&self, ctx: &Ctx<'_>, request: Import<'_>) -> Result<ImageId> {
        let reference = match request.reference {
            Some(reference) if reference.digest().is_some() => return Err(Error::ImportDigest),
            Some(reference) => Some(reference.clone().or_latest()),
            None => None,
        };
        let lease = self.store.lease()?;
        let source_text = match &request.source {
            ImportSource::Stream(_) => "-",
            ImportSource::Url(url) => url,
        };
        let import = archive::Import {
            changes: request.changes,
            message: request.message,
            platform: request.platform,
            source_text,
        };
        let loaded = match request.source {
            ImportSource::Stream(stream) => {
                archive::import(&self.store, &lease, stream, &import, ctx)?
            }
            ImportSource::Url(url) => {
                let mut body = self.registries.client(ctx).download(url)?;
                archive::import(&self.store, &lease, &mut body, &import, ctx)?
            }
        };
        let now = ctx.now();
        self.store.update_names(|names| {
            names.put(Row {
                tagged: reference.is_some().then_some(now),
                reference,
                created: loaded.created,
                size_bytes: loaded.size_bytes,
                platform: Some(loaded.platform),
                stored: Some(now),
                made_here: true,
                ..Row::new(loaded.target, loaded.image)
            });
            Ok::<_, Error>(())
        })?;
        Ok(loaded.image)
    }
}
