//! Reports: pure functions from what the engine knows to what Docker would print.

pub(crate) mod build_cache;
pub(crate) mod cache_table;
pub(crate) mod changes;
pub(crate) mod container;
pub(crate) mod containers;
pub(crate) mod df;
pub(crate) mod differences;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod mounts;
pub(crate) mod networks;
pub(crate) mod objects;
pub(crate) mod ports;
pub(crate) mod pruned;
pub(crate) mod removal;
pub(crate) mod search;
pub(crate) mod stats;
#[cfg(test)]
mod tests;
pub(crate) mod top;
pub(crate) mod tree;
pub(crate) mod version;
pub(crate) mod volumes;
