//! What is done with an input of each fuzz target; to panic is to fail.

#[path = "../../../src/client/challenge.rs"]
#[allow(dead_code)]
mod challenge;
pub(crate) mod nouns;
pub(crate) mod requests;
