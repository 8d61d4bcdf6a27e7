//! What every backend must do, on every kind of file system that a store may lie on.
#![allow(clippy::format_push_string, reason = "speed does not count here")]

mod attach;
mod cache;
mod chain;
#[path = "../layers/corpus.rs"]
#[allow(dead_code, reason = "what GNU tar makes of the archives is compared elsewhere")]
mod corpus;
#[path = "../layers/disk.rs"]
mod disk;
#[path = "../layers/facts.rs"]
#[allow(dead_code, reason = "indexes are not read here")]
mod facts;
#[path = "../stack/kernel.rs"]
#[allow(dead_code, reason = "the stacks need more of it")]
mod kernel;
#[path = "../stack/made.rs"]
#[allow(dead_code, reason = "the stacks need more of it")]
mod made;
mod modules;
mod owners;
mod probe;
#[path = "../layers/raw.rs"]
#[allow(dead_code, reason = "the corpus does not need all of it")]
mod raw;
mod store;
