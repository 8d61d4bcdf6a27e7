//! Sockets: the registry over HTTP. The only asynchronous code there is.
//!
//! The handler behind it ([`varve_distribution::server`]) is blocking and knows no socket. Each
//! request runs on a thread of tokio's blocking pool; bodies go through in pieces, so memory is
//! bounded by the number of connections, whatever their size and the client's speed.
//!
//! # Invariants
//!
//! 1. Whoever does not send or take anything for a while is disconnected.
//! 2. A body that was cut short ends with an error in front of the handler, never with an end.
//! 3. Foreign text reaches the log only through [`varve_types::Printable`].

mod body;
mod connection;
mod crowd;
mod error;
mod log;
pub mod registry;
mod server;
mod tls;

pub use error::Error;
pub use server::{Options, Running, Server};
