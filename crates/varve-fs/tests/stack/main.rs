//! Layers put one upon the other, compared with what the kernel's overlayfs makes of them, and
//! trees made into files, compared with what GNU tar makes of their tars.
#![expect(clippy::format_push_string, reason = "speed does not count here")]

mod diff;
mod extract;
mod kernel;
mod made;
mod merge;
mod upper;
