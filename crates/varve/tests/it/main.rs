//! The built program, run in directories of its own.

mod cli;
mod sandbox;
