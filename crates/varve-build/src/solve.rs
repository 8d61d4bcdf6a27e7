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

mod archive;
mod contents;
mod context;
mod copy;
mod copy_error;
mod error;
mod files;
mod image;
mod keys;
mod layer_files;
mod made_tree;
mod make;
mod mode;
mod name;
mod one_file;
mod owner;
mod schedule;
mod shown;
mod sight;
mod solver;
mod tar_files;
mod watch;
mod wire;
mod world;
mod write_tree;

pub use contents::copy_contents;
pub use context::{Context, ContextRequest};
pub use copy::{copy_times, write_copy, write_mkdir};
pub use copy_error::CopyError;
pub use error::{SolveCause, SolveError};
pub use files::{FileKind, FileStatus, Files, Origin};
pub use image::{ImageTime, image_config};
pub use layer_files::LayerFiles;
pub use one_file::OneFile;
pub use shown::StepIds;
pub use sight::{Place, Shown, shown_times};
pub use solver::{KeysOf, Solve, Solved, SolvedLayer};
pub use tar_files::TarFiles;
pub use watch::{BuildEvent, NoWatch, Step, StepId, Stream, Watch};
pub use wire::{SentKind, Transfer};
pub use world::{
    BoundFiles, BuildLayer, Fault, LayerOrigin, LayerTimes, MadeLayer, RunRequest, Timestamps,
    World,
};
