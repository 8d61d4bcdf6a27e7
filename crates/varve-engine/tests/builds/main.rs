//! Builds: Dockerfiles and contexts made into images of a store.

mod bench;
mod cache;
mod caches;
mod contexts;
mod daemon;
mod fetched;
mod git;
mod images;
mod outputs;
mod programs;
mod registries;
mod web;
