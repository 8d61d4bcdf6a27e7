//! Verbs stopped at each call that changes the disk, disks that are full or fail, containers whose processes
//! are killed at any moment, and crowds of containers: whatever happens,
//! the next commands put everything in order and nothing is left over.
//!
//! `cargo xtask torture` runs the long form (docs/testing.md). Every test runs in mount and process namespaces of its own, so that all processes and mounts
//! that are there are its own.

mod crash;
mod crowd;
mod disk;
mod frames;
mod judge;
mod kills;
mod overseer;
mod served;
mod stage;
mod verbs;
mod world;
