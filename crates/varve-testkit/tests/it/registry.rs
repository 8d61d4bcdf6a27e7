//! The registry on loopback.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use varve_testkit::{Fault, Image, On, Registry, guard};
use varve_types::Digest;

/// Sends one request on a new connection and returns everything that comes back.
fn raw(registry: &Registry, request: &str) -> String {
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(registry: &Registry, path: &str, headers: &str) -> String {
    raw(registry, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"))
}

/// A registry with one blob of `hello`, and the path of the blob.
fn hello() -> (Registry, String) {
    let registry = Registry::start();
    let name = varve_distribution::server::RepositoryName::parse("app").unwrap();
    let digest = registry.storage().put_blob(&name, b"hello").unwrap();
    (registry, format!("/v2/app/blobs/{digest}"))
}

#[test]
fn a_connection_takes_many_requests_with_bodies_of_both_kinds() {
    let registry = Registry::start();
    let digest = Digest::of(b"hello");
    let answer = raw(
        &registry,
        &format!(
            "POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\
             POST /v2/b/blobs/uploads/?digest={digest} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n\
             GET /v2/b/blobs/{digest} HTTP/1.1\r\n\r\n"
        ),
    );
    assert_eq!(answer.matches("201 Created").count(), 2, "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
    let log = registry.log();
    assert_eq!(log.iter().map(|entry| entry.bytes_received).collect::<Vec<_>>(), [5, 5, 0]);
    assert_eq!(log[2].bytes_sent, 5);
}

#[test]
fn faults_strike_once_and_are_seen_in_the_log() {
    let (registry, blob) = hello();
    registry.cut_blob_after(2);
    let cut = get(&registry, &blob, "");
    assert!(cut.contains("content-length: 5") && cut.ends_with("\r\n\r\nhe"), "{cut}");
    assert!(get(&registry, &blob, "").ends_with("\r\n\r\nhello"));
    assert_eq!(registry.log().iter().map(|entry| entry.bytes_sent).collect::<Vec<_>>(), [2, 5]);
}

#[test]
fn each_fault_does_what_it_says() {
    let (registry, blob) = hello();
    let with = |fault: Fault, headers: &str| {
        registry.fail(On::Blob, fault);
        get(&registry, &blob, headers)
    };
    assert!(with(Fault::Corrupt, "").ends_with("\r\n\r\nhelln"));
    assert!(with(Fault::Shorten(4), "").ends_with("\r\n\r\nhell"));
    assert!(with(Fault::Lengthen(b"!".to_vec()), "").contains("content-length: 6"));
    assert!(with(Fault::IgnoreRange, "Range: bytes=2-\r\n").starts_with("HTTP/1.1 200"));
    let early = with(Fault::WrongRange(1), "Range: bytes=2-\r\n");
    assert!(early.contains("content-range: bytes 1-4/5"), "{early}");
    assert!(with(Fault::status(503), "").starts_with("HTTP/1.1 503"));
    assert!(with(Fault::too_many_requests(7), "").contains("retry-after: 7"));
    assert!(with(Fault::Hangup, "").is_empty());
    let redirect = with(Fault::Redirect("http://127.0.0.2:1".to_owned()), "");
    assert!(redirect.contains("location: http://127.0.0.2:1/v2/app/blobs/"), "{redirect}");
    let begin = Instant::now();
    with(Fault::Delay(Duration::from_millis(50)), "");
    assert!(begin.elapsed() >= Duration::from_millis(50));
}

#[test]
fn an_upload_cut_by_a_fault_keeps_what_came() {
    let registry = Registry::start();
    let begun = raw(&registry, "POST /v2/app/blobs/uploads/ HTTP/1.1\r\n\r\n");
    let location = begun.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    registry.fail(On::UploadPatch, Fault::CutRequest(3));
    let patch = format!("PATCH {location} HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(raw(&registry, &patch), "");
    assert!(get(&registry, location, "").contains("range: 0-2\r\n"));
}

#[test]
fn bearer_tokens_are_asked_for_given_and_expire() {
    let registry = Registry::builder().bearer("alice", "secret").start();
    let refused = get(&registry, "/v2/team/app/tags/list", "");
    let challenge = format!(
        "Bearer realm=\"{}/token\",service=\"varve-test\",scope=\"repository:team/app:pull\"",
        registry.origin()
    );
    assert!(refused.contains(&challenge), "{refused}");
    assert!(get(&registry, "/token", "").starts_with("HTTP/1.1 401"));
    let basic = "Authorization: Basic YWxpY2U6c2VjcmV0\r\n";
    assert!(get(&registry, "/token", basic).contains("\"token\":\"token-1\""));
    let bearer = "Authorization: Bearer token-1\r\n";
    assert!(get(&registry, "/v2/", bearer).starts_with("HTTP/1.1 200"));
    registry.expire_tokens();
    assert!(get(&registry, "/v2/", bearer).starts_with("HTTP/1.1 401"));
}

#[test]
fn skopeo_pulls_what_was_put_in_over_tls_too() {
    let Some(skopeo) = guard::tool("skopeo") else { return };
    let directory = tempfile::tempdir().unwrap();
    for registry in [Registry::start(), Registry::builder().tls().start()] {
        let image = Image::index(&[Image::seeded(1), Image::seeded(2).platform("linux/arm64")]);
        registry.push("team/app:1", &image);
        let output = Command::new(&skopeo)
            .args(["--insecure-policy", "copy", "--all", "--src-tls-verify=false"])
            .arg(format!("docker://{}/team/app:1", registry.host()))
            .arg("oci:copy:1")
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let index = std::fs::read_to_string(directory.path().join("copy/index.json")).unwrap();
        assert!(index.contains(&image.digest().to_string()));
    }
}
