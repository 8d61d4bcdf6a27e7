//! The built program, run in directories of its own.

mod cli;
mod files;
mod mounts;
mod sandbox;
