//! Disks that are full, fail, or may not be written any more: the command says so by name, with docker's exit
//! code, the store is sound at once, and the same command succeeds when the disk is well again.

use rustix::io::Errno;
use varve_testkit::{
    namespace::alone,
    torture::{Plan, Tally},
};

use crate::{
    crash::{Recorded, record},
    judge::{Asked, Held, judge, texts, told},
    overseer::Answer,
    stage::{Place, Ran, Stage, mount, wait_for_end},
    verbs::{self, Verb},
};

/// Calls that are tried in the short form, with each error.
const SOME: usize = 2;
/// By then every verb has room.
const FREE_KIB_MAX: u64 = 64 << 10;

/// What a disk answers, and how that is said.
struct Trouble {
    errno: Errno,
    said: &'static str,
    /// Whether it goes on for all calls of its kind, once it began.
    lasts: bool,
    /// Whether calls that need no room fail too.
    any_call: bool,
}

const TROUBLES: [Trouble; 4] = [
    Trouble { errno: Errno::NOSPC, said: "no space left on device", lasts: true, any_call: false },
    Trouble { errno: Errno::DQUOT, said: "quota exceeded", lasts: true, any_call: false },
    Trouble { errno: Errno::IO, said: "input/output error", lasts: false, any_call: true },
    Trouble { errno: Errno::ROFS, said: "read-only file system", lasts: true, any_call: true },
];

/// Docker's exit code for a command that could not do its work.
fn code_of_failure(verb: &Verb) -> i32 {
    if verb.family.contains(": run") { 125 } else { 1 }
}

/// How the command ended: well, or as it should with this trouble.
fn ended(verb: &Verb, ran: &Ran, said: &str) -> Result<(), String> {
    let expected = code_of_failure(verb);
    let named = ran.stderr.to_lowercase().contains(said);
    if ran.code == Some(0) || ran.code == Some(expected) && named {
        return Ok(());
    }
    Err(told(&format!("expected exit code {expected} and \"{said}\""), ran))
}

fn after_trouble(
    stage: &Stage,
    verb: &Verb,
    recorded: &Recorded,
    (point, trouble): (usize, &Trouble),
) -> Result<(), String> {
    let place = stage.place_with(&recorded.before);
    (verb.ready)(stage);
    let line = (verb.line)(stage);
    let mut command = stage.command(&place, &texts(&line));
    let mut count = 0;
    let ran = stage.overseen(&mut command, |asked| {
        count += 1;
        let fits = (trouble.any_call && !asked.is_mount()) || asked.takes_room();
        let now = if trouble.lasts { count > point } else { count == point + 1 };
        if fits && now { Answer::Fail(trouble.errno.raw_os_error()) } else { Answer::Go }
    });
    ended(verb, &ran, trouble.said)?;
    let asked = Asked { named: &recorded.named, at_once: true, held: &Held::new() };
    judge(stage, verb, &place, &asked)
}

fn failing(name: &str, family: &'static str, verb: &Verb) {
    alone(name, || {
        let Some(stage) = Stage::new() else { return };
        let plan = Plan::of_the_environment();
        let Some(recorded) = record(&stage, verb) else { return };
        let points = recorded.frames.len();
        let mut tally = Tally::of(family, &plan);
        for trouble in &TROUBLES {
            for point in plan.choose(points, SOME) {
                let outcome = after_trouble(&stage, verb, &recorded, (point, trouble));
                let asked = &recorded.frames[point].call;
                let path = asked.path.display();
                let case =
                    format!("{} at {point} of {points}, {} {path}", trouble.said, asked.call);
                tally.count(&case, outcome);
            }
        }
        tally.finish();
    });
}

/// A store on a disk of its own size.
fn small_disk(stage: &Stage, recorded: &Recorded) -> Place {
    let place = stage.place();
    std::fs::create_dir(place.store()).expect("a directory");
    mount(&["-t", "tmpfs", "-o", "mode=700", "tmpfs"], &place.store());
    recorded.before.write_into(&place.store());
    place
}

/// Leaves so much room on a place's disk; `None`: as much as is wanted.
fn leave(place: &Place, free_kib: Option<u64>) {
    let store = place.store();
    let size = match free_kib {
        None => "size=1g".to_owned(),
        Some(free_kib) => {
            let now = rustix::fs::statvfs(&store).expect("a file system");
            let used_kib = (now.f_blocks - now.f_bfree) * now.f_frsize / 1024;
            format!("size={}k", used_kib + free_kib)
        }
    };
    mount(&["-o", &format!("remount,{size}")], &store);
}

/// Runs a verb with so much room. Returns whether it went well.
fn with_room(
    stage: &Stage,
    verb: &Verb,
    recorded: &Recorded,
    free_kib: u64,
) -> Result<bool, String> {
    let place = small_disk(stage, recorded);
    leave(&place, Some(free_kib));
    (verb.ready)(stage);
    let line = (verb.line)(stage);
    let ran = stage.run(&place, &texts(&line));
    wait_for_end();
    ended(verb, &ran, "no space left on device")?;
    let checked = stage.run(&place, &["system", "check"]);
    if checked.code != Some(0) {
        return Err(told("system check on the full disk", &checked));
    }
    leave(&place, None);
    let asked = Asked { named: &recorded.named, at_once: true, held: &Held::new() };
    judge(stage, verb, &place, &asked).map(|()| ran.code == Some(0))
}

fn rising(name: &str, family: &'static str, verb: &Verb) {
    alone(name, || {
        let Some(stage) = Stage::new() else { return };
        let plan = Plan::of_the_environment();
        let Some(recorded) = record(&stage, verb) else { return };
        let mut tally = Tally::of(family, &plan);
        let mut sizes = Vec::new();
        let mut free_kib = 0;
        // The least room in which the verb goes well is found on the way.
        loop {
            match with_room(&stage, verb, &recorded, free_kib) {
                Ok(true) => break,
                Ok(false) => sizes.push(free_kib),
                Err(wrong) => tally.count(&format!("{free_kib} KiB free"), Err(wrong)),
            }
            assert!(free_kib < FREE_KIB_MAX, "with {free_kib} KiB free it does not go well");
            // In the long form a page more each time, later an eighth.
            let more_kib = if plan.is_long() { free_kib / 8 } else { free_kib * 3 };
            free_kib = (free_kib + more_kib + 4) / 4 * 4;
        }
        sizes.push(free_kib);
        for size in &sizes {
            tally.count(&format!("{size} KiB free"), Ok(()));
        }
        tally.finish();
    });
}

/// Commands that make room work where there is none.
#[test]
fn what_makes_room_works_with_no_byte_free() {
    alone("disk::what_makes_room_works_with_no_byte_free", || {
        let Some(stage) = Stage::new() else { return };
        let plan = Plan::of_the_environment();
        let mut tally = Tally::of("disk: removals with no byte free", &plan);
        let lines: [&[&str]; 9] = [
            &["rmi", "other:1"],
            &["rmi", "--force", "kept:1", "kept:2", "other:1"],
            &["image", "prune", "--force"],
            &["image", "prune", "--all", "--force"],
            &["container", "prune", "--force"],
            &["rm", "old"],
            &["volume", "prune", "--all", "--force"],
            &["builder", "prune", "--all", "--force"],
            &["system", "prune", "--all", "--volumes", "--force"],
        ];
        let Some(recorded) = record(&stage, &verbs::PRUNE) else { return };
        for line in lines {
            let place = small_disk(&stage, &recorded);
            leave(&place, Some(0));
            let full = std::fs::write(place.store().join("varve/filler"), [0; 4096]);
            assert!(full.is_err(), "there is room");
            let _ = std::fs::remove_file(place.store().join("varve/filler"));
            let ran = stage.run(&place, line);
            let checked = stage.run(&place, &["system", "check"]);
            let outcome = match (ran.code, checked.code) {
                (Some(0), Some(0)) => Ok(()),
                (Some(0), _) => Err(told("system check", &checked)),
                _ => Err(told("the command", &ran)),
            };
            tally.count(&line.join(" "), outcome);
        }
        tally.finish();
    });
}

macro_rules! each_verb {
    ($($verb:ident $failing:ident $full:ident $name:literal;)*) => {$(
        #[test]
        fn $failing() {
            failing(concat!("disk::", stringify!($failing)), concat!("failing disk: ", $name), &verbs::$verb);
        }

        #[test]
        fn $full() {
            rising(concat!("disk::", stringify!($full)), concat!("full disk: ", $name), &verbs::$verb);
        }
    )*};
}

each_verb! {
    PULL a_pull_tells_of_a_failing_disk a_pull_tells_of_a_full_disk "pull";
    PUSH a_push_tells_of_a_failing_disk a_push_tells_of_a_full_disk "push";
    LOAD a_load_tells_of_a_failing_disk a_load_tells_of_a_full_disk "load";
    IMPORT an_import_tells_of_a_failing_disk an_import_tells_of_a_full_disk "import";
    TAG a_tag_tells_of_a_failing_disk a_tag_tells_of_a_full_disk "tag";
    RMI a_rmi_tells_of_a_failing_disk a_rmi_tells_of_a_full_disk "rmi";
    PRUNE a_prune_tells_of_a_failing_disk a_prune_tells_of_a_full_disk "prune";
    BUILD a_build_tells_of_a_failing_disk a_build_tells_of_a_full_disk "build";
    COMMIT a_commit_tells_of_a_failing_disk a_commit_tells_of_a_full_disk "commit";
    RUN a_run_tells_of_a_failing_disk a_run_tells_of_a_full_disk "run";
    RM a_rm_tells_of_a_failing_disk a_rm_tells_of_a_full_disk "rm";
}
