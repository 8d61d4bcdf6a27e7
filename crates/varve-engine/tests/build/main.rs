//! Programs of builds: what they see, what they leave, and that nothing else stays of them.

mod plain;
mod world;
