//! The test kit itself: what it makes must be right, or nothing that it tests is.

mod image;
mod registry;
mod store;
