//! The first process of containers with `--init`, as the bytes of a program that needs nothing:
//! no library, no loader, no file of the host's.
//!
//! ```text
//! program/   its source, compiled by build.rs: starts the command, passes signals on, reaps
//! ```
//!
//! The container's own file system need not have anything for it, and no program of the host is
//! shown in there.

/// The program, an ELF file; empty for architectures that it was not written for.
pub static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docker-init"));
