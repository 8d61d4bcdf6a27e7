//! The built program, run in directories of its own.

mod bad_input;
mod boot;
mod cli;
mod control_groups;
mod cut_off;
mod files;
mod guest;
mod living;
mod mounts;
mod odd_images;
mod pty;
mod refusals;
mod reset;
mod sandbox;
mod sessions;
mod volumes;
