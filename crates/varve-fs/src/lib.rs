//! Trees and layers, and the file system underneath them.
//!
//! Tar reading and writing, the tree a layer describes, stacks of them and their differences,
//! extraction, mounts and the backends that choose among them, compression, confined paths, walks of
//! directories, durable writes and locks. This crate knows
//! nothing of images, registries or the store's layout.

pub mod backend;
pub mod checksum;
pub mod compression;
pub mod diff;
pub mod durable;
pub mod erofs;
pub mod extract;
pub mod layer;
pub mod lock;
pub mod mount;
pub mod overlay;
mod owners;
pub mod root;
pub mod stack;
mod sys;
pub mod tar;
pub mod tree;
pub mod unpack;
pub mod upper;
pub mod walk;
