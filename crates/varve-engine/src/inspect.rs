//! `image inspect`: everything that is known of an image.

use jiff::Timestamp;
use varve_types::{DiffId, ImageConfig, ImageId, Platform, Reference};

use crate::{Engine, Result, list};

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// The image's ID.
    pub id: ImageId,
    /// Its names with tags, sorted.
    pub tags: Vec<Reference>,
    /// Its names with digests, sorted.
    pub digests: Vec<Reference>,
    /// The image it was committed from here.
    pub parent: Option<ImageId>,
    /// The comment of the config, else of the last step of the history.
    pub comment: String,
    /// The config.
    pub config: ImageConfig,
    /// Docker's SIZE in bytes.
    pub size_bytes: u64,
    /// The layers, lowest first.
    pub layers: Vec<DiffId>,
    /// When one of its names was last given here.
    pub tagged: Option<Timestamp>,
    /// The storage backend's name.
    pub driver: &'static str,
}

impl Engine {
    /// Everything that is known of one image.
    pub fn inspect(&self, image: &str, platform: Option<&Platform>) -> Result<ImageFacts> {
        let (names, found) = self.find(image)?;
        let opened = self.open_row(&found.row, platform, &found.shown)?;
        let id = found.image();
        let of_image = varve_store::Names::new(names.of_image(id).cloned().collect());
        let summary = list::summaries(&of_image).into_iter().next();
        let (tags, digests) = summary.map(|s| (s.tags, s.digests)).unwrap_or_default();
        let config = opened.config.value().clone();
        let comment = if config.comment.is_empty() {
            config.history.last().map(|step| step.comment.clone()).unwrap_or_default()
        } else {
            config.comment.clone()
        };
        Ok(ImageFacts {
            id: opened.config.image_id(),
            tags,
            digests,
            parent: found.row.parent,
            comment,
            size_bytes: self.content_size(config.diff_ids()),
            layers: config.diff_ids().to_vec(),
            tagged: of_image.rows.iter().filter_map(|row| row.tagged).max(),
            driver: "varve",
            config,
        })
    }
}
