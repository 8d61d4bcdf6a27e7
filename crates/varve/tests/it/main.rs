//! The built program, run in directories of its own.

mod bad_input;
mod cli;
mod files;
mod guest;
mod living;
mod mounts;
mod pty;
mod refusals;
mod sandbox;
mod sessions;
mod volumes;
