//! What is done with an input of each fuzz target; to panic is to fail.

pub(crate) mod diff;
pub(crate) mod facts;
pub(crate) mod index;
pub(crate) mod tar;
