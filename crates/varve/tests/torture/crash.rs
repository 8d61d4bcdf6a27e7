//! Every verb stopped at each call that changes the disk: killed there, or without power.
//!
//! A verb runs once while the store is looked at before each of its calls. From that, the store is made that a
//! loss of power would leave at that call: nothing of what was not synced, only its names, or any part of it. And
//! the verb is run again for each call, and killed there. Whatever is left, `system check` must find nothing
//! wrong, or find nothing after the next command; the same command must succeed; then nothing but what it
//! should leave is there.

use std::{fs, path::Path};

use varve_testkit::{
    namespace::alone,
    torture::{Plan, Tally},
};

use crate::{
    frames::{Frame, Loss, Recorder, Tree, Watcher},
    judge::{Asked, Held, judge, named, texts},
    overseer::Answer,
    stage::Stage,
    verbs::{self, Verb},
};

/// Calls that are tried in the short form, of each kind of stop.
const SOME: usize = 4;

/// What a verb does when nobody stops it.
pub(crate) struct Recorded {
    /// What is there before.
    pub(crate) before: Tree,
    pub(crate) frames: Vec<Frame>,
    /// What is named at the end.
    pub(crate) named: String,
}

pub(crate) fn record(stage: &Stage, verb: &Verb) -> Option<Recorded> {
    let base = stage.place();
    if !(verb.prepare)(stage, &base) {
        return None;
    }
    let before = Watcher::of(&base.store()).look();
    drop(base);
    let place = stage.place_with(&before);
    (verb.ready)(stage);
    if verb.family == verbs::PULL.family {
        verbs::slow_down(stage);
    }
    let line = (verb.line)(stage);
    let mut recorder = Recorder::of(&place.store());
    let mut command = stage.command(&place, &texts(&line));
    let ran = stage.overseen(&mut command, |asked| {
        recorder.before(asked);
        Answer::Go
    });
    assert_eq!(ran.code, Some(0), "{line:?}: {}{}", ran.stdout, ran.stderr);
    let named = named(stage, &place);
    Some(Recorded { before, frames: recorder.frames, named })
}

/// Bytes that are there; all that the kernel has, if no power was lost.
fn held(store: &Path) -> Held {
    let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut held = Held::new();
    for entry in fs::read_dir(store.join("varve/ingest")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        held.insert(name, length(&entry.path().join("data")));
    }
    for entry in fs::read_dir(store.join("blobs/sha256")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        held.insert(name, length(&entry.path()));
    }
    held
}

/// The same of what a power loss left: what was synced.
fn held_after(frame: &Frame, left: &Tree) -> Held {
    let mut held = Held::new();
    for name in left.list(Path::new("varve/ingest")) {
        let path = Path::new("varve/ingest").join(&name).join("data");
        held.insert(name.to_string_lossy().into_owned(), frame.synced_size(left, &path));
    }
    for name in left.list(Path::new("blobs/sha256")) {
        let path = Path::new("blobs/sha256").join(&name);
        held.insert(name.to_string_lossy().into_owned(), frame.synced_size(left, &path));
    }
    held
}

fn after_power_loss(
    stage: &Stage,
    verb: &Verb,
    recorded: &Recorded,
    (point, loss): (usize, Loss),
) -> Result<(), String> {
    let frame = &recorded.frames[point];
    let left = frame.after(loss);
    stage.restart();
    let place = stage.place_with(&left);
    let held = held_after(frame, &left);
    let asked = Asked { named: &recorded.named, at_once: false, held: &held };
    judge(stage, verb, &place, &asked)
}

fn after_kill(stage: &Stage, verb: &Verb, recorded: &Recorded, point: usize) -> Result<(), String> {
    let place = stage.place_with(&recorded.before);
    (verb.ready)(stage);
    let line = (verb.line)(stage);
    let mut command = stage.command(&place, &texts(&line));
    let mut count = 0;
    stage.overseen(&mut command, |_| {
        count += 1;
        if count == point + 1 { Answer::Die } else { Answer::Go }
    });
    let held = held(&place.store());
    let asked = Asked { named: &recorded.named, at_once: false, held: &held };
    judge(stage, verb, &place, &asked)
}

fn matrix(name: &str, verb: &Verb) {
    alone(name, || {
        let Some(stage) = Stage::new() else { return };
        let plan = Plan::of_the_environment();
        let Some(recorded) = record(&stage, verb) else { return };
        let points = recorded.frames.len();
        assert!(points > 5, "only {points} calls are asked about");
        let mut tally = Tally::of(verb.family, &plan);
        let case = |what: &str, point: usize| {
            let asked = &recorded.frames[point].call;
            format!("{what} at {point} of {points}, {} {}", asked.call, asked.path.display())
        };
        for point in plan.choose(points, SOME) {
            tally.count(&case("killed", point), after_kill(&stage, verb, &recorded, point));
        }
        for loss in [Loss::All, Loss::Bytes] {
            for point in plan.choose(points, SOME) {
                let outcome = after_power_loss(&stage, verb, &recorded, (point, loss));
                tally.count(&case(&format!("power loss ({loss:?})"), point), outcome);
            }
        }
        let mut random = plan.random();
        let mut tried = 0;
        while plan.has_time() || tried < SOME {
            let (point, loss) = (random.below(points), Loss::Any(random.word()));
            let outcome = after_power_loss(&stage, verb, &recorded, (point, loss));
            tally.count(&case(&format!("power loss ({loss:?})"), point), outcome);
            tried += 1;
        }
        tally.finish();
    });
}

#[test]
fn a_pull_may_be_stopped_at_any_call() {
    matrix("crash::a_pull_may_be_stopped_at_any_call", &verbs::PULL);
}

#[test]
fn a_push_may_be_stopped_at_any_call() {
    matrix("crash::a_push_may_be_stopped_at_any_call", &verbs::PUSH);
}

#[test]
fn a_load_may_be_stopped_at_any_call() {
    matrix("crash::a_load_may_be_stopped_at_any_call", &verbs::LOAD);
}

#[test]
fn an_import_may_be_stopped_at_any_call() {
    matrix("crash::an_import_may_be_stopped_at_any_call", &verbs::IMPORT);
}

#[test]
fn a_tag_may_be_stopped_at_any_call() {
    matrix("crash::a_tag_may_be_stopped_at_any_call", &verbs::TAG);
}

#[test]
fn a_rmi_may_be_stopped_at_any_call() {
    matrix("crash::a_rmi_may_be_stopped_at_any_call", &verbs::RMI);
}

#[test]
fn a_prune_may_be_stopped_at_any_call() {
    matrix("crash::a_prune_may_be_stopped_at_any_call", &verbs::PRUNE);
}

#[test]
fn a_build_may_be_stopped_at_any_call() {
    matrix("crash::a_build_may_be_stopped_at_any_call", &verbs::BUILD);
}

#[test]
fn a_build_that_runs_a_program_may_be_stopped_at_any_call() {
    matrix("crash::a_build_that_runs_a_program_may_be_stopped_at_any_call", &verbs::BUILD_RUN);
}

#[test]
fn a_commit_may_be_stopped_at_any_call() {
    matrix("crash::a_commit_may_be_stopped_at_any_call", &verbs::COMMIT);
}

#[test]
fn a_run_may_be_stopped_at_any_call() {
    matrix("crash::a_run_may_be_stopped_at_any_call", &verbs::RUN);
}

#[test]
fn a_run_that_removes_its_container_may_be_stopped_at_any_call() {
    let name = "crash::a_run_that_removes_its_container_may_be_stopped_at_any_call";
    matrix(name, &verbs::RUN_RM);
}

#[test]
fn a_rm_may_be_stopped_at_any_call() {
    matrix("crash::a_rm_may_be_stopped_at_any_call", &verbs::RM);
}
