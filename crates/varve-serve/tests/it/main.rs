//! The registry over HTTP, from outside.

mod access;
mod client;
mod crash;
mod crowd;
mod hostile;
mod http;
mod oracle;
mod skopeo;
