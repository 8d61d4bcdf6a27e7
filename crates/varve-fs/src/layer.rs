//! One layer's tar going by: hashed, parsed strictly, collected into a tree and a summary.

use serde::{Deserialize, Serialize};
use varve_types::{DiffId, Kind};

use crate::tree::Tree;

/// What is known of a layer once its tar has gone by. Written into the store's layer record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerSummary {
    /// Digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// Bytes of the uncompressed tar, padding and anything after the end marker included.
    pub tar_size_bytes: u64,
    /// Docker's SIZE: bytes of regular files and symlink targets, each path counted once.
    pub content_size_bytes: u64,
    /// Entries of the tree.
    pub entries: u64,
    /// Directories that entries lie in without the tar naming them, as raw path bytes in lossless text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub implied_directories: Vec<String>,
    /// Hard links to paths that this layer does not hold, `(path, target)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_hard_links: Vec<(String, String)>,
    /// Things that are legal but will not do what their maker meant, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Why bytes are not a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Replaced by the real list.
    #[error("{0}")]
    Tar(String),
}

impl LayerError {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        Kind::Corrupt
    }
}

/// Takes a layer's uncompressed bytes in order, in pieces of any size.
#[derive(Debug)]
pub struct LayerParser {
    _private: (),
}

impl LayerParser {
    /// Starts with no bytes.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        todo!()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, _bytes: &[u8]) -> Result<(), LayerError> {
        todo!()
    }

    /// Ends: the tar must be whole. An empty stream is an empty layer, as in Docker.
    pub fn finish(self) -> Result<(LayerSummary, Tree), LayerError> {
        todo!()
    }
}
