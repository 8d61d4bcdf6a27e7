//! The built `varve` against real peers: other tools, other registries, a real root file system,
//! and the accidents of real machines (kills, crowds, full disks).
//!
//! ```text
//! home    one user with a home directory, stores and the built program
//! peer    other programs, run and judged
//! server  registries that are processes of their own
//! seed    random numbers that can be had again
//! disk    a file system of its own size
//! ```
//!
//! What a machine lacks is said aloud and skipped by [`varve_testkit::guard`].

mod disk;
mod docker_registry;
mod home;
mod in_place;
mod index;
mod kill;
mod many;
mod once;
mod peer;
mod refused;
mod roundtrip;
mod serve;
mod server;
