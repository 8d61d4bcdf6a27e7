//! Builds that end before their programs do.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use varve_build::solve::{
    BuildEvent, BuildLayer, LayerOrigin, LayerTimes, RunRequest, StepId, Timestamps, Watch,
};
use varve_engine::build::run::{Programs, Settings};
use varve_fs::tar::Time;
use varve_runtime::spec::BuildLimits;

use crate::world::{World, engine, shell};

/// Whether a process with this word in its command line runs.
fn runs(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes.into_iter().any(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let is_number = process.file_name().to_str().is_some_and(|it| it.parse::<u32>().is_ok());
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        is_number && words.contains(&word.as_bytes()) && words.contains(&&b"sleep"[..])
    })
}

#[test]
fn an_interrupted_build_ends_its_programs() {
    let Some(world) = World::new() else { return };
    thread::scope(|scope| {
        let outcome =
            scope.spawn(|| world.run(&shell("echo begun; setsid sleep 4321.125 & sleep 4321.125")));
        while !runs("4321.125") {
            thread::yield_now();
        }
        world.interrupted.store(true, Ordering::Release);
        assert_eq!(outcome.join().unwrap().failed(), "context canceled");
    });
    assert!(!runs("4321.125"));
    world.check();
    // And begins none.
    assert_eq!(world.run(&shell("true")).failed(), "context canceled");
    world.check();
}

const DIRECTORY: &str = "VARVE_TEST_BUILD_DIRECTORY";
const LAYER: &str = "VARVE_TEST_BUILD_LAYER";

struct Tells;

impl Watch for Tells {
    fn event(&self, event: &BuildEvent<'_>) {
        if let BuildEvent::Log { bytes, .. } = event {
            use std::io::Write as _;
            std::io::stdout().write_all(bytes).unwrap();
        }
    }
}

/// Not a test: a build that the next one kills.
#[test]
#[ignore = "the process that another test starts"]
fn builds_until_it_is_killed() {
    let directory = env::var(DIRECTORY).unwrap();
    let engine = engine(Path::new(&directory));
    let lease = engine.store().lease().unwrap();
    let layer = BuildLayer {
        diff_id: env::var(LAYER).unwrap().parse().unwrap(),
        times: None,
        origin: LayerOrigin::Program,
    };
    let interrupted = AtomicBool::new(false);
    let settings = Settings {
        interrupted: &interrupted,
        secrets: &[],
        ssh: &[],
        allow_insecure: false,
        allow_host_network: false,
        limits: BuildLimits::default(),
        cgroup_parent: "",
        log_bytes_max: None,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let request = RunRequest {
        step: &shell("touch /x; echo begun; setsid sleep 4321.5 & sleep 4321.5"),
        root: &[layer],
        bound: &[],
        times: LayerTimes { how: Timestamps::Epoch, epoch: Time::default() },
        lease: &lease,
        id: StepId(1),
        canceled: &AtomicBool::new(false),
    };
    Programs::new(&engine, &Tells, settings).run(&request).unwrap();
}

#[test]
fn of_a_killed_build_nothing_runs_on_and_the_next_one_takes_the_rest_away() {
    let Some(world) = World::new() else { return };
    let mut build = Command::new(env::current_exe().unwrap())
        .args(["ends::builds_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, world.directory.path())
        .env(LAYER, world.base.diff_id.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(build.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("begun")));
    let cgroups = || -> Vec<String> {
        let steps = fs::read_dir(world.directory.path().join("store/varve/steps")).unwrap();
        let id = steps.flatten().next().map(|it| it.file_name().into_string().unwrap());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let places = mounts.lines().filter(|line| line.contains(" - cgroup"));
        let places = places.filter_map(|line| line.split(' ').nth(4).map(str::to_owned));
        let id = id.unwrap_or_default();
        places
            .map(|place| format!("{place}/varve/{id}"))
            .filter(|it| fs::exists(it).unwrap())
            .collect()
    };
    let groups = cgroups();
    build.kill().unwrap();
    build.wait().unwrap();
    // The kernel ends them at once, but not in the same moment.
    while runs("4321.5") {
        thread::yield_now();
    }
    world.engine.tidy_steps().unwrap();
    world.check();
    for group in groups {
        assert!(!fs::exists(&group).unwrap(), "{group}");
    }
    world.run(&shell("true")).made();
    world.check();
}
