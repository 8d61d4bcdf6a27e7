//! What HTTP asks for.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use varve_serve::{Error, registry::serve};
use varve_types::{Ctx, Digest};

use crate::client::{Served, options};

#[test]
fn one_connection_takes_many_requests() {
    let served = Served::start();
    let digest = Digest::of(b"hello");
    let mut connection = served.connect();
    let post = format!("POST /v2/app/blobs/uploads/?digest={digest}");
    assert_eq!(connection.ask(&post, b"hello").status, 201);
    let get = format!("GET /v2/app/blobs/{digest}");
    assert_eq!(connection.ask(&get, b"").body, b"hello");
    let part = connection.ask(&format!("{get}\nRange: bytes=1-2"), b"");
    assert_eq!((part.status, part.body.as_slice()), (206, b"el".as_slice()));
    let head = connection.ask(&format!("HEAD /v2/app/blobs/{digest}"), b"");
    assert_eq!(head.header("content-length"), Some("5"));
    assert_eq!(connection.ask("GET /v2/", b"").body, b"{}");
    let log = served.log();
    assert!(log.contains(&format!("{get} 200 sent=5\n")), "{log}");
    assert!(log.contains(&format!("{get} 206 sent=2 range=bytes=1-2\n")), "{log}");
}

/// A client that asks first whether its body is wanted hears `100 Continue` when it is, and
/// nothing of the kind when the request is refused anyway.
#[test]
fn a_body_is_asked_for_only_when_it_is_wanted() {
    let served = Served::start();
    let digest = Digest::of(b"hello");
    let expecting = |target: &str| {
        format!("{target} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    };
    let mut wanted = served.connect();
    wanted.write(expecting(&format!("POST /v2/app/blobs/uploads/?digest={digest}")).as_bytes());
    assert_eq!(wanted.head().status, 100);
    wanted.write(b"hello");
    assert_eq!(wanted.head().status, 201);

    let mut refused = served.connect();
    refused.write(expecting("PUT /v2/APP/manifests/1").as_bytes());
    assert_eq!(refused.head().status, 400);
}

/// The answer to a chunk that is refused reaches a client that is still sending it.
#[test]
fn a_refused_body_does_not_cost_the_answer() {
    let served = Served::start();
    let mut connection = served.connect();
    let begun = connection.ask("POST /v2/app/blobs/uploads/", b"");
    let location = begun.header("location").unwrap().to_owned();
    let patch = format!("PATCH {location}\nContent-Range: 5-8388612");
    assert_eq!(connection.ask(&patch, &vec![0; 8 << 20]).status, 416);
    assert_eq!(connection.ask("PUT /v2/app/manifests/1", &vec![b' '; 8 << 20]).status, 413);
    assert_eq!(connection.ask(&format!("GET {location}"), b"").header("range"), Some("0-0"));
}

#[test]
fn large_bodies_pass_both_ways_unharmed() {
    let served = Served::start();
    let blob: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let digest = Digest::of(&blob);
    let mut connection = served.connect();
    let begun = connection.ask("POST /v2/app/blobs/uploads/", b"");
    let location = begun.header("location").unwrap().to_owned();
    connection.write(
        format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            .as_bytes(),
    );
    for chunk in blob.chunks(100_000) {
        connection.write(format!("{:x}\r\n", chunk.len()).as_bytes());
        connection.write(chunk);
        connection.write(b"\r\n");
    }
    connection.write(b"0\r\n\r\n");
    let patched = connection.head();
    assert_eq!((patched.status, patched.header("range")), (202, Some("0-2999999")));
    assert_eq!(connection.ask(&format!("PUT {location}?digest={digest}"), b"").status, 201);
    assert!(connection.ask(&format!("GET /v2/app/blobs/{digest}"), b"").body == blob);
}

/// What arrived before the client went away is there when it comes back.
#[test]
fn an_upload_goes_on_after_the_connection_broke() {
    let served = Served::start();
    let mut connection = served.connect();
    let begun = connection.ask("POST /v2/app/blobs/uploads/", b"");
    let location = begun.header("location").unwrap().to_owned();
    connection.write(
        format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello ")
            .as_bytes(),
    );
    drop(connection);
    let mut connection = served.connect();
    let deadline = Instant::now() + Duration::from_secs(10);
    while connection.ask(&format!("GET {location}"), b"").header("range") != Some("0-5") {
        assert!(Instant::now() < deadline, "the bytes never arrived");
    }
    let put = format!("PUT {location}?digest={}\nContent-Range: 6-10", Digest::of(b"hello world"));
    assert_eq!(connection.ask(&put, b"world").status, 201);
}

#[test]
fn a_client_that_leaves_is_seen_in_the_log() {
    let served = Served::start();
    let blob = vec![7; 64 << 20];
    let digest = Digest::of(&blob);
    let mut connection = served.connect();
    let post = format!("POST /v2/app/blobs/uploads/?digest={digest}");
    assert_eq!(connection.ask(&post, &blob).status, 201);
    let get = format!("GET /v2/app/blobs/{digest}");
    connection.write(format!("{get} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    connection.head();
    drop(connection);
    let deadline = Instant::now() + Duration::from_secs(10);
    let cut = |line: &str| line.starts_with(&get) && line.ends_with(" cut");
    while !served.log().lines().any(cut) {
        assert!(Instant::now() < deadline, "{}", served.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn foreign_text_in_the_log_drives_no_terminal() {
    let served = Served::start();
    served.connect().ask("GET /v2/\u{9b}31m/tags/list", b"");
    let log = served.log();
    assert!(!log.contains('\u{9b}') && log.ends_with('\n'), "{log:?}");
}

#[test]
fn heads_without_end_are_refused() {
    let served = Served::start();
    let mut connection = served.connect();
    let long = "x".repeat(200 << 10);
    connection.write(format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nX: {long}").as_bytes());
    assert_eq!(connection.head().status, 431);
}

#[test]
fn an_address_in_use_is_said_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&directory.path().join("registry"));
    options.listen = taken.local_addr().unwrap().to_string();
    let error = serve(options, &Ctx::for_test()).unwrap_err();
    assert!(matches!(error, Error::Bind { .. }), "{error}");
    assert_eq!(error.to_string(), format!("cannot listen on {}", taken.local_addr().unwrap()));
}

#[test]
fn a_stopped_server_ends_idle_connections_at_once_and_frees_its_address() {
    let served = Served::start();
    let address = served.running.local_addr();
    let mut connection = served.connect();
    connection.ask("GET /v2/", b"");
    let begin = Instant::now();
    served.running.shutdown();
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(connection.is_closed());
    TcpListener::bind(address).unwrap();
}

#[test]
fn a_request_going_on_when_the_server_stops_is_finished() {
    let served = Served::start();
    let mut connection = served.connect();
    let digest = Digest::of(b"hello");
    connection.write(
        format!(
            "POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        .as_bytes(),
    );
    assert_eq!(connection.head().status, 100);
    let root = served.root();
    let running = served.running;
    std::thread::scope(|scope| {
        scope.spawn(|| running.shutdown());
        std::thread::sleep(Duration::from_millis(50));
        connection.write(b"hello");
        assert_eq!(connection.head().status, 201);
    });
    assert!(fs::exists(root.join("app/blobs/sha256").join(digest.hex())).unwrap());
}
