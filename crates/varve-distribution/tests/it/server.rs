//! The registry, asked without a socket.

mod conformance_blobs;
mod conformance_lists;
mod conformance_manifests;
mod session;
mod storage;
mod uploads;
