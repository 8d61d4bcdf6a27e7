//! Containers whose processes are killed at any moment, and crowds of containers: whatever happens,
//! the next commands put everything in order and nothing is left over.
//!
//! Every test runs in mount and process namespaces of its own, so that all processes and mounts
//! that are there are its own. `VARVE_TORTURE_ROUNDS` asks for more rounds than CI has time for.

mod crowd;
mod kills;
mod world;
