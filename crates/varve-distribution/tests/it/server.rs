//! The registry, asked without a socket.

mod conformance;
mod session;
mod storage;
mod uploads;
