//! The fuzz target over the inputs that are kept, without a fuzzer. `docs/fuzzing.md` tells how more
//! are found.

mod targets;

use std::{fs, path::Path};

#[test]
fn every_kept_dockerfile_is_planned_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/dockerfile");
    let mut inputs: Vec<_> =
        fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() >= 20, "{} inputs", inputs.len());
    for input in inputs {
        let bytes = fs::read(&input).unwrap();
        let outcome = std::panic::catch_unwind(|| targets::dockerfile::run(&bytes));
        assert!(outcome.is_ok(), "the target dockerfile failed with {}", input.display());
    }
}
