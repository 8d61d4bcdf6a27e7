//! Who can talk to whom.

use varve_runtime::network::{Error, NewNetwork, Warning, described};
use varve_testkit::guard;
use varve_types::{Kind, container::NetworkRequest};

use crate::world::{MACHINE, WORLD, World, ask_tcp, cannot_connect, on, output, run, serve_tcp};

#[test]
fn containers_of_one_network_talk_and_reach_the_world_with_the_machines_address() {
    let Some(world) = World::new() else { return };
    let (one, other) = (world.start(1, &["bridge"], &[]), world.start(2, &["bridge"], &[]));
    assert_eq!(one.attached.warnings, Vec::<Warning>::new());
    assert_eq!(one.address(0).to_string(), "10.83.0.2");
    assert_eq!(other.address(0).to_string(), "10.83.0.3");
    serve_tcp(&other.netns, 80);
    assert_eq!(ask_tcp(&one.netns, other.address(0), 80), format!("{} hello", one.address(0)));
    serve_tcp(&world.outside, 81);
    assert_eq!(ask_tcp(&one.netns, WORLD, 81), format!("{MACHINE} hello"));
    serve_tcp(&world.machine, 82);
    assert_eq!(ask_tcp(&one.netns, "10.83.0.1", 82), "10.83.0.2 hello");
}

#[test]
fn a_container_has_its_interface_address_and_route_as_docker_gives_them() {
    let Some(world) = World::new() else { return };
    let container = world.start(1, &["bridge"], &[]);
    let shown = output(&container.netns, "ip -o addr show eth0");
    assert!(shown.contains("inet 10.83.0.2/16 brd 10.83.255.255 scope global eth0"), "{shown}");
    assert!(!shown.contains("inet6"), "{shown}");
    let shown = output(&container.netns, "ip -o link show eth0");
    assert!(shown.contains("link/ether 02:42:0a:53:00:02") && shown.contains(",UP,"), "{shown}");
    let routes = output(&container.netns, "ip route");
    assert_eq!(routes.lines().next().unwrap().trim_end(), "default via 10.83.0.1 dev eth0");
    let lo = output(&container.netns, "ip -o link show lo");
    assert!(lo.contains("LOOPBACK,UP"), "{lo}");
}

#[test]
fn networks_are_kept_apart_and_a_container_may_be_in_several() {
    let Some(world) = World::new() else { return };
    world.create("front");
    world.create("back");
    let front = world.start(1, &["front"], &[]);
    let back = world.start(2, &["back"], &[]);
    let both = world.start(3, &["front", "back"], &[]);
    serve_tcp(&back.netns, 80);
    serve_tcp(&both.netns, 80);
    assert!(cannot_connect(&front.netns, back.address(0), 80));
    assert_eq!(ask_tcp(&both.netns, back.address(0), 80), format!("{} hello", both.address(1)));
    assert_eq!(ask_tcp(&front.netns, both.address(0), 80), format!("{} hello", front.address(0)));
    let names = output(&both.netns, "ip -o link show");
    assert!(names.contains("eth0") && names.contains("eth1"), "{names}");
    // Nor does the world get in by address, though it knows the way.
    run(&world.outside, &format!("ip route add 10.84.0.0/14 via {MACHINE}"));
    assert!(cannot_connect(&world.outside, back.address(0), 80));
}

#[test]
fn nothing_leaves_or_enters_an_internal_network() {
    let Some(world) = World::new() else { return };
    world.create_as(NewNetwork {
        name: "closed".to_owned(),
        internal: true,
        ..NewNetwork::default()
    });
    let (one, other) = (world.start(1, &["closed"], &[]), world.start(2, &["closed"], &[]));
    serve_tcp(&other.netns, 80);
    serve_tcp(&world.outside, 81);
    assert_eq!(ask_tcp(&one.netns, other.address(0), 80), format!("{} hello", one.address(0)));
    // Even with a route of its own making.
    run(&one.netns, "ip route add default via 10.84.0.1");
    assert!(cannot_connect(&one.netns, WORLD, 81));
}

#[test]
fn a_running_container_is_connected_and_disconnected() {
    let Some(world) = World::new() else { return };
    world.create("back");
    let one = world.start(1, &["bridge"], &[]);
    let other = world.start(2, &["back"], &[]);
    serve_tcp(&other.netns, 80);
    let networks = world.networks();
    let request = NetworkRequest::default();
    let connect =
        || on(&world.machine, || networks.connect(&one.id, &one.netns, ("back", &request), ""));
    let endpoint = connect().unwrap().sandbox.endpoints.remove(1);
    assert_eq!(endpoint.interface.as_deref(), Some("eth1"));
    let address = endpoint.ipv4.unwrap().address;
    assert_eq!(ask_tcp(&one.netns, other.address(0), 80), format!("{address} hello"));
    let again = connect().unwrap_err();
    assert_eq!(again.to_string(), "endpoint with name c1 already exists in network back");
    let disconnect = || on(&world.machine, || networks.disconnect(&one.id, &one.netns, "back"));
    disconnect().unwrap();
    assert!(!output(&one.netns, "ip -o link show").contains("eth1"));
    assert!(matches!(disconnect(), Err(Error::NotConnected { .. })));
    world.stop(&one);
    world.stop(&other);
    world.assert_nothing_is_left();
}

#[test]
fn without_a_network_there_is_loopback() {
    let Some(world) = World::new() else { return };
    let none = world.start(1, &["none"], &[]);
    let links = output(&none.netns, "ip -o link show");
    assert!(links.lines().count() == 1 && links.contains("lo: <LOOPBACK,UP"), "{links}");
}

#[test]
fn a_policy_that_drops_what_it_does_not_know_does_not_cut_containers_off() {
    let Some(world) = World::new() else { return };
    if guard::tool("iptables").is_none() {
        return;
    }
    // As docker leaves it behind.
    run(&world.machine, "iptables -P FORWARD DROP");
    let one = world.start(1, &["bridge"], &["8080:80"]);
    serve_tcp(&world.outside, 81);
    serve_tcp(&one.netns, 80);
    assert_eq!(ask_tcp(&one.netns, WORLD, 81), format!("{MACHINE} hello"));
    assert_eq!(ask_tcp(&world.outside, MACHINE, 8080), format!("{WORLD} hello"));
    // The other program still understands its own chain.
    let rules = output(&world.machine, "iptables -S FORWARD");
    assert!(rules.contains("-A FORWARD -o varve0 -m comment"), "{rules}");
    world.stop(&one);
    assert_eq!(output(&world.machine, "iptables -S FORWARD").trim_end(), "-P FORWARD DROP");
}

#[test]
fn rules_that_somebody_flushed_come_back_with_the_next_container() {
    let Some(world) = World::new() else { return };
    if guard::tool("nft").is_none() {
        return;
    }
    let one = world.start(1, &["bridge"], &["8080:80"]);
    run(&world.machine, "nft flush ruleset");
    let _other = world.start(2, &["bridge"], &[]);
    serve_tcp(&one.netns, 80);
    assert_eq!(ask_tcp(&world.outside, MACHINE, 8080), format!("{WORLD} hello"));
}

#[test]
fn a_subnet_that_the_machine_uses_is_not_chosen() {
    let Some(world) = World::new() else { return };
    run(&world.machine, "ip addr add 10.83.7.1/24 dev up0");
    let one = world.start(1, &["bridge"], &[]);
    assert_eq!(one.address(0).to_string(), "10.113.0.2");
}

#[test]
fn asked_for_addresses_are_given_or_refused_in_dockers_words() {
    let Some(world) = World::new() else { return };
    let pool = varve_runtime::network::NewPool {
        subnet: "10.9.0.0/24".parse().unwrap(),
        ip_range: None,
        gateway: None,
        auxiliary: std::collections::BTreeMap::new(),
    };
    world.create_as(NewNetwork {
        name: "own".to_owned(),
        pools: vec![pool],
        ..NewNetwork::default()
    });
    let networks = world.networks();
    let one = world.start(1, &["bridge"], &[]);
    let two = world.start(2, &["bridge"], &[]);
    let connect = |container: &crate::world::Container, network: &str, address: &str| {
        let request = NetworkRequest {
            ipv4_address: Some(address.parse().unwrap()),
            ..NetworkRequest::default()
        };
        let netns = &container.netns;
        let id = &container.id;
        on(&world.machine, || networks.connect(id, netns, (network, &request), "").map(drop))
    };
    connect(&one, "own", "10.9.0.77").unwrap();
    let refused = connect(&two, "own", "10.9.0.77").unwrap_err();
    assert_eq!(
        (refused.to_string().as_str(), refused.kind()),
        ("Address already in use", Kind::Conflict)
    );
    let outside = connect(&two, "own", "1.2.3.4").unwrap_err();
    assert_eq!(
        outside.to_string(),
        "invalid config for network own: invalid endpoint settings:\n\
         * no configured subnet or ip-range contain the IP address 1.2.3.4"
    );
    let missing = connect(&two, "nosuch", "1.2.3.4").unwrap_err();
    assert_eq!(missing.to_string(), "network nosuch not found");
    let in_use = on(&world.machine, || networks.remove("own")).unwrap_err();
    assert!(in_use.to_string().starts_with("error while removing network: network own id "));
    let inspected = on(&world.machine, || networks.inspect("own")).unwrap();
    let shown = described(&inspected);
    assert_eq!(shown.containers[&one.id.to_string()].ipv4_address, "10.9.0.77/24");
    assert_eq!(shown.pools[0].gateway, "10.9.0.1");
}

#[test]
fn ipv6_is_there_where_it_was_asked_for() {
    let Some(world) = World::new() else { return };
    world.create_as(NewNetwork { name: "six".to_owned(), ipv6: true, ..NewNetwork::default() });
    let (one, other) = (world.start(1, &["six"], &[]), world.start(2, &["six"], &["8080:80"]));
    let address = other.attached.sandbox.endpoints[0].ipv6.unwrap().address;
    let listener = on(&other.netns, || std::net::TcpListener::bind("[::]:80")).unwrap();
    let from = std::thread::spawn(move || listener.accept().unwrap().1.ip());
    let reached = on(&one.netns, || std::net::TcpStream::connect((address, 80)));
    assert!(reached.is_ok(), "{reached:?}");
    let own = one.attached.sandbox.endpoints[0].ipv6.unwrap().address;
    assert_eq!(from.join().unwrap(), own);
}
