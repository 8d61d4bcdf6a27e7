//! Commands that meet at the store's locks: each comes to an end.

use std::{
    fs,
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use varve_engine::{
    CreateContainer, Engine, Prune, Registries, Remove, StoreOptions, container::UpdateContainer,
};
use varve_runtime::state;
use varve_testkit::guard;
use varve_types::{
    Ctx,
    container::{
        Container, ContainerConfig, ContainerId, HostConfig, ProcessIdentity, State, Status,
    },
};

use crate::images::Bench;

/// Only one that waits for itself takes so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// A store with an image and a container that was to go with its end, and whose monitor was killed
/// by the end of the machine.
fn left_over() -> (tempfile::TempDir, Arc<Engine>, Container) {
    let Bench { root, .. } = {
        let bench = Bench::new();
        bench.import("content", Some("app:1"), &[]);
        bench
    };
    let options = StoreOptions { run: Some(root.path().join("run")), ..StoreOptions::default() };
    let engine = Engine::open_with(root.path(), options, Registries::default()).unwrap();
    let container = create(&engine, "gone");
    let monitor = ProcessIdentity { boot_id: "another".to_owned(), ..ProcessIdentity::default() };
    let state = State { status: Status::Running, monitor: Some(monitor), ..State::default() };
    let directory = engine.store().container_path(&container.id);
    fs::write(directory.join("state.json"), serde_json::to_vec(&state).unwrap()).unwrap();
    (root, Arc::new(engine), container)
}

fn create(engine: &Engine, name: &str) -> Container {
    let host_config = HostConfig { auto_remove: true, ..HostConfig::default() };
    let request = CreateContainer {
        image: "app:1",
        name: Some(name),
        platform: None,
        config: ContainerConfig { cmd: Some(vec!["true".to_owned()]), ..Default::default() },
        host_config,
        networks: [].into(),
    };
    engine.create_container(&Ctx::for_test(), &request).unwrap().container
}

/// Does something aside. One that never ends is left behind: a test can only stop waiting for it.
fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver
}

#[test]
fn an_update_that_finds_a_container_gone_with_its_end_does_not_wait_for_itself() {
    if !guard::root() {
        return;
    }
    let (_root, engine, container) = left_over();
    let updated = aside({
        let engine = Arc::clone(&engine);
        move || {
            let update = UpdateContainer { pids_limit: Some(7), ..UpdateContainer::default() };
            engine.update_container(&Ctx::for_test(), "gone", &update)
        }
    });
    let updated = updated.recv_timeout(PATIENCE).expect("it waits for itself");
    assert_eq!(updated.unwrap_err().to_string(), "No such container: gone");
    assert_eq!(engine.store().container(&container.id).unwrap(), None);
}

/// While somebody makes a container, `removes` finds one that is to go. Both come to an end.
fn a_removal_meets_a_creation(removes: impl FnOnce(&Engine) + Send + 'static) {
    let (_root, engine, gone) = left_over();
    let directory = engine.store().container_path(&gone.id);
    let (held, holds) = mpsc::channel();
    let created = aside({
        let engine = Arc::clone(&engine);
        let made = Container {
            id: ContainerId::from_random([7; 32]),
            name: "made".parse().unwrap(),
            ..gone
        };
        move || {
            let containers = engine.store().lock_containers().unwrap();
            held.send(()).unwrap();
            // The removal has come as far as it can without the lock.
            let until = Instant::now() + PATIENCE;
            while !state::is_watched(&directory).unwrap() {
                assert!(Instant::now() < until, "nobody looks at the container");
                thread::sleep(Duration::from_millis(1));
            }
            let _ = containers.create(&made, false, |_| Ok(())).unwrap();
        }
    });
    holds.recv_timeout(PATIENCE).expect("a lock that is free");
    let removed = aside({
        let engine = Arc::clone(&engine);
        move || removes(&engine)
    });
    created.recv_timeout(PATIENCE).expect("who makes a container waits for the removal");
    removed.recv_timeout(PATIENCE).expect("the removal waits for who makes a container");
    let names: Vec<String> = engine
        .store()
        .containers()
        .unwrap()
        .0
        .iter()
        .map(|container| container.name.to_string())
        .collect();
    assert_eq!(names, ["made"]);
}

#[test]
fn a_removal_of_an_image_lets_a_container_be_made_that_was_begun_before() {
    if !guard::root() {
        return;
    }
    a_removal_meets_a_creation(|engine| {
        let request = Remove { image: "app:1", force: false, keep_parents: false, platforms: &[] };
        let error = engine.remove(&request).unwrap_err().to_string();
        assert!(error.contains("is using its referenced image"), "{error}");
    });
}

#[test]
fn a_prune_removes_what_is_left_of_a_container_whose_making_was_cut_off() {
    if !guard::root() {
        return;
    }
    let (root, engine, container) = left_over();
    let request = Prune::default();
    engine.prune(&Ctx::for_test(), &request).unwrap();
    let half = create(&engine, "half");
    let directory = engine.store().container_path(&half.id);
    // Its name comes before its record.
    fs::remove_file(directory.join("fleeting.json")).unwrap();
    engine.prune(&Ctx::for_test(), &request).unwrap();
    for left in [directory, engine.store().container_path(&container.id)] {
        assert!(!left.exists(), "{}", left.display());
    }
    assert_eq!(fs::read_dir(root.path().join("varve/names")).unwrap().count(), 0);
}

#[test]
fn a_prune_of_images_lets_a_container_be_made_that_was_begun_before() {
    if !guard::root() {
        return;
    }
    a_removal_meets_a_creation(|engine| {
        let request = Prune { all: true, ..Prune::default() };
        let pruned = engine.prune(&Ctx::for_test(), &request).unwrap();
        assert_eq!(pruned.removed, []);
    });
}
