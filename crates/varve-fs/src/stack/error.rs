//! Why layers do not go together.

use varve_types::{Kind, Printable};

use crate::layer::LayerError;

/// Why layers do not go together.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A hard link names what neither its own layer nor those below have.
    #[error(
        "hard link `{}` of layer {layer} points at `{}`, which no layer up to there has",
        Printable(path),
        Printable(target)
    )]
    LinkToNothing {
        /// The layer, counted from the lowest, which is 0.
        layer: usize,
        /// The link.
        path: String,
        /// What it names.
        target: String,
    },
    /// A hard link names a directory of a lower layer.
    #[error(
        "hard link `{}` of layer {layer} points at the directory `{}`",
        Printable(path),
        Printable(target)
    )]
    LinkToDirectory {
        /// The layer, counted from the lowest, which is 0.
        layer: usize,
        /// The link.
        path: String,
        /// The directory.
        target: String,
    },
    /// A named limit was passed.
    #[error("{what}: more than {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// By how much.
        limit: u64,
    },
    /// A path cannot be followed.
    #[error(transparent)]
    Path(LayerError),
}

impl StackError {
    /// The class of the error.
    pub fn kind(&self) -> Kind {
        match self {
            StackError::LinkToNothing { .. } | StackError::LinkToDirectory { .. } => Kind::Invalid,
            StackError::Limit { .. } => Kind::Exhausted,
            StackError::Path(error) => error.kind(),
        }
    }
}
