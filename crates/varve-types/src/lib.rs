//! The nouns of varve: digests, descriptors, manifests, configs, platforms and references.
//!
//! This crate does no I/O: it turns text and bytes into types that cannot be wrong, and back.
//! Every other crate may use it; it uses none of them.
//!
//! # Invariants
//!
//! 1. A value of a type here is valid: parsing is the only way in from the outside.
//! 2. The exact bytes of a manifest or config are kept beside the parsed value
//!    ([`Document`]); JSON is never written again to learn its digest.
//! 3. Everything received has a limit with a name ([`limits`]).

pub mod config;
pub mod container;
pub mod ctx;
pub mod descriptor;
pub mod digest;
pub mod document;
pub mod duration;
pub mod kind;
pub mod limits;
pub mod manifest;
pub mod media_type;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod sealed;
pub mod text;

pub use config::{ImageConfig, RunConfig};
pub use container::{Container, ContainerId, ContainerName};
pub use ctx::{Clock, Ctx, Environment};
pub use descriptor::Descriptor;
pub use digest::{ChainId, DiffId, Digest, Hasher, ImageId};
pub use document::Document;
pub use kind::Kind;
pub use manifest::{Index, Manifest, ManifestKind};
pub use platform::Platform;
pub use progress::{Event, LayerState, Progress, Silent};
pub use reference::{Reference, Repository};
pub use text::{Printable, go_bool};
