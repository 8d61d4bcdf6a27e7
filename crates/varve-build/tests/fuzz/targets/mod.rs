//! What is done with an input of each fuzz target; to panic is to fail.

pub(crate) mod dockerfile;
