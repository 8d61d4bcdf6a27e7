//! `COPY`, `ADD` and `WORKDIR` as layers: instructions in, the entries of a tar out.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

mod case;
mod contexts;
mod rules;

pub(crate) use case::{Case, EPOCH};
