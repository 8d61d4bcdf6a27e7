//! Under construction.

pub mod archive;
