//! Many short containers of one image, one after the other and at once: what they take, and what
//! stays of them.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::run::succeeds;

use super::Bench;

const IN_TURN: u32 = 100;
const AT_ONCE: u32 = 20;
/// What goes behind the last answer may take so long.
const REST: Duration = Duration::from_secs(2);

/// What there is of a store, its containers, and their mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Left {
    files: usize,
    bytes: u64,
    mounts: usize,
    groups: usize,
}

/// Measures and prints both.
pub(super) fn growth(bench: &Bench, image: &str) -> Result<()> {
    let parent = format!("varve-bench-{}", std::process::id());
    let options = ["run", "--rm", "--network", "none", "--cgroup-parent", &parent];
    let run = bench.words("start", &[&options[..], &[image, "/bin/true"]].concat());
    ensure!(succeeds(&mut run()), "a container failed");
    std::thread::sleep(REST);
    let before = Left::of(bench, &parent)?;
    let begin = Instant::now();
    for _ in 0..IN_TURN {
        ensure!(succeeds(&mut run()), "a container failed");
    }
    super::row("each of 100 run --rm in turn, no network", begin.elapsed() / IN_TURN, None);
    let begin = Instant::now();
    let all: Vec<Child> = (0..AT_ONCE).map(|_| run().spawn()).collect::<std::io::Result<_>>()?;
    for mut one in all {
        ensure!(one.wait()?.success(), "a container failed");
    }
    super::row("20 of them at once, all", begin.elapsed(), None);
    std::thread::sleep(REST);
    let after = Left::of(bench, &parent)?;
    if before == after {
        println!("{:<44} {:>12}", "  files, bytes, mounts, groups left", "as before");
    } else {
        println!("  left over: {after:?}, before them: {before:?}");
    }
    Ok(())
}

impl Left {
    fn of(bench: &Bench, parent: &str) -> Result<Self> {
        let mut left = Self { files: 0, bytes: 0, mounts: 0, groups: 0 };
        for place in ["start", "run"] {
            left.count(&bench.directory.join(place))?;
        }
        let here = bench.directory.to_string_lossy().into_owned();
        let table = fs::read_to_string("/proc/self/mountinfo")?;
        left.mounts = table.lines().filter(|line| line.contains(&here)).count();
        let top = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(top).into_iter().flatten().flatten();
        let places = hierarchies.map(|entry| entry.path()).chain([top.to_owned()]);
        left.groups = places
            .filter_map(|place| fs::read_dir(place.join(parent)).ok())
            .map(|entries| entries.flatten().filter(|entry| entry.path().is_dir()).count())
            .sum();
        Ok(left)
    }

    fn count(&mut self, directory: &Path) -> Result<()> {
        for entry in fs::read_dir(directory)?.flatten() {
            let Ok(facts) = entry.metadata() else { continue };
            self.files += 1;
            if facts.is_dir() {
                self.count(&entry.path())?;
            } else {
                self.bytes += facts.len();
            }
        }
        Ok(())
    }
}
