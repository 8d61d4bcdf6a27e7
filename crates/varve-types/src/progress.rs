//! What an operation says while it runs. The engine reports; only the binary prints.
#![allow(missing_docs, reason = "the fields of events name themselves")]

use crate::{Digest, ImageId};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A pull of one tag (or digest) of a repository begins. `path` is the repository's path.
    Pulling { tag: String, path: String },
    /// A push to a repository begins.
    PushingTo { repository: String },
    /// A layer, named by 12 digits, came into a new state.
    Layer { id: String, state: LayerState },
    /// The digest that a pulled name resolves to.
    Resolved { digest: Digest },
    /// A tag was pushed.
    Pushed { tag: String, digest: Digest, size: u64 },
    /// The last line of a pull: whether anything new came. `name` is the familiar name.
    PullStatus { name: String, newer: bool },
    /// An archive's image now has this name.
    LoadedName { name: String },
    /// An archive's image was loaded without a name.
    LoadedId { id: ImageId },
    /// A line for people, such as a warning that is part of the operation's own output.
    Note(String),
    /// A warning that belongs on standard error.
    Warning(String),
}

/// The states of a layer on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerState {
    /// Known to be needed.
    PullingFsLayer,
    /// Queued behind others.
    Waiting,
    /// Bytes are arriving: how many of how many.
    Downloading { done_bytes: u64, total_bytes: u64 },
    /// All bytes are here and are being checked.
    VerifyingChecksum,
    /// All bytes are here and right.
    DownloadComplete,
    /// Being indexed: how many of how many compressed bytes.
    Extracting { done_bytes: u64, total_bytes: u64 },
    /// Ready.
    PullComplete,
    /// Was here before.
    AlreadyExists,
    /// Read from an archive: how many of how many bytes.
    Loading { done_bytes: u64, total_bytes: u64 },
    /// Known to be needed on the other side.
    Preparing,
    /// Bytes are leaving: how many of how many (0: not known).
    Pushing { done_bytes: u64, total_bytes: u64 },
    /// The other side has it now.
    Pushed,
    /// The other side had it before.
    LayerAlreadyExists,
    /// The other side took it from another of its repositories.
    MountedFrom { repository: String },
    /// Failed; the next try begins in so many seconds.
    Retrying { seconds: u64 },
}

/// Takes events, from several threads at once.
pub trait Progress: Sync {
    /// Takes one event. Must be quick: it is called while bytes wait.
    fn event(&self, event: Event);
}

/// Takes events and does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event) {}
}
