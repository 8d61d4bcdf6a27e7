//! `COPY`, `ADD` and `WORKDIR` as layers: instructions in, the entries of a tar out.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

mod archives;
mod case;
mod contexts;
mod kinds;
mod oracles;
mod rules;

pub(crate) use case::{Case, EPOCH, Tree};
