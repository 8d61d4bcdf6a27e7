//! Containers find each other by name.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use varve_runtime::network::{Netns, NewNetwork, resolver_address};

use crate::world::{Container, World, on, open, output};

const A: u16 = 1;
const AAAA: u16 = 28;
const PTR: u16 = 12;

fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

/// The code and the data of the answers, or `None` if none comes.
fn read(query: &[u8], reply: &[u8]) -> (u8, Vec<Vec<u8>>) {
    assert_eq!(reply[..2], query[..2], "the client's own ID");
    assert_eq!(reply[12..query.len()], query[12..], "the client's own question");
    let mut at = query.len();
    let mut answers = Vec::new();
    for _ in 0..u16::from_be_bytes([reply[6], reply[7]]) {
        let length = usize::from(u16::from_be_bytes([reply[at + 10], reply[at + 11]]));
        answers.push(reply[at + 12..at + 12 + length].to_vec());
        at += 12 + length;
    }
    (reply[3] & 15, answers)
}

fn ask(container: &Container, name: &str, kind: u16) -> (u8, Vec<Vec<u8>>) {
    let query = query(name, kind);
    let reply = on(&container.netns, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.connect((resolver_address(), 53)).unwrap();
        socket.send(&query).unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("an answer");
        buffer[..length].to_vec()
    });
    read(&query, &reply)
}

fn ask_tcp(container: &Container, name: &str) -> (u8, Vec<Vec<u8>>) {
    let query = query(name, A);
    let reply = on(&container.netns, || {
        let mut stream = TcpStream::connect((resolver_address(), 53)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut framed = (query.len() as u16).to_be_bytes().to_vec();
        framed.extend(&query);
        stream.write_all(&framed).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply).unwrap();
        reply
    });
    read(&query, &reply)
}

/// The data of a record with the container's address in the n-th network.
fn address(container: &Container, at: usize) -> Vec<u8> {
    container.attached.sandbox.endpoints[at].ipv4.unwrap().address.octets().to_vec()
}

/// A name server that answers everything with one address, after lying first under a wrong ID.
fn serve_names(netns: &Netns, answer: [u8; 4]) {
    let socket = on(netns, || UdpSocket::bind("0.0.0.0:53")).unwrap();
    let listener = on(netns, || TcpListener::bind("0.0.0.0:53")).unwrap();
    let reply = move |query: &[u8], data: [u8; 4]| {
        let mut bytes = query.to_vec();
        bytes[2] |= 0x80;
        bytes[7] = 1;
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4]);
        bytes.extend(data);
        bytes
    };
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let mut lie = reply(&buffer[..length], [6, 6, 6, 6]);
            lie[0] ^= 0xff;
            socket.send_to(&lie, peer).unwrap();
            socket.send_to(&reply(&buffer[..length], answer), peer).unwrap();
        }
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let reply = reply(&query, answer);
            stream.write_all(&(reply.len() as u16).to_be_bytes()).unwrap();
            stream.write_all(&reply).unwrap();
        }
    });
}

#[test]
fn containers_of_a_network_find_each_other_by_every_name() {
    let Some(world) = World::new() else { return };
    world.create("back");
    let one = world.start(1, &["back"], &[]);
    assert!(one.attached.sandbox.resolver);
    let other = world.start_with(2, &["back"], &[], &["db"]).unwrap();
    let expected = (0, vec![address(&other, 0)]);
    for name in ["c2", "C2", "db", "c2.back", &other.id.short()] {
        assert_eq!(ask(&one, name, A), expected, "{name}");
    }
    assert_eq!(ask_tcp(&one, "db"), expected);
    assert_eq!(ask(&one, "c2", AAAA), (0, vec![]));
    let name = other.attached.sandbox.endpoints[0].ipv4.unwrap().address.octets();
    let reversed = name.iter().rev().map(u8::to_string).collect::<Vec<_>>().join(".");
    let pointer = ask(&one, &format!("{reversed}.in-addr.arpa"), PTR);
    assert_eq!(pointer, (0, vec![b"\x02c2\x04back\0".to_vec()]));
}

#[test]
fn names_follow_containers_that_come_go_and_are_renamed() {
    let Some(world) = World::new() else { return };
    serve_names(&world.outside, [9, 9, 9, 9]);
    world.create("back");
    let elsewhere = (0, vec![vec![9, 9, 9, 9]]);
    let one = world.start(1, &["back"], &[]);
    assert_eq!(ask(&one, "c2", A), elsewhere);
    let other = world.start(2, &["back"], &[]);
    assert_eq!(ask(&one, "c2", A), (0, vec![address(&other, 0)]));
    let networks = world.networks();
    on(&world.machine, || networks.rename(&other.id, "new")).unwrap();
    assert_eq!(ask(&one, "new", A), (0, vec![address(&other, 0)]));
    assert_eq!(ask(&one, "c2", A), elsewhere);
    world.stop(&other);
    assert_eq!(ask(&one, "new", A), elsewhere);
}

#[test]
fn a_shared_alias_names_all_that_have_it() {
    let Some(world) = World::new() else { return };
    world.create("back");
    let all: Vec<Container> =
        (1..=3).map(|number| world.start_with(number, &["back"], &[], &["all"]).unwrap()).collect();
    let (code, mut found) = ask(&all[0], "all", A);
    found.sort();
    assert_eq!((code, found), (0, all.iter().map(|one| address(one, 0)).collect()));
}

#[test]
fn names_of_a_network_are_known_only_in_it() {
    let Some(world) = World::new() else { return };
    serve_names(&world.outside, [9, 9, 9, 9]);
    world.create("front");
    world.create("back");
    let front = world.start(1, &["front"], &[]);
    let _back = world.start(2, &["back"], &[]);
    assert_eq!(ask(&front, "c2", A), (0, vec![vec![9, 9, 9, 9]]));
}

#[test]
fn other_names_are_asked_for_outside_and_only_the_true_answer_counts() {
    let Some(world) = World::new() else { return };
    serve_names(&world.outside, [9, 9, 9, 9]);
    world.create("back");
    let one = world.start(1, &["back"], &[]);
    assert_eq!(ask(&one, "example.com", A), (0, vec![vec![9, 9, 9, 9]]));
    assert_eq!(ask_tcp(&one, "example.com"), (0, vec![vec![9, 9, 9, 9]]));
}

#[test]
fn an_internal_network_has_its_own_names_and_no_others() {
    let Some(world) = World::new() else { return };
    serve_names(&world.outside, [9, 9, 9, 9]);
    let new = NewNetwork { name: "in".to_owned(), internal: true, ..NewNetwork::default() };
    world.create_as(new);
    let one = world.start(1, &["in"], &[]);
    let other = world.start(2, &["in"], &[]);
    assert_eq!(ask(&one, "c2", A), (0, vec![address(&other, 0)]));
    assert_eq!(ask(&one, "secrets.example.com", A), (2, vec![]));
}

#[test]
fn a_server_that_is_not_there_is_told_as_a_failure() {
    let Some(world) = World::new() else { return };
    world.create("back");
    let one = world.start(1, &["back"], &[]);
    assert_eq!(ask(&one, "example.com", A), (2, vec![]));
}

#[test]
fn the_default_bridge_has_no_names_and_needs_no_helper() {
    let Some(world) = World::new() else { return };
    let one = world.start(1, &["bridge"], &[]);
    assert!(!one.attached.sandbox.resolver);
    assert_eq!(one.attached.sandbox.helpers, []);
}

#[test]
fn the_containers_own_port_53_stays_free() {
    let Some(world) = World::new() else { return };
    world.create("back");
    let one = world.start(1, &["back"], &[]);
    let bound = on(&one.netns, || UdpSocket::bind("0.0.0.0:53"));
    assert!(bound.is_ok(), "{bound:?}");
    assert_eq!(ask(&one, "c1", A), (0, vec![address(&one, 0)]));
}

#[test]
fn a_container_that_is_connected_later_asks_as_well() {
    let Some(world) = World::new() else { return };
    world.create("back");
    let one = world.start(1, &["bridge"], &[]);
    let other = world.start(2, &["back"], &[]);
    let networks = open(world.directory.path(), &world.machine);
    let request = varve_types::container::NetworkRequest::default();
    let connect = || networks.connect(&one.id, &one.netns, ("back", &request), "host");
    let connected = on(&world.machine, connect).unwrap();
    assert!(connected.sandbox.resolver);
    assert_eq!(ask(&one, "c2", A), (0, vec![address(&other, 0)]));
    let own = connected.sandbox.endpoints[1].ipv4.unwrap().address.octets().to_vec();
    assert_eq!(ask(&other, "host", A), (0, vec![own]));
    assert!(output(&one.netns, "ip route").starts_with("default via 10.83.0.1"));
}
