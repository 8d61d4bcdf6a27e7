//! Published ports.

use std::net::TcpListener;

use expect_test::expect;
use varve_runtime::network::network_facts;
use varve_types::{Kind, container::PortBinding};

use crate::world::{
    MACHINE, WORLD, World, ask_tcp, ask_udp, cannot_connect, on, serve_tcp, serve_udp,
};

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let Some(world) = World::new() else { return };
    world.create("other");
    let server = world.start(1, &["bridge"], &["8080:80"]);
    let neighbour = world.start(2, &["bridge"], &[]);
    let stranger = world.start(3, &["other"], &[]);
    serve_tcp(&server.netns, 80);
    assert_eq!(ask_tcp(&world.outside, MACHINE, 8080), format!("{WORLD} hello"));
    assert_eq!(ask_tcp(&world.machine, "127.0.0.1", 8080), "10.83.0.1 hello");
    assert_eq!(ask_tcp(&world.machine, "::1", 8080), "10.83.0.1 hello");
    assert_eq!(ask_tcp(&world.machine, MACHINE, 8080), format!("{MACHINE} hello"));
    assert_eq!(ask_tcp(&neighbour.netns, MACHINE, 8080), "10.83.0.1 hello");
    assert_eq!(ask_tcp(&server.netns, MACHINE, 8080), "10.83.0.1 hello");
    assert_eq!(ask_tcp(&stranger.netns, MACHINE, 8080), "10.83.0.1 hello");
    world.stop(&server);
    assert!(cannot_connect(&world.outside, MACHINE, 8080));
    assert!(cannot_connect(&world.machine, "127.0.0.1", 8080));
}

#[test]
fn datagrams_reach_a_published_port_and_answers_come_back() {
    let Some(world) = World::new() else { return };
    let server = world.start(1, &["bridge"], &["5353:53/udp"]);
    serve_udp(&server.netns, 53);
    assert_eq!(ask_udp(&world.outside, MACHINE, 5353), format!("{WORLD} hello"));
    assert_eq!(ask_udp(&world.machine, "127.0.0.1", 5353), "10.83.0.1 hello");
    assert_eq!(ask_udp(&world.machine, "::1", 5353), "10.83.0.1 hello");
}

/// The next container has the same address, and nothing that was sent to the last one reaches it.
#[test]
fn a_flow_of_datagrams_ends_with_its_container() {
    let Some(world) = World::new() else { return };
    let client = on(&world.outside, || std::net::UdpSocket::bind("0.0.0.0:0")).unwrap();
    client.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let ask = || {
        client.send_to(b"hello", (MACHINE, 5353)).unwrap();
        let mut buffer = [0; 100];
        client.recv(&mut buffer).map(|length| buffer[..length].to_vec())
    };
    let first = world.start(1, &["bridge"], &["5353:53/udp"]);
    serve_udp(&first.netns, 53);
    ask().unwrap();
    world.stop(&first);
    let second = world.start(2, &["bridge"], &["5353:54/udp"]);
    assert_eq!(second.address(0), first.address(0));
    serve_udp(&second.netns, 54);
    // An old flow would go to port 53, where nobody is.
    assert_eq!(ask().unwrap(), format!("{WORLD} hello").into_bytes());
}

#[test]
fn a_port_on_one_address_is_not_open_on_others() {
    let Some(world) = World::new() else { return };
    let server = world.start(1, &["bridge"], &["127.0.0.1:8080:80"]);
    serve_tcp(&server.netns, 80);
    assert!(cannot_connect(&world.outside, MACHINE, 8080));
    assert_eq!(ask_tcp(&world.machine, "127.0.0.1", 8080), "10.83.0.1 hello");
}

#[test]
fn a_busy_port_is_refused_in_dockers_words_and_leaves_nothing() {
    let Some(world) = World::new() else { return };
    let first = world.start(1, &["bridge"], &["8080:80"]);
    let refused = |ports: &[&str]| {
        let error = world.try_start(2, &["bridge"], ports).err().unwrap();
        assert_eq!(error.kind(), Kind::Conflict);
        let text = error.to_string();
        let (before, behind) = text.split_once('(').unwrap();
        format!("{before}({}", behind.split_once(')').unwrap().1)
    };
    let start = "driver failed programming external connectivity on endpoint c2 (: ";
    assert_eq!(
        refused(&["8080:80"]),
        format!("{start}Bind for 0.0.0.0:8080 failed: port is already allocated")
    );
    let _taken = on(&world.machine, || TcpListener::bind("0.0.0.0:8081")).unwrap();
    assert_eq!(
        refused(&["7070:80", "8081:80"]),
        format!(
            "{start}Error starting userland proxy: listen tcp4 0.0.0.0:8081: bind: address already in use"
        )
    );
    assert_eq!(refused(&["8080-8081:80"]), format!("{start}all ports are allocated"));
    // The other protocol is another port, and what a refused container took is free again.
    let second = world.start(2, &["bridge"], &["8080:80/udp", "7070:80", "8080-8090:81"]);
    assert_eq!(second.attached.sandbox.ports.last().unwrap().host_port, 8082);
    world.stop(&first);
    world.stop(&second);
    world.assert_nothing_is_left();
}

#[test]
fn ports_are_shown_as_docker_shows_them() {
    let Some(world) = World::new() else { return };
    let ports = ["18080:80", "127.0.0.1:18443:443/tcp", "5353:53/udp", "9:9/sctp", "81"];
    let server = world.start(1, &["bridge"], &ports);
    let exposed = ["80/tcp".parse().unwrap(), "7/tcp".parse().unwrap()];
    let mut settings = network_facts(&server.attached.sandbox, &exposed, "/proc/1/ns/net");
    let chosen = settings.ports.remove(&"81/tcp".parse().unwrap()).unwrap();
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let range: Vec<u16> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let port: u16 = chosen[0].host_port.parse().unwrap();
    assert!((range[0]..=range[1]).contains(&port));
    let both = |ip: &PortBinding| (ip.host_ip.clone(), ip.host_port.clone());
    let (v4, v6) = (("0.0.0.0".to_owned(), port.to_string()), ("::".to_owned(), port.to_string()));
    assert_eq!(chosen.iter().map(both).collect::<Vec<_>>(), [v4, v6]);
    expect![[r#"{"443/tcp":[{"HostIp":"127.0.0.1","HostPort":"18443"}],"53/udp":[{"HostIp":"0.0.0.0","HostPort":"5353"},{"HostIp":"::","HostPort":"5353"}],"7/tcp":[],"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"18080"},{"HostIp":"::","HostPort":"18080"}],"9/sctp":[{"HostIp":"0.0.0.0","HostPort":"9"},{"HostIp":"::","HostPort":"9"}]}"#]]
        .assert_eq(&serde_json::to_string(&settings.ports).unwrap());
    let shown = &settings.networks["bridge"];
    assert_eq!(shown.ip_address, "10.83.0.2");
    assert_eq!(shown.mac_address, "02:42:0a:53:00:02");
    assert_eq!(shown.dns_names, None);
}
