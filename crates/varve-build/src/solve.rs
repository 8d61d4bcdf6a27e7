//! Solving: a plan's vertices done one by one, from the cache or anew, into layers of a store.
//!
//! ```text
//! Plan ──► keys ──► cached? ──► its layer
//!                └► no: Copy, Mkdir  a tar written from files, indexed while it is written
//!                       Run          a program over the mounted layers; what it left is the layer
//! ```
//!
//! Programs, images, networks and secrets are another's business: [`World`]. What is done is told
//! to a [`Watch`].

mod files;
mod watch;
mod world;

pub use files::{FileKind, FileStatus, Files};
pub use watch::{BuildEvent, NoWatch, Step, StepId, Stream, Watch};
pub use world::{
    BoundFiles, BuildLayer, Fault, LayerTimes, MadeLayer, RunRequest, Timestamps, World,
};
