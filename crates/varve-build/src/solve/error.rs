//! Why a plan could not be done, and which step failed. The texts are docker's.

use std::fmt;

use varve_types::{Kind, Printable};

use super::{CopyError, Fault, Step};
use crate::source::Lines;

/// Why a plan could not be done.
#[derive(Debug)]
pub struct SolveError {
    /// The step that failed; `None` when no one step did.
    pub step: Option<Step>,
    /// The lines of the Dockerfile that ask for the step.
    pub lines: Option<Lines>,
    /// Why.
    pub cause: Box<SolveCause>,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum SolveCause {
    /// Files that a step takes from a context could not be found or read, before it began.
    #[error("failed to calculate checksum of ref {}: {source}", Printable(context))]
    Contents {
        /// The context, as it is called in the Dockerfile.
        context: String,
        /// Why not.
        source: CopyError,
    },
    /// What was to be copied is not in the step or image that it was to be copied from.
    #[error("lstat {}: no such file or directory", Printable(path))]
    NotInStep {
        /// The path.
        path: String,
    },
    /// Files could not be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Something of the world could not be had, or a program failed.
    #[error(transparent)]
    World(#[from] Fault),
    /// A source could not be had before its key was known.
    #[error(transparent)]
    Source(Fault),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] varve_store::Error),
    /// The caller wanted no more.
    #[error("context canceled")]
    Interrupted,
    /// The plan needs itself, or something that it does not have.
    #[error("the plan cannot be done: step {0} is not in it, or needs itself")]
    Plan(usize),
}

impl SolveCause {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Contents { source, .. } | Self::Copy(source) => source.kind(),
            Self::NotInStep { .. } => Kind::NotFound,
            Self::World(fault) | Self::Source(fault) => fault.kind(),
            Self::Store(error) => error.kind(),
            Self::Interrupted => Kind::Unavailable,
            Self::Plan(_) => Kind::Internal,
        }
    }
}

impl SolveError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        self.cause.kind()
    }
}

/// What docker says behind `failed to solve: `: more than under the step itself, when the step had
/// not begun.
impl fmt::Display for SolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.cause {
            SolveCause::Contents { .. } => f.write_str("failed to compute cache key: ")?,
            SolveCause::Source(_) => f.write_str("failed to load cache key: ")?,
            _ => {}
        }
        self.cause.fmt(f)
    }
}

impl std::error::Error for SolveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}
