//! Programs of builds: what they see, what they leave, and that nothing else stays of them.

mod ends;
mod mounts;
mod network;
mod plain;
mod times;
mod world;
