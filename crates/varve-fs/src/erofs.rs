//! The index of a layer: an EROFS image whose files' data lie in the layer's tar.
//!
//! [`write_index`] turns a [`crate::tree::Tree`] into such an image; the kernel mounts it with the
//! uncompressed tar as its one extra device, and [`Index`] reads it for our own code without
//! mounting anything. Which part of the format is used, and why, is in `docs/erofs-index.md`.
//!
//! ```text
//! index:  superblock, device slot │ inodes with attributes, short directories, link texts,
//!         maps │ shared attributes │ long directories, data that the tar does not hold in blocks
//!         │ notes
//! tar:    seen as further blocks, right behind those of the index
//! ```
//!
//! # Invariants
//!
//! 1. The same tree, diff ID and size of the tar give the same bytes.
//! 2. A block of the tar is mapped only if all of it that a file does not cover is zero.
//! 3. No index makes the reader panic, go round in circles or hold more than a few MiB.

mod error;
mod format;
mod notes;
mod read_at;
mod reader;
mod writer;

pub use error::{IndexFault, ReadError, WriteError};
pub use format::BlockSize;
pub use read_at::ReadAt;
pub use reader::{
    Attributes, Child, Children, Index, Kind, Node, NodeId, Place, Range, Ranges, Visit,
};
pub use writer::{Layer, Written, write_index, write_whole};
