//! Processes that are run beside the command: their streams are their client's, and their end
//! does not touch the container.

use varve_runtime::attach::{Attach, Attached, Pace};

use crate::world::{Container, eventually, everything, listen};

const MEBIBYTE: usize = 1 << 20;

fn running() -> Container {
    let mut container = Container::shell("exec sleep 100");
    container.start();
    container
}

#[test]
fn a_client_hears_its_own_process_and_its_exit_code() {
    let container = running();
    let mut other = container.attach(Pace::Wait);
    let line = "cat; echo err >&2; exit 7";
    let mut client = container.exec(line, false, Some(everything(Pace::Wait)));
    client.input(b"in\n").unwrap();
    client.close_input().unwrap();
    let (out, err, exit) = listen(&mut client);
    assert_eq!((out.as_str(), err.as_str(), exit.exit_code), ("in\n", "err\n", 7));
    assert!(container.state().execs.is_empty());
    // The log and the clients of the container heard nothing of it.
    assert_eq!(container.log(), "");
    container.signal(9);
    assert_eq!(listen(&mut other).0, "");
}

#[test]
fn ten_megabytes_go_through_a_process_that_echoes_them() {
    let container = running();
    let mut client = container.exec("cat", false, Some(everything(Pace::Wait)));
    client.unblock().unwrap();
    let bytes: Vec<u8> = (0..10 * MEBIBYTE).map(|at| (at % 251) as u8).collect();
    client.input(&bytes).unwrap();
    client.close_input().unwrap();
    let mut out = Vec::new();
    let exit = 'all: loop {
        let mut events = rustix::event::PollFlags::IN;
        if client.unsent_bytes() > 0 {
            events |= rustix::event::PollFlags::OUT;
        }
        rustix::event::poll(&mut [rustix::event::PollFd::new(&client, events)], None).unwrap();
        client.flush().unwrap();
        for thing in client.arrived().unwrap() {
            match thing {
                Attached::Stdout(bytes) => out.extend(bytes),
                Attached::Stderr(bytes) => panic!("{bytes:?}"),
                Attached::Exit(exit) => break 'all exit,
            }
        }
    };
    assert_eq!(exit.exit_code, 0);
    assert!(out == bytes);
}

#[test]
fn a_process_whose_client_is_gone_goes_on_and_reads_the_end_of_its_input() {
    let container = running();
    let mark = container.config.dir.join("mark");
    let line = format!("cat; head -c {MEBIBYTE} /dev/zero; echo > {}", mark.display());
    drop(container.exec(&line, false, Some(everything(Pace::Wait))));
    eventually(|| mark.exists());
    eventually(|| container.state().execs.is_empty());
}

#[test]
fn the_end_of_the_container_ends_it_and_says_so() {
    let mut container = running();
    let attach = Attach { stdin: false, ..everything(Pace::Wait) };
    let mut client = container.exec("echo begun; exec sleep 100", false, Some(attach));
    assert_eq!(client.hear().unwrap(), Attached::Stdout(b"begun\n".to_vec()));
    container.signal(15);
    let (out, _, exit) = listen(&mut client);
    assert_eq!((out.as_str(), exit.exit_code), ("", 137));
    container.end();
    container.expect_clean();
}

#[test]
fn it_may_have_a_terminal_of_its_own() {
    let container = running();
    let mut client =
        container.exec("tty; echo err >&2; exit 3", true, Some(everything(Pace::Wait)));
    assert!(client.granted().tty);
    let (out, err, exit) = listen(&mut client);
    assert!(out.starts_with("/dev/pts/") && out.ends_with("\r\nerr\r\n"), "{out:?}");
    assert_eq!((err.as_str(), exit.exit_code), ("", 3));
}

#[test]
fn a_starter_that_attaches_hears_the_quickest_command() {
    for _ in 0..20 {
        let mut container = Container::shell("echo out; echo err >&2; exit 4");
        let mut client = container.start_attached();
        let (out, err, exit) = listen(&mut client);
        assert_eq!((out.as_str(), err.as_str(), exit.exit_code), ("out\n", "err\n", 4));
        container.end();
    }
}

#[test]
fn a_starter_that_attaches_gives_input_that_ends_with_it() {
    let mut container = Container::new(&["cat"], |config| {
        (config.open_stdin, config.stdin_once) = (true, true);
    });
    let mut client = container.start_attached();
    client.input(b"in\n").unwrap();
    drop(client);
    assert_eq!(container.end().exit_code, 0);
    assert_eq!(container.log(), "in\n");
}
