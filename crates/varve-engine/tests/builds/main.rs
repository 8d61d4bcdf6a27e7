//! Builds: Dockerfiles and contexts made into images of a store.

mod bench;
mod cache;
mod images;
mod outputs;
mod programs;
mod registries;
