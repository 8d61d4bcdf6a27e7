//! The verbs of containers and volumes, one file each.
//!
//! ```text
//! commit   what a container changed ─▶ a new image
//! create   image + what was asked for ─▶ record in the store
//! find     a name, an ID or a prefix of one ─▶ record
//! volumes  what is mounted: volumes made, paths checked
//! verify   limits that the machine cannot keep
//! ```
//!
//! A container is a record in the store (`varve_store::containers`); what runs of it is the
//! runtime's business. Texts of errors are Docker's ([`ContainerError`]).

mod bundle;
pub mod commit;
pub mod create;
mod error;
mod executor;
mod fill;
pub mod find;
pub mod rename;
pub mod role;
pub mod start;
mod verify;
pub mod volumes;
mod watch;
mod workdir;

pub use commit::Commit;
pub use create::{CreateContainer, CreatedContainer};
pub use error::ContainerError;
pub use role::Role;
pub use start::{Stop, not_started};
pub use volumes::{CreateVolume, RemoveVolume};
