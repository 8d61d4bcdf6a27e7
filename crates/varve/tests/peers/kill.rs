//! Pulls, and others, that die at any moment.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use varve_testkit::{Entry, Fault, Image, On, Registry, Seeded, image::Built};

use crate::home::Home;

const KILLS: usize = 20;

/// Killed at random moments and begun again, a pull ends right in the end, and not one byte that
/// was in the store at the time of a death crosses the wire again.
#[test]
fn a_pull_killed_at_twenty_random_moments_fetches_no_kept_byte_again() {
    let mut random = Seeded::new();
    let image = Image::seeded(61).layers(4).layer_size_bytes(2 << 20).build();
    let registry_root = TempDir::new().unwrap();
    registry(&registry_root).push("app:1", &image);

    let mut home = Home::new();
    let whole = {
        let (registry, started) = (registry(&registry_root), Instant::now());
        Home::new().ok(&["pull", &registry.reference("app:1").to_string()]);
        started.elapsed()
    };
    let (mut kills, mut finished, mut kept_ever) = (0, 0, 0);
    while kills < KILLS {
        // A registry per try, so that its log is this try's.
        let registry = registry(&registry_root);
        let kept = kept(&home, &image);
        kept_ever += kept.values().sum::<u64>();
        let died = pull_and_kill(&home, &registry, whole.mul_f64(random.part()));
        thread::sleep(Duration::from_millis(20));
        not_again(&registry.log(), &kept);
        if died {
            kills += 1;
            home.check();
        }
        // Each store dies a few times, then comes to its end; so does one that was quick.
        if !died || kills % 5 == 0 {
            finish(&home, &registry_root, &image);
            finished += 1;
            home = Home::new();
        }
    }
    println!("{kills} kills, {finished} stores, {kept_ever} bytes kept at deaths");
    assert!(kept_ever > 0, "no moment fell into a download");
}

/// Whatever a command was doing when it died, the store is sound, what was named before is whole,
/// and the command can be given again.
#[test]
fn any_command_may_die_at_any_moment() {
    let (mut random, registry) = (Seeded::new(), Registry::start());
    let image = Image::seeded(63).layers(3).layer_size_bytes(1 << 20).files(40).build();
    let home = Home::new();
    let tar = home.write("root.tar", &image.images[0].tars[0]).display().to_string();
    home.ok(&["import", &tar, "kept:1"]);
    let kept = home.id("kept:1");
    let archive = home.write("image.tar", &image.docker_archive(&["loaded:1"]));
    let archive = archive.display().to_string();
    let pushed = registry.reference("pushed:1").to_string();
    home.ok(&["tag", "kept:1", &pushed]);
    let commands: [&[&str]; 6] = [
        &["load", "-i", &archive],
        &["tag", "loaded:1", "tagged:1"],
        &["import", &tar, "imported:1"],
        &["push", &pushed],
        &["rmi", "loaded:1", "tagged:1"],
        &["image", "prune", "-a", "-f", "--filter", "label=none"],
    ];
    let mut kills = 0;
    for _ in 0..5 {
        for command in commands {
            let mut child = home.command(command).spawn().expect("varve starts");
            thread::sleep(Duration::from_millis(random.below(60) as u64));
            child.kill().expect("a child can be killed");
            let output = child.wait_with_output().expect("a child ends");
            kills += usize::from(output.status.code().is_none());
            home.check();
            assert_eq!(home.id("kept:1"), kept);
            let again = home.run(command);
            let done_before = again.stderr.contains("No such image");
            assert!(again.code == 0 || done_before, "{command:?}: {}", again.stderr);
            home.check();
        }
        assert_eq!(home.id("kept:1"), kept);
        assert_eq!(home.id("imported:1").len(), kept.len());
        Home::new().ok(&["pull", &pushed]);
    }
    println!("{kills} kills");
    home.ok(&["rmi", "-f", &kept, "imported:1"]);
    home.ok(&["system", "prune", "-a", "-f"]);
    assert!(home.blobs().is_empty(), "{:?}", home.blobs());
}

/// What a pull that failed keeps for the next one takes room until then, or until it is let go.
#[test]
fn what_a_failed_pull_kept_is_freed_by_system_prune() {
    let (home, registry) = (Home::new(), Registry::start());
    assert_eq!(home.ok(&["system", "prune", "-f"]), "Total reclaimed space: 0B");
    let image = Image::seeded(62).layer_size_bytes(1 << 20).build();
    registry.push("app:1", &image);
    let layer = || On::Path("GET", image.images[0].layers[0].digest.to_string());
    registry.fail(layer(), Fault::CutBody(600_000));
    registry.fail_after(1, layer(), Fault::status(404));
    let name = registry.reference("app:1").to_string();
    home.fails(&["pull", &name]);
    let arriving = || fs::read_dir(home.store().join("varve/ingest")).unwrap().count();
    home.ok(&["image", "prune", "-f"]);
    assert_eq!(arriving(), 1, "an image prune leaves it");
    let said = home.ok(&["system", "prune", "-f"]);
    assert!(said.starts_with("Total reclaimed space: ") && !said.ends_with(" 0B"), "{said}");
    assert_eq!(arriving(), 0);
    registry.heal();
    home.ok(&["pull", &name]);
    home.check();
}

fn registry(root: &TempDir) -> Registry {
    Registry::builder().root(root.path()).start()
}

/// Whether the pull was killed before it ended.
fn pull_and_kill(home: &Home, registry: &Registry, after: Duration) -> bool {
    let name = registry.reference("app:1").to_string();
    let mut child = home.command(&["pull", &name]).spawn().expect("varve starts");
    thread::sleep(after);
    child.kill().expect("a child can be killed");
    let output = child.wait_with_output().expect("a child ends");
    assert!(output.status.code().is_none_or(|code| code == 0), "{output:?}");
    output.status.code().is_none()
}

/// The bytes of each layer that are in the store.
fn kept(home: &Home, image: &Built) -> BTreeMap<String, u64> {
    let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let layers = image.images[0].layers.iter();
    layers
        .map(|layer| {
            let hex = layer.digest.hex();
            let arriving = home.store().join("varve/ingest").join(&hex).join("data");
            let blob = home.store().join("blobs/sha256").join(&hex);
            (layer.digest.to_string(), length(&arriving).max(length(&blob)))
        })
        .collect()
}

/// No request asks for a byte that was kept.
fn not_again(log: &[Entry], kept: &BTreeMap<String, u64>) {
    for entry in log.iter().filter(|entry| entry.method == "GET" && entry.is_blob()) {
        let Some((_, digest)) = entry.path.rsplit_once('/') else { continue };
        let Some(&kept) = kept.get(digest) else { continue };
        let from = entry.range.as_deref().map_or(0, first_byte);
        assert!(from >= kept, "{kept} bytes were kept, and yet: {entry:?}");
    }
}

/// `bytes=123-` begins at 123.
fn first_byte(range: &str) -> u64 {
    let digits = range.trim_start_matches("bytes=").split('-').next().unwrap_or_default();
    digits.parse().unwrap_or_else(|_| panic!("a range of its own kind: {range}"))
}

/// Pulls to the end; then everything is there, and what was only on its way is gone.
fn finish(home: &Home, registry_root: &TempDir, image: &Built) {
    let registry = registry(registry_root);
    let kept = kept(home, image);
    let name = registry.reference("app:1").to_string();
    home.ok(&["pull", &name]);
    not_again(&registry.log(), &kept);
    assert_eq!(home.id(&name), image.id().to_string());
    for (descriptor, bytes) in image.blobs.iter().chain(&image.manifests) {
        assert_eq!(&home.blob(&descriptor.digest.to_string()), bytes);
    }
    // What the dead left beside the bytes is nobody's: the next sweep takes it.
    home.ok(&["image", "prune", "-f"]);
    for left in ["ingest", "leases"] {
        let path = home.store().join("varve").join(left);
        let left: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    home.check();
}
