//! Networks of programs, in a network namespace that stands for the machine's.

use std::process::Command;

use varve_build::instruction::RunNetwork;
use varve_runtime::network::Netns;
use varve_testkit::guard;

use crate::world::{World, shell, step_with};

fn on(network: RunNetwork, line: &str) -> varve_build::plan::RunStep {
    step_with(&format!("FROM scratch\nRUN {line}\n"), |options| {
        options.network = network;
        options.extra_hosts = vec![("machine".to_owned(), "host-gateway".to_owned())];
    })
}

const LINKS: &str = "ip -o link | wc -l";

#[test]
fn a_program_without_network_has_loopback_only() {
    let Some(world) = World::new() else { return };
    let outcome = world.run(&shell(&format!("{LINKS}; ip -4 -o address")));
    assert_eq!(
        outcome.output,
        "1\n1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n"
    );
    world.check();
}

#[test]
fn a_program_is_connected_as_containers_are_and_leaves_nothing_of_it() {
    if !guard::network_namespace() {
        return;
    }
    let Some(world) = World::new() else { return };
    let machine = Netns::create().unwrap();
    let outcome = machine.inside(|| {
        let line = "ip -4 -o address show eth0 | wc -l; ip route | grep -c default; \
             grep -c machine /etc/hosts; timeout 5 ping -c 1 -W 1 machine | grep -c ttl";
        let outcome = world.run(&on(RunNetwork::Default, line));
        let left = Command::new("ip").args(["-o", "link"]).output()?;
        Ok((outcome, String::from_utf8_lossy(&left.stdout).into_owned()))
    });
    let (outcome, left) = outcome.unwrap();
    if outcome.warnings.is_empty() {
        assert_eq!(outcome.output, "1\n1\n1\n1\n", "{outcome:?}");
    } else {
        // No packets are filtered or forwarded here: then it has the machine's, and that is said.
        assert!(outcome.warnings[0].contains("using the host's"), "{outcome:?}");
    }
    assert_eq!(left.lines().count(), 1, "{left}");
    world.check();
}

#[test]
fn the_machines_network_is_given_where_it_is_asked_for() {
    if !guard::network_namespace() {
        return;
    }
    let Some(world) = World::new() else { return };
    let machine = Netns::create().unwrap();
    let outcome = machine.inside(|| {
        Command::new("ip").args(["link", "add", "only-here", "type", "veth"]).status()?;
        let host = world.run(&on(
            RunNetwork::Host,
            "ip -o link | grep -c ': only-here'; hostname; grep machine /etc/hosts",
        ));
        Ok(host)
    });
    assert_eq!(outcome.unwrap().output, "1\nbuildkitsandbox\n127.0.0.1\tmachine\n");
    world.check();
}
