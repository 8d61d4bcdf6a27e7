//! Tests of moving images, from outside.

#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

mod server;
