//! Containers: from a root file system and options to processes, and what is left of them.
//!
//! ```text
//! spec      image config + options + machine ─▶ OCI runtime spec        pure
//! oci       who executes it: the embedded runtime, or runc, crun …      one trait
//! monitor   the process that watches a container                        stdio, exit code, restarts
//! attach    talking to it                                               one socket
//! state     what is known of a container, and how far to trust it       state.json
//! logs      what the container wrote                                    json-file
//! network   bridge, addresses, published ports, names
//! userns    the user namespace of a user without privileges
//! ```
//!
//! This crate knows no images and no store: it is given directories.

pub mod apparmor;
pub mod attach;
pub mod cgroup;
pub mod endings;
pub mod files;
pub mod logs;
pub mod monitor;
pub mod network;
pub mod oci;
pub mod probe;
pub mod role;
pub mod seccomp;
pub mod selinux;
pub mod spec;
pub mod state;
mod sys;
pub mod userns;
pub mod users;
