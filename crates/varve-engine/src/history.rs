//! `image history`: how an image was made.

use jiff::Timestamp;
use varve_types::{ImageId, Platform, Reference};

use crate::{Engine, Result};

/// One step, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The image as of this step, where it is known here; the first entry always has it.
    pub id: Option<ImageId>,
    /// When.
    pub created: Option<Timestamp>,
    /// By what instruction.
    pub created_by: String,
    /// Docker's SIZE of the step's layer, in bytes; 0 where it made none.
    pub size_bytes: u64,
    /// Comment on the step.
    pub comment: String,
    /// The names of the image as of this step.
    pub tags: Vec<Reference>,
}

impl Engine {
    /// The steps of an image, newest first.
    pub fn history(&self, image: &str, platform: Option<&Platform>) -> Result<Vec<HistoryEntry>> {
        let (names, found) = self.find(image)?;
        let opened = self.open_row(&found.row, platform, &found.shown)?;
        let mut layers = opened.config.diff_ids().iter();
        let mut entries = Vec::new();
        for step in &opened.config.history {
            let layer = if step.empty_layer { None } else { layers.next() };
            entries.push(HistoryEntry {
                id: None,
                created: step.created,
                created_by: step.created_by.clone(),
                size_bytes: self.content_size(layer.map_or(&[], std::slice::from_ref)),
                comment: step.comment.clone(),
                tags: Vec::new(),
            });
        }
        entries.reverse();
        // The chain of images that were committed from one another here; a pulled image has none.
        let mut image = Some(opened.config.image_id());
        for entry in &mut entries {
            let Some(id) = image else { break };
            entry.id = Some(id);
            let tags = names.of_image(id).filter_map(|row| row.reference.clone());
            entry.tags = tags.filter(|reference| reference.tag().is_some()).collect();
            image = names.of_image(id).find_map(|row| row.parent);
        }
        Ok(entries)
    }
}
