//! Copying images between the store and a registry.
//!
//! Both directions have one shape: find out what the other side has, move only what is
//! missing, several layers at once, and write the name last. What arrives is believed only
//! after its size and digest are verified.

mod error;
mod pull;
mod push;
mod refetch;
mod select;
mod workers;

pub use error::Error;
pub use pull::{PlatformChoice, PullError, Pulled, Resolved, pull, resolve};
pub use push::{PushRequest, Pushed, push};
pub use refetch::refetch;

/// What copying returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;
