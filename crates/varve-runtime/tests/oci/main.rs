//! What every runtime must do: the embedded one, and runc and crun where they are installed.

mod cgroup;
mod contract;
mod errors;
mod escapes;
mod life;
mod traps;
mod world;
