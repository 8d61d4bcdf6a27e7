//! The local store: blobs, names, layers and leases in one directory that is an OCI image layout.
//! (Skeleton: signatures are agreed, bodies and the full module comment follow.)

mod adopt;
mod arrival;
pub mod blob;
pub mod check;
pub mod compressed;
pub mod error;
pub mod ingest;
pub mod layers;
pub mod lease;
mod mark;
pub mod names;
mod pipeline;
pub mod store;
pub mod sweep;
mod table;

pub use blob::BlobReader;
pub use check::Finding;
pub use error::Error;
pub use ingest::{BlobIngest, Keep, LayerIngest, LayerRequest, LayerState, StoredLayer};
pub use layers::LayerRecord;
pub use lease::Lease;
pub use names::{Names, Row};
pub use store::Store;
pub use sweep::Swept;

/// What the store's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
