//! See `targets/diff.rs`.
#![no_main]

#[path = "../../crates/varve-fs/tests/fuzz/targets/mod.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::diff::run(data));
