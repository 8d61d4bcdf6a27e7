//! What is said when a registry refuses, fails or is not there, and what is tried again.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use varve_distribution::client::{Access, Client};
use varve_types::{Ctx, Digest, Kind, Repository};

use crate::{
    server::{Reply, Server},
    support::*,
};

/// Answers the version check, then with these replies in turn, the last one for ever.
fn replying(replies: Vec<Reply>) -> Server {
    let count = AtomicU32::new(0);
    Server::start(move |request| {
        if request.target.as_str() == "/v2/" {
            Reply::ok("")
        } else {
            let number = count.fetch_add(1, Ordering::Relaxed) as usize;
            replies[number.min(replies.len() - 1)].clone()
        }
    })
}

/// The error for a manifest `1` that is answered so.
#[track_caller]
fn check(reply: Reply, expected: &str) {
    let server = replying(vec![reply]);
    let error = remote(&client(), &server).manifest("1").unwrap_err().to_string();
    assert_eq!(error.replace(&server.domain(), "HOST"), expected);
}

#[test]
fn refusals_are_worded_as_docker_words_them() {
    let body =
        |code, message| format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
    check(
        Reply::status(404).body(body("MANIFEST_UNKNOWN", "manifest unknown")),
        "manifest unknown: manifest unknown",
    );
    check(
        Reply::status(429).body(body("TOOMANYREQUESTS", "You have reached your limit.")),
        "toomanyrequests: You have reached your limit.",
    );
    check(
        Reply::status(403).body(body("DENIED", "requested access to the resource is denied")),
        "denied: requested access to the resource is denied",
    );
    check(Reply::status(429).body(r#"{"details":"slow down"}"#), "toomanyrequests: slow down");
    check(Reply::status(405).body(body("", "Method not allowed")), "unknown: Method not allowed");
    check(Reply::status(500), "received unexpected HTTP status: 500 Internal Server Error");
    check(
        Reply::ok("<html>").header("Content-Type", "text/html"),
        "error unmarshalling content: invalid character '<' looking for beginning of value",
    );
    check(
        Reply::status(404).body("404 page not found\n"),
        "error parsing HTTP 404 response body: invalid character 'p' after top-level value: \"404 page not found\\n\"",
    );
    check(Reply::status(401), "unauthorized: authentication required");
}

#[test]
fn what_a_registry_says_cannot_drive_a_terminal() {
    check(
        Reply::status(404).body("{\"errors\":[{\"code\":\"X\",\"message\":\"\\u001b[31mred\"}]}"),
        "x: \\x1b[31mred",
    );
}

#[test]
fn an_error_page_without_end_is_read_to_its_limit_only() {
    let server = replying(vec![Reply::status(404).body("x".repeat(10_000)).endless()]);
    remote(&client(), &server).manifest("1").unwrap_err();
}

#[test]
fn a_manifest_must_have_the_digest_that_was_asked_for_or_announced() {
    let asked = Digest::of(b"asked");
    let server = replying(vec![Reply::ok(manifest())]);
    let error = remote(&client(), &server).manifest(&asked.to_string()).unwrap_err();
    assert_eq!(error.to_string(), format!("manifest verification failed for digest {asked}"));
    assert_eq!(error.kind(), Kind::Corrupt);
    check(
        Reply::ok(manifest()).header("Docker-Content-Digest", asked.to_string()),
        &format!("manifest verification failed for digest {asked}"),
    );
    let server = replying(vec![Reply::ok(manifest())]);
    let (kind, descriptor) = remote(&client(), &server).manifest("1").unwrap();
    assert_eq!(kind.bytes(), manifest());
    assert_eq!(descriptor.digest, Digest::of(&manifest()));
}

#[test]
fn a_manifest_has_a_largest_size_whether_announced_or_not() {
    let text = "manifest of registry HOST is larger than the limit of 4194304";
    check(Reply::ok("").cut(5 << 20), text);
    check(Reply::ok(vec![b' '; 1 << 20]).endless(), text);
}

#[test]
fn passing_failures_are_tried_again_with_growing_pauses() {
    let server = replying(vec![
        Reply::status(503),
        Reply::hang_up(),
        Reply::status(500),
        Reply::ok(manifest()),
    ]);
    let (policy, pauses) = policy();
    let client =
        Client::new(&Ctx::for_test(), Default::default(), Default::default()).with_policy(policy);
    remote(&client, &server).manifest("1").unwrap();
    let pauses = pauses.lock().unwrap().clone();
    assert_eq!(pauses, [100, 200, 400].map(Duration::from_millis));
}

#[test]
fn retry_after_is_obeyed_within_reason() {
    let server = replying(vec![
        Reply::status(429).header("Retry-After", "7"),
        Reply::status(503).header("Retry-After", "2"),
        Reply::ok(manifest()),
    ]);
    let (policy, pauses) = policy();
    let client =
        Client::new(&Ctx::for_test(), Default::default(), Default::default()).with_policy(policy);
    remote(&client, &server).manifest("1").unwrap();
    assert_eq!(*pauses.lock().unwrap(), [7, 2].map(Duration::from_secs));

    let server = replying(vec![Reply::status(429).header("Retry-After", "86400")]);
    remote(&client, &server).manifest("1").unwrap_err();
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn nobody_there_is_said_as_docker_says_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let domain = listener.local_addr().unwrap().to_string();
    drop(listener);
    let repository = Repository::parse(&format!("{domain}/app")).unwrap();
    let client = client();
    let error = client.repository(&repository, Access::Pull).manifest("1").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Get \"http://{domain}/v2/\": dial tcp {domain}: connect: connection refused")
    );
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[test]
fn a_name_that_nobody_knows_is_said_so() {
    let repository = Repository::parse("nohost.invalid/app").unwrap();
    let client = client();
    let error = client.repository(&repository, Access::Pull).manifest("1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Get \"https://nohost.invalid/v2/\": dial tcp: lookup nohost.invalid: no such host"
    );
}

#[test]
fn an_answer_that_is_not_http_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let domain = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            use std::io::Write as _;
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9\r\n");
        }
    });
    let repository = Repository::parse(&format!("{domain}/app")).unwrap();
    let client = client();
    let error = client.repository(&repository, Access::Pull).manifest("1").unwrap_err();
    assert!(error.to_string().starts_with(&format!("Get \"http://{domain}/v2/\": ")), "{error}");
}

#[test]
fn one_client_serves_many_threads() {
    let server = Arc::new(replying(vec![Reply::ok(manifest())]));
    let client = client();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| remote(&client, &server).manifest("1").unwrap());
        }
    });
    let checks = server.requests().iter().filter(|request| request.target == "/v2/").count();
    assert_eq!(checks, 1);
}

#[test]
fn requests_say_who_asks_and_want_the_bytes_as_they_are() {
    let server = replying(vec![Reply::ok(manifest())]);
    remote(&client(), &server).manifest("1").unwrap();
    for request in server.requests() {
        let agent = request.header("user-agent").unwrap();
        assert!(agent.starts_with("varve/"), "{agent}");
        assert_eq!(request.header("accept-encoding"), Some("identity"));
    }
}
