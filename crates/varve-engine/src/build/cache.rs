//! Build caches elsewhere: in registries, in directories, in images.
//!
//! The form is that of BuildKit's `application/vnd.buildkit.cacheconfig.v0`: a manifest whose config
//! has the records and whose layers are theirs, or those records in the config of an image. The keys
//! are varve's own, so that BuildKit reads such a cache and finds nothing in it, and the reverse.
//!
//! ```text
//! manifest ── config  { layers: [blob, parent], records: [key, layer, inputs, dev.varve.step] }
//!          └─ layers  the blobs
//! ```

pub(super) mod export;
pub(super) mod import;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use varve_types::{DiffId, Digest};

/// The type of a cache's config.
const CONFIG_TYPE: &str = "application/vnd.buildkit.cacheconfig.v0";
/// The member of an image's config that has the image's cache: base64 of a [`CacheConfig`].
const INLINE_MEMBER: &str = "moby.buildkit.cache.v0";
/// A layer whose record is not of what lies below it.
const NO_PARENT: i64 = -1;

/// The records of a cache.
#[derive(Debug, Default, Serialize, Deserialize)]
struct CacheConfig {
    #[serde(default)]
    layers: Vec<CacheLayer>,
    #[serde(default)]
    records: Vec<Record>,
}

/// A layer of a cache.
#[derive(Debug, Serialize, Deserialize)]
struct CacheLayer {
    /// The blob; in an image the diff ID, as its blobs may be compressed later.
    blob: Digest,
    #[serde(default = "no_parent")]
    parent: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annotations: Option<LayerAnnotations>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayerAnnotations {
    media_type: String,
    #[serde(rename = "diffID")]
    diff_id: DiffId,
    size: u64,
}

/// What is known of a step.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    digest: Digest,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    layers: Vec<RecordLayer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<Vec<Input>>,
    #[serde(rename = "dev.varve.step", default, skip_serializing_if = "Option::is_none")]
    step: Option<Step>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RecordLayer {
    layer: usize,
    #[serde(rename = "createdAt", default, skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Input {
    link: usize,
}

/// What varve says of a step besides.
#[derive(Debug, Serialize, Deserialize)]
struct Step {
    description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<Digest>,
}

fn no_parent() -> i64 {
    NO_PARENT
}
