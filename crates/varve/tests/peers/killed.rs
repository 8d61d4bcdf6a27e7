//! Pulls that are killed, and what the registry is asked for afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use varve_testkit::{Image, Registry};

use crate::place::Place;

const KILLS: u64 = 20;

/// Killed at twenty moments and run again, a pull ends right, and the registry is never asked for
/// a byte that the store had kept.
#[test]
fn killed_pull_goes_on_where_it_was() {
    let (place, registry) = (Place::new(), Registry::start());
    let image = Image::seeded(9).layers(3).layer_size_bytes(12 << 20);
    registry.push("large:1", image);
    let name = format!("{}/large:1", registry.host());
    let ingest = place.path("store/varve/ingest");

    let mut kept = BTreeMap::new();
    for round in 0..KILLS {
        registry.take_log();
        let mut pull = place.command(&["pull", &name]);
        let mut pull =
            pull.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("varve starts");
        // Any moment will do; these are spread over the whole pull and differ on every machine.
        std::thread::sleep(Duration::from_millis(3 + round * round % 97));
        let _ = Command::new("kill").args(["-KILL", &pull.id().to_string()]).status();
        let _ = pull.wait();
        nothing_again(&registry, &kept);
        kept = lengths(&ingest);
    }
    registry.take_log();
    place.varve(&["pull", &name]);
    nothing_again(&registry, &kept);
    place.varve(&["system", "check"]);
    assert_eq!(place.varve(&["images", "--quiet"]).lines().count(), 1);
}

/// Every blob that was asked for was asked for from where the kept bytes end.
fn nothing_again(registry: &Registry, kept: &BTreeMap<String, u64>) {
    // A connection that was cut a moment ago may still be on its way into the log.
    std::thread::sleep(Duration::from_millis(20));
    for entry in registry.log().iter().filter(|entry| entry.is_blob() && entry.method == "GET") {
        let hex = entry.path.rsplit(':').next().expect("a digest");
        let range = entry.range.as_deref().and_then(|range| range.strip_prefix("bytes="));
        let from: u64 =
            range.and_then(|range| range.split('-').next()?.parse().ok()).unwrap_or_default();
        let there = kept.get(hex).copied().unwrap_or_default();
        assert!(from >= there, "{hex}: {there} bytes are here, asked again from {from}");
    }
}

/// Bytes that have arrived of each blob.
fn lengths(ingest: &Path) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(ingest).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let length = entry.path().join("data").metadata().ok()?.len();
            Some((entry.file_name().to_string_lossy().into_owned(), length))
        })
        .collect()
}
