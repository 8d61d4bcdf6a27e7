//! For tests only: a registry on loopback that misbehaves when told to, images made to order,
//! stores in temporary directories, and guards for what a machine may lack.

mod connection;
pub mod fault;
pub mod guard;
pub mod image;
mod log;
pub mod namespace;
pub mod registry;
mod seed;
mod store;
mod tar;
mod tls;
pub mod torture;

pub use fault::{Fault, On};
pub use image::Image;
pub use log::Entry;
pub use registry::Registry;
pub use seed::Seeded;
pub use store::TempStore;
