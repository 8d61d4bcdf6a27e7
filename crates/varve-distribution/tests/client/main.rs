//! The registry client against servers that misbehave on command.

#![allow(clippy::default_trait_access, reason = "the arguments of a test client name themselves")]

mod auth;
mod blobs;
mod errors;
mod lists;
mod mirrors;
mod redirects;
mod server;
mod support;
mod tls;
mod uploads;
