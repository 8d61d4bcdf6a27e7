//! The registry client against servers that misbehave on command.

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
