//! Many containers of one image.

use std::{collections::BTreeSet, fs, path::Path, thread};

use varve_testkit::namespace::alone;

use crate::world::{World, monitors, processes, said, texts};

const CROWD: usize = 100;
/// Commands that are at work at once.
const WORKERS: usize = 4;
/// KiB that a monitor may have for itself.
const MONITOR_SIZE_KIB_MAX: u64 = 3 << 10;

#[test]
fn a_hundred_containers_of_one_image_share_its_pages_and_leave_nothing() {
    alone("crowd::a_hundred_containers_of_one_image_share_its_pages_and_leave_nothing", || {
        let Some(world) = &World::new() else { return };
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    for _ in 0..CROWD / WORKERS {
                        let mut run = world.container(&["run", "--detach"], &["sleep", "1000"]);
                        let output = run.output().expect("varve ends");
                        assert!(output.status.success(), "{}", said(&output));
                    }
                });
            }
        });
        let running = world.lines(&["ps", "--quiet", "--no-trunc"]);
        assert_eq!((running.len(), monitors().len()), (CROWD, CROWD));
        // One mount for each layer, and one file in the page cache for all who run it.
        let layers = world.mounts("/layers/");
        assert_eq!(layers.iter().collect::<BTreeSet<_>>().len(), layers.len());
        // The kernel divides a page's size by how many have it mapped.
        let sleeps: Vec<u32> = processes()
            .into_iter()
            .filter(|(_, line)| line == "sleep 1000 ")
            .map(|(pid, _)| pid)
            .collect();
        assert_eq!(sleeps.len(), CROWD);
        for pid in sleeps {
            let [whole, share] = ["Rss:", "Pss:"].map(|what| program_kib(pid, what));
            assert!(whole > 0 && share * 10 < whole, "{share} of {whole} KiB are its own");
        }
        let sizes: Vec<u64> = monitors().into_iter().map(own_memory_kib).collect();
        assert!(sizes.iter().all(|kib| *kib <= MONITOR_SIZE_KIB_MAX), "{sizes:?}");
        let half = [&["stop", "--timeout", "0"][..], &texts(&running)[..CROWD / 2]].concat();
        assert_eq!(world.lines(&half).len(), CROWD / 2);
        let left = world.lines(&["ps", "--quiet", "--no-trunc"]);
        assert_eq!(left, running[CROWD / 2..], "{:#?}", world.states());
        world.remove_all();
        world.assert_nothing_left("after a hundred containers");
        world.assert_sound();
    });
}

#[test]
fn containers_one_after_the_other_leave_nothing() {
    alone("crowd::containers_one_after_the_other_leave_nothing", || {
        let Some(world) = World::new() else { return };
        let mut before = None;
        for _ in 0..20 {
            let output = world.container(&["run", "--rm"], &["echo", "hello"]).output();
            let output = output.expect("varve ends");
            assert_eq!(output.stdout, b"hello\n", "{}", said(&output));
            world.assert_nothing_left("after run --rm");
            let here = (count(&world.path("store")), count(&world.path("run")));
            assert_eq!(*before.get_or_insert(here), here);
        }
    });
}

/// What a process has in memory of its program's code, or its share of that.
fn program_kib(pid: u32, what: &str) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("its mappings");
    let of_code = |line: &&str| line.contains(" r-xp ") && line.ends_with("/bin/busybox");
    let lines: Vec<&str> = maps.lines().skip_while(|line| !of_code(line)).collect();
    let line = lines.iter().find(|line| line.starts_with(what)).expect("a number");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
}

/// What a process has in memory that no other shares.
fn own_memory_kib(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("its memory");
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

/// How many files there are.
fn count(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).expect("a directory");
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => 1 + count(&entry.path()),
            _ => 1,
        })
        .sum()
}
