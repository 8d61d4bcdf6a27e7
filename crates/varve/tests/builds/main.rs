//! Builds as their users have them: the built program, real projects, hostile moments.
//!
//! ```text
//! world     a store with an image of busybox, a project, what is left over
//! tools     an image with compilers, made of packages of this machine
//! projects  C and Rust, from source to an image that runs
//! changes   a source is changed, brought back, touched: the program is always that of the source
//! same      the same digest, whatever differs that must not count
//! broken    builds that end too early, and builds side by side
//! flags     secrets, agents, limits, hosts, contexts, outputs
//! ```

mod broken;
mod changes;
mod flags;
mod projects;
mod same;
mod tools;
mod world;
