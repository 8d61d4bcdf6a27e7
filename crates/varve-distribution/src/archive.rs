//! Image archives: writing them (`save`), reading them (`load`), and root file systems that
//! become images (`import`). (Being built.)

pub mod changes;
mod error;
mod go_json;

pub use error::Error;

/// What this module's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
