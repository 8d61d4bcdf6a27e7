//! Layers put one upon the other, compared with what the kernel's overlayfs makes of them, and
//! trees made into files, compared with what GNU tar makes of their tars.
#![expect(clippy::format_push_string, reason = "speed does not count here")]

mod backends;
#[path = "../layers/corpus.rs"]
mod corpus;
mod diff;
mod extract;
mod kernel;
mod made;
mod merge;
#[path = "../layers/raw.rs"]
#[allow(dead_code, reason = "the corpus does not need all of it")]
mod raw;
mod upper;
