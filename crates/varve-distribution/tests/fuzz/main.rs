//! The fuzz targets over inputs that are written down here and over what becomes of them by chance,
//! without a fuzzer. `docs/fuzzing.md` tells how more are found.

mod targets;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use varve_testkit::{
    Seeded,
    torture::{Plan, Tally},
};

/// How long each target gets in the short form.
const TIME: Duration = Duration::from_secs(2);

/// One input, with a few bytes changed, cut, doubled or taken from another.
fn changed(inputs: &[Vec<u8>], random: &mut Seeded) -> Vec<u8> {
    let mut input = inputs[random.below(inputs.len())].clone();
    for _ in 0..=random.below(4) {
        if input.is_empty() {
            return input;
        }
        let at = random.below(input.len());
        match random.below(5) {
            0 => input[at] ^= 1 << random.below(8),
            1 => input[at] = random.word() as u8,
            2 => input.truncate(at),
            3 => {
                let end = (at + 1 + random.below(20)).min(input.len());
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            _ => {
                let other = &inputs[random.below(inputs.len())];
                input.splice(at.., other[random.below(other.len().max(1))..].iter().copied());
            }
        }
    }
    input
}

fn try_target(family: &'static str, corpus: &str, run: fn(&[u8]), seeds: &[&[u8]]) {
    let plan = Plan::of_the_environment();
    let (mut random, mut tally) = (plan.random(), Tally::of(family, &plan));
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let kept = fs::read_dir(kept).into_iter().flatten();
    let kept = kept.map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let inputs: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).chain(kept).collect();
    let mut tried = |input: &[u8]| {
        let outcome = std::panic::catch_unwind(|| run(input));
        let shown = || format!("failed with {:?}", String::from_utf8_lossy(input));
        tally.count(corpus, outcome.map_err(|_| shown()));
    };
    for input in &inputs {
        tried(input);
    }
    let end = Instant::now() + TIME;
    while Instant::now() < end || plan.has_time() {
        tried(&changed(&inputs, &mut random));
    }
    tally.finish();
}

#[test]
fn any_text_is_a_noun_that_reads_back_or_none() {
    try_target(
        "fuzz: names, manifests, challenges",
        "nouns",
        targets::nouns::run,
        targets::nouns::SEEDS,
    );
}

#[test]
fn any_request_is_answered_and_stays_in_the_registry() {
    try_target(
        "fuzz: requests to the registry",
        "requests",
        targets::requests::run,
        targets::requests::SEEDS,
    );
}
