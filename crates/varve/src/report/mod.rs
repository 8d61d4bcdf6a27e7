//! Reports: pure functions from what the engine knows to what Docker would print.

pub(crate) mod df;
pub(crate) mod differences;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod removal;
pub(crate) mod search;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
pub(crate) mod version;
