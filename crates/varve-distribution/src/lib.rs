//! Moving images between places.

pub mod archive;
pub mod client;
pub mod copy;
pub mod credentials;
pub mod go_json;
pub mod hosts;
pub mod server;
