//! Mirrors, and endpoints that stand in for a registry.

use varve_distribution::client::Access;
use varve_types::Repository;

use crate::{
    server::{Reply, Request, Server},
    support::*,
};

/// docker.io at `registry`, with a mirror.
fn config(registry: &Server, mirror: &str) -> String {
    let endpoint = registry.url("");
    format!(
        r#"{{"registry-mirrors": ["{mirror}"], "registries": {{"docker.io": {{"endpoint": "{endpoint}"}}}}}}"#
    )
}

fn busybox() -> Repository {
    Repository::parse("busybox").unwrap()
}

#[test]
fn a_mirror_is_asked_first_and_gets_no_credentials_of_the_registry() {
    let mirror = Server::start(|request: &Request| match request.header("authorization") {
        None => Reply::ok(manifest()),
        Some(_) => Reply::status(400),
    });
    let registry = Server::start(|_| Reply::status(500));
    let client =
        client_with(hosts(&config(&registry, &mirror.url(""))), alice(&["docker.io"]), &[]);
    client.repository(&busybox(), Access::Pull).manifest("1").unwrap();
    assert_eq!(mirror.lines(), ["GET /v2/library/busybox/manifests/1"]);
    assert_eq!(registry.requests().len(), 0);
}

#[test]
fn a_mirror_that_lacks_something_or_fails_is_passed_over() {
    for status in [404, 500, 403] {
        let mirror = Server::start(move |_| Reply::status(status));
        let registry = Server::start(|request| match request.target.as_str() {
            "/v2/" => Reply::ok(""),
            _ => Reply::ok(manifest()),
        });
        let client =
            client_with(hosts(&config(&registry, &mirror.url(""))), Default::default(), &[]);
        let remote = client.repository(&busybox(), Access::Pull);
        remote.manifest("1").unwrap();
        remote.manifest("2").unwrap();
        assert_eq!(registry.lines().len(), 2);
    }
}

#[test]
fn a_blob_that_a_mirror_began_is_finished_by_the_registry() {
    let layer = content(1000);
    let (shown, rest) = (layer.clone(), layer.clone());
    let mirror = Server::start(move |request| match request.target.as_str() {
        "/v2/" => Reply::ok(""),
        _ if request.header("range").is_some() => Reply::hang_up(),
        _ => Reply::ok(&shown[..300]).cut(1000),
    });
    let registry = Server::start(move |request| match request.target.as_str() {
        "/v2/" => Reply::ok(""),
        _ => Reply::status(206)
            .header("Content-Range", format!("bytes {}-999/1000", range(request)))
            .body(&rest[range(request)..]),
    });
    let client = client_with(hosts(&config(&registry, &mirror.url(""))), Default::default(), &[]);
    let remote = client.repository(&busybox(), Access::Pull);
    assert_eq!(fetch(&remote, &blob(&layer), 0).unwrap(), layer);
    let requests = registry.requests();
    assert_eq!(requests.last().unwrap().header("range"), Some("bytes=300-"));
}

#[test]
fn a_mirror_that_is_not_there_does_not_hide_the_registrys_answer() {
    let registry = Server::start(|request| match request.target.as_str() {
        "/v2/" => Reply::ok(""),
        _ => Reply::status(404)
            .body(r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
    });
    let client =
        client_with(hosts(&config(&registry, "http://127.0.0.1:1")), Default::default(), &[]);
    let error = client.repository(&busybox(), Access::Pull).manifest("1").unwrap_err();
    assert_eq!(error.to_string(), "manifest unknown: manifest unknown");
}

#[test]
fn a_push_goes_past_the_mirrors() {
    let mirror = Server::start(|_| Reply::status(201));
    let registry = Server::start(|_| Reply::status(201));
    let client = client_with(hosts(&config(&registry, &mirror.url(""))), Default::default(), &[]);
    let remote = client.repository(&busybox(), Access::PushPull);
    remote.put_manifest("1", "x/y", &manifest()).unwrap();
    assert_eq!(mirror.requests().len(), 0);
    assert_eq!(registry.lines(), ["PUT /v2/library/busybox/manifests/1"]);
}

#[test]
fn errors_show_the_registry_and_not_what_stands_in_for_it() {
    let registry =
        Server::start(|_| Reply::status(401).header("WWW-Authenticate", "Basic realm=x"));
    let client =
        client_with(hosts(&config(&registry, "http://127.0.0.1:1")), Default::default(), &[]);
    let error = client.repository(&busybox(), Access::PushPull).manifest("1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Head \"https://registry-1.docker.io/v2/library/busybox/manifests/1\": no basic auth credentials"
    );
}
