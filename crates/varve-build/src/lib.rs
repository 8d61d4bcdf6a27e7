//! Builds: a Dockerfile into a plan, and the plan into layers.
//!
//! ```text
//! parse    bytes ─▶ nodes with lines (parse) ─▶ typed instructions (instruction) ─▶ stages (dockerfile)
//! plan     stages pruned, words expanded ─▶ a graph of vertices, an image config       pure
//! solve    the graph, step by step, from the cache or anew ─▶ layers
//! ```
//!
//! Everything here up to the plan is pure: bytes and options in, data out. The texts of errors,
//! warnings, step names and history entries are those of docker's own builder.

pub mod dockerfile;
pub mod error;
pub mod expand;
pub mod file_name;
pub mod git;
pub mod glob;
pub mod go_text;
pub mod heredoc;
pub mod ignore;
pub mod instruction;
pub mod lint;
pub mod parse;
mod pattern;
pub mod plan;
pub mod select;
pub mod solve;
pub mod source;
mod suggest;

pub use dockerfile::Dockerfile;
pub use error::{DockerfileError, Problem};
pub use ignore::Ignore;
pub use lint::{Lint, Warning};
pub use plan::{Options, Plan, Planner};
pub use source::{Lines, Source};
