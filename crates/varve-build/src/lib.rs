//! Builds: a Dockerfile into a plan, and the plan into layers.
//!
//! ```text
//! lex, parse   bytes ─▶ instructions with source positions
//! plan         stages pruned, arguments expanded ─▶ a graph          pure
//! solve        the graph, step by step, from the cache or anew ─▶ layers
//! ```
