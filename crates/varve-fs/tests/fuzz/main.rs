//! The fuzz targets over the inputs that fuzzing found, without a fuzzer. `docs/fuzzing.md` tells
//! how more are found.

mod targets;

use std::{fs, path::Path};

/// Runs a target over each of its inputs; says which one it was that failed.
fn replay(target: &str, run: fn(&[u8]), inputs_min: usize) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs: Vec<_> =
        fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= inputs_min, "{} inputs", inputs.len());
    for input in inputs {
        let bytes = fs::read(&input).unwrap();
        let outcome = std::panic::catch_unwind(|| run(&bytes));
        assert!(outcome.is_ok(), "the target {target} failed with {}", input.display());
    }
}

#[test]
fn every_kept_tar_is_read_the_same_in_all_ways_or_refused() {
    replay("tar", targets::tar::run, 100);
}

#[test]
fn every_kept_index_is_read_or_refused() {
    replay("index", targets::index::run, 100);
}

#[test]
fn every_kept_stack_of_trees_merges_and_differs_as_a_plain_model_says() {
    replay("diff", targets::diff::run, 50);
}
