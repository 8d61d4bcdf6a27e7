//! Which system calls a container may make.
//!
//! ```text
//! Profile      docker's form: rules with conditions on capabilities, kernel, architecture
//!   │ resolve
//! LinuxSeccomp the runtime spec's form, which any OCI runtime takes
//!   │ compile
//! Program      what the kernel takes; the embedded runtime installs it
//! ```
//!
//! docker's default profile is in [`Profile::default_profile`], from its published list.

mod compile;
mod default;
mod profile;

pub use compile::{Architecture, CompileError, Program, compile};
pub use profile::{Facts, Profile, ProfileError};
