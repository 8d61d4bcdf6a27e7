//! What a solve asks of the world, and what it finds in the cache.

mod world;

use world::Bench;

const TWO_STAGES: &str = "FROM base AS tools\nCOPY a /a\nRUN make\nFROM small\nRUN setup\n\
                          COPY --from=tools /out /program\nCOPY b /b\n";

#[test]
fn when_all_is_cached_only_the_names_of_the_context_are_asked_for() {
    let bench = Bench::new();
    let first = bench.solve(TWO_STAGES);
    let all = ["bytes of a", "bytes of b", "image base", "image small", "names"];
    assert_eq!(first.asked, [&all[..], &["run make", "run setup"]].concat());
    let second = bench.solve(TWO_STAGES);
    assert_eq!(second.asked, ["names"]);
    assert_eq!(second.layers(), first.layers());
}

#[test]
fn a_build_that_takes_nothing_from_a_context_asks_for_nothing_at_all_again() {
    let bench = Bench::new();
    let text = "FROM base\nWORKDIR /w\nRUN x\nFROM small\nCOPY --from=0 /out /\n";
    bench.solve(text).result.unwrap();
    let again = bench.solve(text);
    assert_eq!(again.asked, [""; 0]);
    assert_eq!(again.made(), [""; 0]);
}

#[test]
fn a_changed_file_makes_its_copy_anew_and_what_lies_above_it() {
    let mut bench = Bench::new();
    let text = "FROM base\nCOPY a /a\nRUN one\nCOPY b /b\nRUN two\n";
    bench.solve(text).result.unwrap();
    bench.context.insert("b", "3".to_owned());
    let done = bench.solve(text);
    assert_eq!(done.asked, ["bytes of b", "image base", "names", "run two"]);
    assert!(done.cached.contains("[2/5] COPY a /a") && done.cached.contains("[3/5] RUN one"));
}

#[test]
fn a_stage_that_was_made_anew_with_the_same_result_leaves_the_copy_from_it_cached() {
    let mut bench = Bench::new();
    bench.leaves.insert("make", "the same");
    let first = bench.solve(TWO_STAGES);
    bench.context.insert("a", "comment".to_owned());
    let done = bench.solve(TWO_STAGES);
    assert_eq!(done.asked, ["bytes of a", "image base", "names", "run make"]);
    assert_eq!(done.layers(), first.layers());
}

#[test]
fn a_copy_that_knows_no_base_fetches_none() {
    let bench = Bench::new();
    let linked = bench.solve("FROM base\nCOPY --link a /x/a\n");
    assert_eq!(linked.asked, ["bytes of a", "names"]);
    let onto = bench.solve("FROM base\nCOPY a /x/a\n");
    assert_eq!(onto.asked, ["bytes of a", "image base", "names"]);
}

#[test]
fn steps_that_are_not_looked_for_are_done_again_with_those_above_but_not_copies_from_them() {
    let mut bench = Bench::new();
    let text = "FROM base AS tools\nRUN make\nRUN test\nFROM small\nCOPY --from=tools /out /\n";
    bench.solve(text).result.unwrap();
    bench.anew = Some("RUN make");
    let done = bench.solve(text);
    assert_eq!(done.asked, ["image base", "run make", "run test"]);
    assert_eq!(done.cached.iter().filter(|name| name.contains("COPY")).count(), 1);
}

#[test]
fn the_time_of_the_build_is_part_of_every_step_that_makes_a_layer() {
    let mut bench = Bench::new();
    let text = "FROM base\nWORKDIR /w\nCOPY a /a\nRUN x\n";
    bench.solve(text).result.unwrap();
    bench.epoch += 1;
    assert_eq!(bench.solve(text).asked, ["bytes of a", "image base", "names", "run x"]);
    bench.epoch -= 1;
    assert_eq!(bench.solve(text).asked, ["names"]);
}

#[test]
fn a_bind_mount_counts_the_files_that_it_shows_and_no_others() {
    let mut bench = Bench::new();
    let text = "FROM base\nRUN --mount=type=bind,source=a,target=/in/a x\n";
    bench.solve(text).result.unwrap();
    bench.context.insert("b", "changed".to_owned());
    assert_eq!(bench.solve(text).asked, ["names"]);
    bench.context.insert("a", "changed".to_owned());
    assert!(bench.solve(text).asked.contains(&"run x".to_owned()));
}

#[test]
fn what_was_finished_before_a_failure_is_found_by_the_next_build() {
    let mut bench = Bench::new();
    let text = "FROM base\nRUN one\nRUN two\nRUN three\n";
    bench.fails = Some("two");
    let failed = bench.solve(text);
    assert!(failed.result.unwrap_err().contains("it failed"));
    assert_eq!(failed.asked, ["image base", "run one", "run two"]);
    bench.fails = None;
    assert_eq!(bench.solve(text).asked, ["image base", "run three", "run two"]);
}
