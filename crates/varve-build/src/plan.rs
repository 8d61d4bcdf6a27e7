//! The plan of a build: a graph of vertices, and the config of the image that comes out.
//!
//! ```text
//! Planner::new     stages, their bases and what they copy from; circles and unknown targets refused
//! Planner::needs   images whose configs must be known          ┐ again, until nothing is needed:
//! Planner::supply  the configs, in any order                   ┘ triggers of a base add steps
//! Planner::finish  variables expanded, instruction by instruction ─▶ Plan
//! ```
//!
//! Nothing is run, read or fetched here. A solver walks [`Plan::vertices`]: each depends on earlier
//! ones only ([`Vertex::inputs`]), so those whose inputs are done may run at the same time. A
//! vertex' key ([`key::step_key`]) comes from its definition, the keys of its inputs, and digests of
//! the files that it takes from a context, which the solver knows.

mod arguments;
mod build;
mod build_copy;
mod build_image;
mod build_run;
mod environment;
mod image_json;
pub mod key;
mod need;
mod options;
mod outline;
mod ports;
mod stage;
mod vertex;

pub use environment::Environment;
pub use image_json::image_json;
pub use need::{Need, NeedId, ResolvedImage};
pub use options::{BuildContext, ContextError, NoCache, Options, context_name};
pub use outline::{Outline, OutlineArgument, OutlineMount, Target, Targets, outline, targets};
pub use stage::Planner;
pub use vertex::{
    CopyAction, CopySource, CopyStep, Destination, DocumentStep, GitStep, HttpStep, ImageStep,
    LocalStep, MkdirStep, Mode, Op, RunMount, RunStep, Vertex, VertexId,
};

use varve_types::ImageConfig;

/// The name of the step that reads the Dockerfile.
pub fn load_definition_name(file: &str) -> String {
    format!("[internal] load build definition from {file}")
}

/// The name of the step that reads `.dockerignore`.
pub const LOAD_IGNORE_NAME: &str = "[internal] load .dockerignore";
/// The name of the step that reads the context.
pub const LOAD_CONTEXT_NAME: &str = "[internal] load build context";
/// What `comment` of history entries says.
pub const HISTORY_COMMENT: &str = "buildkit.dockerfile.v0";

/// What is to be done, in an order that works.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The steps; each depends on earlier ones only. Those of stages that are not used are not here.
    pub vertices: Vec<Vertex>,
    /// The file system that comes out; `None` when it is empty.
    pub root: Option<VertexId>,
    /// The image that comes out.
    pub image: PlannedImage,
}

/// The config of an image before its layers and times are known.
#[derive(Debug, Clone, Default)]
pub struct PlannedImage {
    /// The config. Entries of its history beyond [`base_history`](Self::base_history) are the
    /// build's: they have no time yet. Its diff IDs are the base image's.
    pub config: ImageConfig,
    /// How many entries of the history are the base image's.
    pub base_history: usize,
    /// The steps that make the layers beyond the base image's, lowest first: one for each entry of
    /// the build that is no empty layer.
    pub layers: Vec<VertexId>,
}
