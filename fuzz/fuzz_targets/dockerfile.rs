//! See `targets/dockerfile.rs`.
#![no_main]

#[path = "../../crates/varve-build/tests/fuzz/targets/mod.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::dockerfile::run(data));
