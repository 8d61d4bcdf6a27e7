//! The verbs: everything that `varve` can do with images, one file each.
//!
//! The engine joins the store to the registries and archives. It decides about images; it
//! prints nothing, knows no terminal, and takes time and environment from the caller's
//! [`Ctx`](varve_types::Ctx).
//!
//! # Invariants
//!
//! 1. A verb that fails has changed no name. What it fetched may stay, for the next try.
//! 2. Everything a verb relies on is pinned under its lease before it is named.
//! 3. Error texts are Docker's where Docker has one ([`Error`]); where they belong in the
//!    conversation is told by [`Error::origin`].

pub mod build;
pub mod build_cache;
pub mod cat;
pub mod check;
pub mod compare;
pub mod container;
pub mod contents;
pub mod df;
mod engine;
mod error;
pub mod export;
pub mod filters;
mod find;
pub mod history;
pub mod import;
pub mod info;
pub mod inspect;
pub mod list;
pub mod load;
pub mod mount;
pub mod network;
pub mod prune;
pub mod pull;
pub mod push;
pub mod registries;
pub mod remove;
mod reset;
pub mod rootless;
pub mod save;
pub mod tag;
pub mod tree;

pub use build_cache::{CacheKind, CacheUse, PruneBuildCache, PrunedCache};
pub use compare::Difference;
pub use container::{
    Commit, ContainerError, Copied, CopyIn, CopyOut, CreateContainer, CreateVolume,
    CreatedContainer, ListContainers, RemoveContainer, RemoveVolume,
};
pub use contents::Contents;
pub use df::{DiskUsage, ImageUsage};
pub use engine::Engine;
pub use error::{Error, Origin, go_io_text};
pub use export::Exporting;
pub use filters::Filters;
pub use history::HistoryEntry;
pub use import::{Import, ImportSource};
pub use info::SystemFacts;
pub use inspect::ImageFacts;
pub use list::{ImageSummary, List, PlatformSummary};
pub use load::{Load, LoadSource};
pub use mount::ImageMount;
pub use network::{AttachedNetworks, CreateNetwork, NetworkError, NetworksNow};
pub use prune::{Prune, Pruned};
pub use pull::{Pull, PullPlatform, Pulled};
pub use push::{Push, PushCompression};
pub use registries::{Credential, LoggedIn, Registries};
pub use remove::{Remove, Removed};
pub use save::Save;
pub use tree::{EntryKind, TreeEntry};

pub use varve_fs::backend::BackendKind;
#[cfg(debug_assertions)]
pub use varve_fs::durable::{AskedAbout, observe};
pub use varve_store::Options as StoreOptions;

/// What the verbs return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
