//! Stories about the store, told through its public functions.

mod base;
mod build_cache;
mod cache;
mod cache_mounts;
mod check;
mod containers;
mod crash;
mod index;
mod ingest;
mod loop_devices;
mod made;
mod mounts;
mod mounts_trouble;
mod names;
mod namespace;
mod other_tools;
mod processes;
mod prune_cache;
mod real_times;
mod trouble;
mod unpacked;
mod written;
