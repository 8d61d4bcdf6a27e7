//! Tests that are as long as one likes: a short form with the other tests, the long one by
//! `cargo xtask torture`.
//!
//! A [`Plan`] says from which seed and how long; a [`Tally`] counts the cases of a *family* and tells
//! `cargo xtask torture` of them, which keeps the table in `docs/testing.md`.

use std::{
    env, fs,
    io::Write as _,
    time::{Duration, Instant},
};

use crate::seed::Seeded;

/// Where the seed is; printed with each failure.
const SEED: &str = "VARVE_TORTURE_SEED";
/// The seed of the short form, so that the same cases are tried each time.
const SHORT_SEED: u64 = 42;
/// How long the long form may take for the test, in seconds. Absent: the short form.
const SECONDS: &str = "VARVE_TORTURE_SECONDS";
/// The file that a family's line is added to: name, tried, held, seed, separated by tabs.
const RESULTS: &str = "VARVE_TORTURE_RESULTS";
/// More failures than these are counted only.
const SHOWN_MAX: usize = 12;

/// From which seed, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    seed: u64,
    until: Option<Instant>,
}

impl Plan {
    /// As the environment says; without it the short form.
    pub fn of_the_environment() -> Self {
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let until = number(SECONDS).map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let seed = number(SEED).unwrap_or(SHORT_SEED);
        println!("{SEED}={seed}");
        Self { seed, until }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Random numbers from the seed.
    pub fn random(&self) -> Seeded {
        Seeded::from(self.seed)
    }

    /// Whether this is the long form.
    pub fn is_long(&self) -> bool {
        self.until.is_some()
    }

    /// Whether there is time for more. In the short form there is none.
    pub fn has_time(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }

    /// All of so many cases in the long form; in the short form at most `some` of them, by the seed,
    /// in their order.
    pub fn choose(&self, all: usize, some: usize) -> Vec<usize> {
        let mut chosen: Vec<usize> = (0..all).collect();
        if !self.is_long() {
            let mut random = self.random();
            while chosen.len() > some {
                chosen.remove(random.below(chosen.len()));
            }
        }
        chosen
    }
}

/// What came of a family's cases.
#[derive(Debug)]
pub struct Tally {
    family: &'static str,
    seed: u64,
    tried: usize,
    failed: Vec<String>,
}

impl Tally {
    /// Nothing was tried yet. `family` is a row of the table.
    pub fn of(family: &'static str, plan: &Plan) -> Self {
        Self { family, seed: plan.seed, tried: 0, failed: Vec::new() }
    }

    /// Counts a case: it held, or this was wrong.
    pub fn count(&mut self, case: &str, outcome: Result<(), String>) {
        self.tried += 1;
        if let Err(wrong) = outcome {
            let told = format!("{case}: {wrong}");
            println!("{}: {told}", self.family);
            self.failed.push(told);
        }
    }

    /// How many cases were tried.
    pub fn tried(&self) -> usize {
        self.tried
    }

    /// Tells of them; fails the test when one did not hold.
    #[track_caller]
    pub fn finish(self) {
        let Self { family, seed, tried, failed } = self;
        let held = tried - failed.len();
        println!("{family}: {held} of {tried} held, {SEED}={seed}");
        if let Some(path) = env::var_os(RESULTS) {
            let line = format!("{family}\t{tried}\t{held}\t{seed}\n");
            let opened = fs::OpenOptions::new().append(true).create(true).open(path);
            opened.and_then(|mut file| file.write_all(line.as_bytes())).expect("a file of results");
        }
        let shown: Vec<String> = failed.iter().take(SHOWN_MAX).cloned().collect();
        let count = failed.len();
        assert!(
            failed.is_empty(),
            "{family}, {SEED}={seed}: {count} of {tried} failed: {shown:#?}"
        );
    }
}
