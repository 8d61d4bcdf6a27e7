//! Layers put one upon the other, compared with what the kernel's overlayfs makes of them, and
//! trees made into files, compared with what GNU tar makes of their tars.

mod diff;
mod extract;
mod kernel;
mod made;
mod merge;
