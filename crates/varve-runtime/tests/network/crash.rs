//! Many processes at once, and processes that die half-way.

use std::{
    collections::BTreeSet,
    env,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use varve_runtime::network::{Attach, Netns, Networks, Sandbox};
use varve_types::container::NetworkRequest;

use crate::world::{World, bindings, id, on, open, path, serve_tcp};

const WORKERS: u8 = 5;
const CONTAINERS_EACH: u8 = 20;

/// Starts a process on the machine that attaches containers with these numbers, again and again if
/// `forever`.
fn worker(world: &World, first: u8, count: u8, forever: bool) -> Child {
    let directory = path(&world.directory);
    on(&world.machine, || {
        Command::new(env::current_exe().unwrap())
            .args(["crash::plays_a_worker", "--exact", "--ignored", "--nocapture"])
            .env("WORK", format!("{first} {count} {forever}"))
            .env("DIRECTORY", &directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    })
}

/// Not a test: what [`worker`] starts.
#[test]
#[ignore = "the process that other tests start"]
fn plays_a_worker() {
    let work = env::var("WORK").unwrap();
    let directory = PathBuf::from(env::var_os("DIRECTORY").unwrap());
    let words: Vec<&str> = work.split(' ').collect();
    let (first, count): (u8, u8) = (words[0].parse().unwrap(), words[1].parse().unwrap());
    loop {
        for number in first..first + count {
            attach(&directory, number, words[2] == "true");
        }
        if words[2] != "true" {
            return;
        }
    }
}

fn attach(directory: &Path, number: u8, and_detach: bool) {
    let networks = open(directory, &Netns::current().unwrap());
    let (container, netns) = (id(number), Netns::create().unwrap());
    let port = format!("{}:80", 20_000 + u16::from(number));
    let attach = Attach {
        container: &container,
        name: &format!("c{number}"),
        hostname: "",
        netns: Some(&netns),
        networks: &[("back".to_owned(), NetworkRequest::default())],
        ports: &bindings(&[&port]),
        upstreams: &[],
    };
    networks.attach(&attach).unwrap();
    if and_detach {
        networks.detach(&container).unwrap();
    }
}

#[test]
fn a_hundred_containers_at_once_get_a_hundred_addresses() {
    let Some(world) = World::new() else { return };
    world.create("back");
    let workers: Vec<Child> = (0..WORKERS)
        .map(|n| worker(&world, 1 + n * CONTAINERS_EACH, CONTAINERS_EACH, false))
        .collect();
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    let networks = world.networks();
    let inspected = on(&world.machine, || networks.inspect("back")).unwrap();
    let address = |sandbox: &Sandbox| IpAddr::V4(sandbox.endpoints[0].ipv4.unwrap().address);
    let addresses: BTreeSet<IpAddr> = inspected.sandboxes.iter().map(address).collect();
    assert_eq!(addresses.len(), usize::from(WORKERS * CONTAINERS_EACH));
    let gone = on(&world.machine, || networks.reconcile(&|_| false)).unwrap();
    assert_eq!(gone.containers.len(), addresses.len());
    world.assert_nothing_is_left();
}

/// Whatever the moment a process dies at, the next command finds all that it had made.
#[test]
fn a_killed_process_leaves_nothing_that_is_not_found() {
    let Some(world) = World::new() else { return };
    world.create("back");
    let networks = world.networks();
    for round in 0..30 {
        let mut worker = worker(&world, 1, 3, true);
        // Long enough to begin, and each time another moment.
        thread::sleep(Duration::from_micros(60_000 + round * 3_700));
        worker.kill().unwrap();
        worker.wait().unwrap();
        on(&world.machine, || networks.reconcile(&|_| false)).unwrap();
        world.assert_nothing_is_left();
    }
    let again = on(&world.machine, || networks.reconcile(&|_| false)).unwrap();
    assert_eq!(again, varve_runtime::network::Reconciled::default());
}

/// One of which nobody else has anything goes behind the answer to who waits for it.
#[test]
fn while_a_container_goes_nobody_else_sees_the_networks() {
    let Some(world) = World::new() else { return };
    let one = world.start(1, &["bridge"], &[]);
    assert!(one.attached.sandbox.is_quiet());
    let networks = world.networks();
    let going = on(&world.machine, || networks.begin_detach(&one.id)).unwrap().unwrap();
    let (directory, run) = (world.directory.path().join("networks"), world.directory.path());
    let recorded = || Networks::recorded_containers(&directory, &run.join("run")).unwrap();
    assert_eq!(recorded(), (vec![one.id], true));
    let other = thread::scope(|scope| {
        let next = scope.spawn(|| world.start(2, &["bridge"], &[]));
        on(&world.machine, || going.finish()).unwrap();
        next.join().unwrap()
    });
    // It found the address free: the first one was out before it looked.
    assert_eq!((other.address(0), recorded()), (one.address(0), (vec![other.id], false)));
    world.stop(&other);
    world.assert_nothing_is_left();
}

#[test]
fn a_container_goes_also_when_the_store_was_removed_meanwhile() {
    let Some(world) = World::new() else { return };
    let one = world.start(1, &["bridge"], &[]);
    let networks = world.networks();
    let going = on(&world.machine, || networks.begin_detach(&one.id)).unwrap().unwrap();
    std::fs::remove_dir_all(world.directory.path().join("networks")).unwrap();
    on(&world.machine, || going.finish()).unwrap();
    world.assert_nothing_is_left();
}

#[test]
fn who_shares_a_bridge_or_has_names_and_ports_is_told_of_or_keeps_it() {
    let Some(world) = World::new() else { return };
    world.create("back");
    let named = world.start(1, &["back"], &[]);
    let published = world.start(2, &["bridge"], &["8080:80"]);
    assert!(!named.attached.sandbox.is_quiet() && !published.attached.sandbox.is_quiet());
    let one = world.start(3, &["bridge"], &[]);
    let networks = world.networks();
    let going = on(&world.machine, || networks.begin_detach(&one.id)).unwrap().unwrap();
    on(&world.machine, || going.finish()).unwrap();
    serve_tcp(&published.netns, 80);
    let asked = crate::world::ask_tcp(&world.outside, crate::world::MACHINE, 8080);
    assert_eq!(asked, "203.0.113.1 hello");
    world.stop(&named);
    world.stop(&published);
    world.assert_nothing_is_left();
}

#[test]
fn what_lives_is_left_alone() {
    let Some(world) = World::new() else { return };
    world.create("back");
    let one = world.start(1, &["back"], &["8080:80"]);
    let other = world.start(2, &["bridge"], &[]);
    let networks = world.networks();
    let found = on(&world.machine, || networks.reconcile(&|id| *id == one.id)).unwrap();
    assert_eq!(found.containers, [other.id]);
    assert_eq!(found.networks, Vec::<String>::new());
    serve_tcp(&one.netns, 80);
    assert_eq!(
        crate::world::ask_tcp(&world.outside, crate::world::MACHINE, 8080),
        "203.0.113.1 hello"
    );
    world.stop(&one);
    world.assert_nothing_is_left();
}
