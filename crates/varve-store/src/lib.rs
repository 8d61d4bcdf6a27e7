//! The local store: blobs, names, layers and leases in one directory that is an OCI image layout.
//!
//! Several `varve` processes share one store with no daemon between them, so the directory itself
//! is the protocol (field by field in `docs/store-format.md`):
//!
//! ```text
//! <root>/
//! ├── oci-layout, index.json      an OCI image layout; index.json is the image table and the roots
//! ├── blobs/sha256/<hex>          complete, synced, read-only
//! └── varve/
//!     ├── format                  version; a newer one is refused
//!     ├── gate, lock              shared to publish, exclusive to sweep; held for moments
//!     ├── index.lock              held to change index.json; readers need none
//!     ├── ingest/<digest>/        bytes still arriving; resumable by any process
//!     ├── containers/<id>/        a container: its record, what it changed, what it wrote
//!     ├── volumes/<name>/         named volumes
//!     ├── steps/<id>/             a build's program that runs, and what it changes
//!     ├── layers/<diffid>/        layer.tar, its index and record; derived, may be dropped
//!     ├── chains/<chainid>/       what is known of stacks of them; derived
//!     ├── cache/<key>             records of builds: which layer came of a step
//!     ├── cache-mounts/<id>/      directories that programs of builds find again
//!     ├── times/<digest>/         second indexes, with the real times of files; derived
//!     ├── leases/<id>             what an operation pins; free to sweep when its process is dead
//!     └── trash/<id>              removed, being freed
//! ```
//!
//! # Invariants
//!
//! 1. A file under `blobs/` hashes to its own name. It gets there only by rename.
//! 2. A name enters `index.json` after everything it reaches is synced, and leaves before.
//! 3. What a name, a container, a cache record or a living lease reaches survives a sweep; nothing
//!    else does.
//! 4. Nobody waits for a network, or for another's transfer, while holding a lock that others need
//!    for other content.
//! 5. A layer that is served is whole: its record tells in which run of the machine it was
//!    written, and after another one its tar and index are hashed before they are believed.
//!
//! A process killed between any two system calls leaves a store that satisfies all of them.
//! What is mounted, and for whom, is in the run directory beside the store ([`mounts`]).
//!
//! Every call that changes the directory goes through [`varve_fs::durable`].
//!
//! This crate knows nothing of registries, archives or output.

mod adopt;
pub mod ahead;
mod arrival;
mod backend;
pub mod base;
pub mod blob;
pub mod cache;
pub mod cache_mounts;
mod chain;
pub mod check;
pub mod compressed;
pub mod containers;
pub mod error;
mod hold;
pub mod index;
pub mod ingest;
pub mod layers;
pub mod lease;
mod made;
mod mark;
pub mod mounts;
pub mod names;
mod pin;
mod pipeline;
mod ready;
pub mod repair;
mod reset;
mod stamp;
pub mod steps;
pub mod store;
pub mod sweep;
mod table;
mod table_stamp;
mod times;
mod trash;
mod unpacked;
pub mod volumes;

pub use base::{Base, RootOwner};
pub use blob::BlobReader;
pub use cache::{CacheKind, CachePolicy, CacheRecord, CacheUse, PrunedCache, UnknownKind};
pub use cache_mounts::{
    Before, CacheMount, CacheMountRecord, CacheMountRequest, SeenFile, Sharing, Sight,
};
pub use check::{BadBlob, Cause, Finding};
pub use containers::{Containers, HiddenContainer, Named};
pub use error::Error;
pub use hold::Hold;
pub use index::IndexRecord;
pub use ingest::{BlobIngest, Keep, LayerIngest, LayerRequest, LayerState, StoredLayer};
pub use layers::LayerRecord;
pub use lease::Lease;
pub use mounts::{HeldLowers, Holder, Lowers, Mounted, Releasing, Snapshot, Sync};
pub use names::{Names, Row};
pub use repair::Mended;
pub use steps::StepDirectory;
pub use store::{Options, Store};
pub use sweep::Swept;
pub use times::{RealTimes, times_digest};

/// What the store's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
