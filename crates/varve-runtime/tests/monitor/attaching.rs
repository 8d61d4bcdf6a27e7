//! Clients: what they hear, what they send, and what they cannot do to the container.

use varve_runtime::attach::{ClientError, Pace};

use crate::world::{Container, eventually, listen};

const MEBIBYTE: usize = 1 << 20;

#[test]
fn fifty_clients_hear_everything_from_their_coming_to_the_end() {
    let mut container =
        Container::new(&["/bin/sh", "-c", "read a; seq 1 20000; echo bad >&2; exit 6"], |config| {
            config.open_stdin = true;
        });
    container.start();
    let mut clients: Vec<_> = (0..50).map(|_| container.attach(Pace::Wait)).collect();
    clients[0].input(b"go\n").unwrap();
    let expected = (1..=20_000).map(|n| n.to_string()).collect::<Vec<_>>().join("\n") + "\n";
    let listeners: Vec<_> = clients
        .into_iter()
        .map(|mut client| std::thread::spawn(move || listen(&mut client)))
        .collect();
    for listener in listeners {
        let (out, err, exit) = listener.join().unwrap();
        assert!(out == expected);
        assert_eq!((err.as_str(), exit.exit_code), ("bad\n", 6));
    }
    container.end();
    container.expect_clean();
}

#[test]
fn a_client_that_never_reads_loses_itself_and_nothing_else() {
    let line = format!("read a; head -c {} /dev/zero | tr '\\0' x; exit 0", 8 * MEBIBYTE);
    let mut container =
        Container::new(&["/bin/sh", "-c", &line], |config| config.open_stdin = true);
    container.start();
    let mut idle = container.attach(Pace::Drop);
    idle.input(b"go\n").unwrap();
    let state = container.end();
    assert_eq!(state.exit_code, 0);
    assert_eq!(container.log().len(), 8 * MEBIBYTE);
    let heard = std::iter::from_fn(|| Some(idle.hear())).find_map(Result::err).unwrap();
    assert!(matches!(heard, ClientError::TooSlow | ClientError::Gone), "{heard:?}");
}

#[test]
fn a_slow_client_that_is_waited_for_gets_everything() {
    let line = format!("read a; head -c {} /dev/zero | tr '\\0' x; exit 0", 4 * MEBIBYTE);
    let mut container =
        Container::new(&["/bin/sh", "-c", &line], |config| config.open_stdin = true);
    container.start();
    let mut client = container.attach(Pace::Wait);
    client.input(b"go\n").unwrap();
    // It does not read until the container waits for it.
    eventually(|| container.log().len() > MEBIBYTE / 8);
    let (out, _, _) = listen(&mut client);
    assert_eq!(out.len(), 4 * MEBIBYTE);
}

#[test]
fn input_closes_after_the_first_client_only_when_asked_to() {
    let mut container = Container::new(&["cat"], |config| {
        (config.open_stdin, config.stdin_once) = (true, true);
    });
    container.start();
    let mut client = container.attach(Pace::Wait);
    client.input(b"in\n").unwrap();
    client.close_input().unwrap();
    let (out, _, exit) = listen(&mut client);
    assert_eq!((out.as_str(), exit.exit_code), ("in\n", 0));

    let mut container = Container::new(&["cat"], |config| config.open_stdin = true);
    container.start();
    let mut first = container.attach(Pace::Wait);
    first.input(b"one\n").unwrap();
    first.close_input().unwrap();
    eventually(|| container.log() == "one\n");
    drop(first);
    let mut second = container.attach(Pace::Wait);
    second.input(b"two\n").unwrap();
    eventually(|| container.log() == "one\ntwo\n");
    container.signal(9);
    assert_eq!(container.end().exit_code, 137);
}

#[test]
fn much_input_arrives_whole_at_a_command_that_reads_slowly() {
    let mut container = Container::new(&["/bin/sh", "-c", "sleep 0.3; wc -c"], |config| {
        (config.open_stdin, config.stdin_once) = (true, true);
    });
    container.start();
    let mut client = container.attach(Pace::Wait);
    client.input(&vec![b'x'; 5 * MEBIBYTE]).unwrap();
    client.close_input().unwrap();
    let (out, _, _) = listen(&mut client);
    assert_eq!(out.trim(), (5 * MEBIBYTE).to_string());
}

#[test]
fn nonsense_on_the_socket_ends_that_connection_only() {
    use std::io::{Read as _, Write as _};
    let mut container = Container::shell("exec sleep 100");
    container.start();
    for nonsense in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[16, 0, 0, 0, 0, 0, 0, 2, b'{', b'}'], &[0; 64]]
    {
        let (_dir, path) = varve_runtime::attach::socket(&container.config.run_dir).unwrap();
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        stream.write_all(nonsense).unwrap();
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    container.signal(9);
    assert_eq!(container.end().exit_code, 137);
}
