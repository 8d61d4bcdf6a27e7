//! Images whose configs must be known before a plan can be made.

use varve_types::{Digest, ImageConfig, Platform, Reference};

use crate::source::Lines;

/// What must be known of an image before the plan can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// By which [`super::Planner::supply`] knows it.
    pub id: NeedId,
    /// The image; for a layout the name under which it is planned.
    pub reference: Reference,
    /// The layout it lies in, as `--build-context` named it.
    pub layout: Option<String>,
    /// For this platform.
    pub platform: Platform,
    /// The name as the Dockerfile has it, expanded; docker begins errors with it.
    pub name: String,
    /// Where it is named.
    pub lines: Lines,
    /// What progress calls finding it.
    pub step_name: String,
}

/// One of the images that a plan needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeedId(pub usize);

/// What tells needs apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NeedKey {
    pub(super) reference: Reference,
    pub(super) layout: Option<String>,
    pub(super) platform: Platform,
}

/// What was found for a [`Need`].
#[derive(Debug, Clone)]
pub struct ResolvedImage {
    /// The config.
    pub config: ImageConfig,
    /// What identifies the image's content; part of the keys of all steps above it.
    pub id: Digest,
    /// The digest to show behind the name, when a registry was asked.
    pub digest: Option<Digest>,
}
