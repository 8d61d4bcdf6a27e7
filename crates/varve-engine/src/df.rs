//! `system df`: what takes how much room.

use std::collections::HashMap;

use varve_types::{
    DiffId,
    container::listing::{Summary, Volume},
};

use crate::{CacheUse, Engine, ImageSummary, ListContainers, Result, list};

/// What the store holds, in Docker's units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskUsage {
    /// Docker's size of all layers together, each once, in bytes.
    pub layers_size_bytes: u64,
    /// The images, newest first.
    pub images: Vec<ImageUsage>,
    /// The containers with their sizes, newest first.
    pub containers: Vec<Summary>,
    /// What the build cache holds, what was used last first.
    pub build_cache: Vec<CacheUse>,
    /// The volumes with how they are used, by name.
    pub volumes: Vec<Volume>,
}

/// What one image takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    /// The image.
    pub summary: ImageSummary,
    /// Bytes of its layers that other images use too.
    pub shared_size_bytes: u64,
    /// How many containers use it.
    pub containers: u64,
}

impl Engine {
    /// Measures what is here.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        let names = self.store.names()?;
        let mut images = list::summaries(&names);
        images.sort_by_key(|image| std::cmp::Reverse(image.created));
        let mut uses: HashMap<DiffId, u64> = HashMap::new();
        let mut stacks = Vec::new();
        for image in images {
            // Of an image without its config nothing is known but that it is here.
            let config = self.store.config(&image.id).ok();
            let stack = config.map(|config| config.diff_ids().to_vec()).unwrap_or_default();
            for layer in &stack {
                *uses.entry(*layer).or_default() += 1;
            }
            stacks.push((image, stack));
        }
        let mut sizes: HashMap<DiffId, u64> = HashMap::new();
        for layer in uses.keys() {
            sizes.insert(*layer, self.content_size(std::slice::from_ref(layer)));
        }
        let request = ListContainers { all: true, size: true, ..ListContainers::default() };
        let containers = self.list_containers(&request)?;
        let images = stacks.into_iter().map(|(summary, stack)| {
            let shared = stack.iter().filter(|layer| uses[*layer] > 1).map(|layer| sizes[layer]);
            let users = containers.iter().filter(|container| container.image_id == summary.id);
            let users = users.count() as u64;
            ImageUsage { summary, shared_size_bytes: shared.sum(), containers: users }
        });
        Ok(DiskUsage {
            images: images.collect(),
            layers_size_bytes: sizes.values().sum(),
            volumes: self.used_volumes()?,
            build_cache: self.build_cache()?,
            containers,
        })
    }
}
