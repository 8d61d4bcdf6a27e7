//! See `targets/requests.rs`.
#![no_main]

#[path = "../../crates/varve-distribution/tests/fuzz/targets/mod.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::requests::run(data));
