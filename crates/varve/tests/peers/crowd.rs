//! Fifty processes in one store at once.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};

use varve_testkit::{Image, Registry};

use crate::place::Place;

const IMAGES: usize = 5;
const PROCESSES: usize = 50;

/// Each process pulls, tags or removes. Whatever their order was, the names that are there in the
/// end are those that some order of the successful commands leaves, and the store is sound.
#[test]
fn fifty_processes_leave_what_some_order_of_them_leaves() {
    let (place, registry) = (Place::new(), Registry::start());
    for number in 0..IMAGES {
        let image = Image::seeded(20 + number as u64).layers(2).layer_size_bytes(100_000).gzip();
        registry.push(&format!("crowd:{number}"), image);
    }
    let pulled = |number: usize| format!("{}/crowd:{number}", registry.host());
    // Half of the images are here before, so that tagging and removing find something.
    for number in 0..IMAGES / 2 {
        place.varve(&["pull", "--quiet", &pulled(number)]);
    }

    let mut running: Vec<(Vec<String>, Child)> = Vec::new();
    for at in 0..PROCESSES {
        let name = pulled(at % IMAGES);
        let own = format!("own:{}", at % 7);
        let words: Vec<String> = match at % 3 {
            0 => vec!["pull".to_owned(), "--quiet".to_owned(), name],
            1 => vec!["tag".to_owned(), name, own],
            _ if at % 2 == 0 => vec!["rmi".to_owned(), own],
            _ => vec!["rmi".to_owned(), name],
        };
        let refs: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = place.command(&refs);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        running.push((words, child.expect("varve starts")));
    }
    let mut done = Vec::new();
    for (words, child) in running {
        let output = child.wait_with_output().expect("varve ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let absent = said.contains("No such image");
        assert!(output.status.success() || absent, "{words:?}: {said}");
        assert!(words[0] != "pull" || output.status.success(), "{words:?}: {said}");
        done.push((words, output.status.success()));
    }
    check(&place, &done);
    place.varve(&["system", "check"]);
}

/// Judges the end by each name: it may be there only if something made it, and may be gone only
/// if something removed it; what it names must be what some command named so.
fn check(place: &Place, done: &[(Vec<String>, bool)]) {
    let mut made: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut removed: BTreeSet<&str> = BTreeSet::new();
    for (words, _) in done.iter().filter(|(_, succeeded)| *succeeded) {
        match words[0].as_str() {
            "pull" => _ = made.entry(&words[2]).or_default().insert(&words[2]),
            "tag" => _ = made.entry(&words[2]).or_default().insert(&words[1]),
            _ => _ = removed.insert(&words[1]),
        }
    }
    let format = ["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
    let listed = place.varve(&format);
    let there: BTreeMap<&str, &str> =
        listed.lines().filter_map(|line| line.split_once(' ')).collect();
    for (name, sources) in &made {
        let Some(id) = there.get(name) else {
            assert!(removed.contains(name), "{name} was made, never removed, and is gone");
            continue;
        };
        // Every image of the registry has one ID; a name of ours has that of one of its sources.
        let known: Vec<&&str> = sources.iter().filter_map(|source| there.get(source)).collect();
        let all_there = known.len() == sources.len();
        assert!(!all_there || known.contains(&id), "{name} is {id}, not one of {known:?}");
    }
    for (name, succeeded) in done.iter().map(|(words, succeeded)| (&words[1], succeeded)) {
        let gone = removed.contains(name.as_str()) && !made.contains_key(name.as_str());
        assert!(!(gone && *succeeded && there.contains_key(name.as_str())), "{name} is back");
    }
}
