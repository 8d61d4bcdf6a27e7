//! Poisoned registries: one table of everything that a registry can answer to harm whoever asks it.
//!
//! Each case is a pull, a push or a list of tags that must end as the table says: with a named error
//! in bounded time and memory, with nothing in the store that was not there, and without a word of
//! who we are to any other host. The registry then behaves, and the same command succeeds.
//! Alone in its program, because it looks at the peak of the whole process.

mod cases;
mod certificates;
mod stage;

use varve_testkit::torture::{Plan, Tally};

/// Fewer would mean that a part of the table was lost.
const CASES_MIN: usize = 150;

/// Cases in the short form.
const SOME: usize = 50;

#[test]
fn no_answer_of_a_registry_does_any_harm() {
    let plan = Plan::of_the_environment();
    let mut tally = Tally::of("poisoned registry", &plan);
    let cases = cases::all();
    assert!(cases.len() >= CASES_MIN, "{} cases", cases.len());
    loop {
        for number in plan.choose(cases.len(), SOME) {
            let case = &cases[number];
            tally.count(&case.name, stage::tried(case));
        }
        for shown in certificates::all() {
            tally.count(shown.name, certificates::tried(&shown));
        }
        if !plan.has_time() {
            break;
        }
    }
    tally.finish();
}
