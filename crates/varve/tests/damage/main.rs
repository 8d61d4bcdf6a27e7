//! Damage: every file of a store with all that a store can hold loses or changes some bytes, is
//! gone, or gets a neighbour that nobody knows. It must be found by name, nothing wrong may be handed
//! out, and `system check --repair` must bring back what can be had again.

mod harm;
mod world;

use varve_testkit::{
    guard,
    torture::{Plan, Tally},
};

use harm::Harm;
use world::World;

/// Cases in the short form.
const SOME: usize = 60;

#[test]
fn damage_anywhere_is_found_and_never_handed_out_and_mended() {
    // It is mended in this process, which outside of a user's namespace has no way to show a layer.
    if !guard::root() {
        return;
    }
    let plan = Plan::of_the_environment();
    let world = World::new();
    let mut tally = Tally::of("damage", &plan);
    let mut random = plan.random();
    let cases: Vec<(String, Harm)> = world
        .files()
        .into_iter()
        .flat_map(|file| Harm::ALL.map(|harm| (file.clone(), harm)))
        .collect();
    loop {
        for number in plan.choose(cases.len(), SOME) {
            let (file, harm) = &cases[number];
            let place = random.word();
            let told = format!("{harm:?} of {file} at {place}");
            tally.count(&told, world.tried(file, *harm, place));
        }
        if !plan.has_time() {
            break;
        }
    }
    tally.finish();
}

/// What the program says and how it ends, once from begin to end.
#[test]
fn the_program_names_mends_and_then_finds_nothing() {
    let world = World::new();
    let store = world.path("store");
    let (lost, kept) = (world.config_of("made:1"), world.config_of("pulled:1"));
    for blob in [&lost, &kept] {
        world::overwrite(&store.join(blob), |bytes| bytes[3] ^= 1);
    }
    std::fs::write(store.join("letter"), "dear").expect("a file");

    let found = world.run(&["system", "check", "--format", "json"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let text = String::from_utf8(found.stdout).expect("UTF-8");
    for path in [lost.as_str(), kept.as_str(), "letter"] {
        assert!(text.contains(&format!("\"path\":\"{path}\"")), "{text}");
    }
    assert!(!text.contains("\"result\""), "{text}");

    let mended = world.run(&["system", "check", "--repair"]);
    let text = String::from_utf8(mended.stdout).expect("UTF-8");
    // A name was lost.
    assert_eq!(mended.status.code(), Some(1), "{text}");
    for (path, result) in [
        (lost.as_str(), "given up, and removed: made:1"),
        (kept.as_str(), "fetched from 127.0.0.1:"),
        ("letter", "put aside to varve/lost/letter"),
    ] {
        let line = text.lines().find(|line| line.starts_with(path)).expect(&text);
        assert!(line.contains(result), "{line}");
    }
    let again = world.run(&["system", "check", "--repair"]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), "The store is sound.\n");
    assert_eq!(again.status.code(), Some(0));
    assert!(!world.run(&["image", "inspect", "made:1"]).status.success());
    assert!(world.run(&["image", "inspect", "pulled:1"]).status.success());
}

#[test]
fn what_a_registry_cannot_give_now_is_not_given_up() {
    let world = World::new();
    let store = world.path("store");
    let config = world.config_of("pulled:1");
    std::fs::remove_file(store.join(&config)).expect("a file");
    world.hang_up();
    let mended = world.run(&["system", "check", "--repair"]);
    let text = String::from_utf8(mended.stdout).expect("UTF-8");
    assert_eq!(mended.status.code(), Some(1), "{text}");
    assert!(text.contains("it is missing") && text.contains("not mended: "), "{text}");
    world.answer_again();
    let mended = world.run(&["system", "check", "--repair"]);
    let text = String::from_utf8(mended.stdout).expect("UTF-8");
    assert_eq!(mended.status.code(), Some(0), "{text}");
    assert!(text.ends_with("The store is sound now.\n"), "{text}");
}
