//! Tokens, passwords, and the places they may go.

use std::sync::atomic::{AtomicU32, Ordering};

use varve_distribution::{client::Access, credentials::Credential};

use crate::{
    server::{Reply, Request, Server},
    support::*,
};

/// A registry that wants a token of this service.
fn registry(realm: String, good: &'static str) -> Server {
    Server::start(move |request| {
        if request.header("authorization") == Some(good) {
            return Reply::ok(manifest());
        }
        Reply::status(401)
            .header("WWW-Authenticate", format!("Bearer realm=\"{realm}\",service=\"reg\""))
            .body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
    })
}

#[test]
fn a_token_is_bought_once_for_each_scope() {
    let service = Server::start(|_| Reply::ok(r#"{"token": "good", "expires_in": 300}"#));
    let server = registry(service.url("/token"), "Bearer good");
    let client = client_with(Default::default(), alice(&[&server.domain()]), &[]);
    let repository = repository(&server);
    let remote = client.repository(&repository, Access::Pull);
    remote.manifest("1").unwrap();
    remote.manifest("2").unwrap();
    assert_eq!(
        service.lines(),
        ["GET /token?service=reg&scope=repository%3Aapp%3Apull&account=alice&client_id=varve"]
    );
    assert_eq!(service.requests()[0].header("authorization"), Some(ALICE));
    client.repository(&repository, Access::PushPull).manifest("1").unwrap();
    assert_eq!(service.lines().len(), 2);
    assert!(service.lines()[1].contains("scope=repository%3Aapp%3Apull%2Cpush"));
}

#[test]
fn without_credentials_a_token_is_asked_for_anonymously() {
    let service = Server::start(|_| Reply::ok(r#"{"access_token": "good"}"#));
    let server = registry(service.url("/token"), "Bearer good");
    let client = client();
    client.repository(&repository(&server), Access::Pull).manifest("1").unwrap();
    assert_eq!(service.requests()[0].header("authorization"), None);
    assert_eq!(service.lines(), ["GET /token?service=reg&scope=repository%3Aapp%3Apull"]);
}

#[test]
fn an_identity_token_is_exchanged_by_post() {
    let service = Server::start(|_| Reply::ok(r#"{"access_token": "good"}"#));
    let server = registry(service.url("/token"), "Bearer good");
    let kept = credentials(&[&server.domain()], r#"{"identitytoken": "id/1"}"#);
    let client = client_with(Default::default(), kept, &[]);
    client.repository(&repository(&server), Access::Pull).manifest("1").unwrap();
    let request = &service.requests()[0];
    assert_eq!(request.line(), "POST /token");
    assert_eq!(
        String::from_utf8_lossy(&request.body),
        "grant_type=refresh_token&service=reg&client_id=varve&scope=repository%3Aapp%3Apull&refresh_token=id%2F1"
    );
}

#[test]
fn credentials_are_not_sent_to_a_realm_on_a_foreign_host() {
    let server = registry("http://auth.example.com/token".to_owned(), "Bearer good");
    let client = client_with(Default::default(), alice(&[&server.domain()]), &[]);
    let error = remote(&client, &server).manifest("1").unwrap_err().to_string();
    assert!(error.contains("credentials are not sent to the token realm"), "{error}");
    assert!(error.contains("auth.example.com") && !error.contains("secret"), "{error}");
}

#[test]
fn a_challenge_that_comes_from_elsewhere_is_not_believed() {
    let evil =
        Server::start(|_| Reply::status(401).header("WWW-Authenticate", "Basic realm=\"give\""));
    let target = evil.url("/x");
    let server = Server::start(move |request| match request.target.as_str() {
        "/v2/" => Reply::ok(""),
        _ => Reply::redirect(target.clone()),
    });
    let client = client_with(Default::default(), alice(&[&server.domain(), &evil.domain()]), &[]);
    let error = remote(&client, &server).manifest("1").unwrap_err();
    assert_eq!(error.to_string(), "unauthorized: authentication required");
    assert!(evil.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn a_registry_that_refuses_every_token_is_asked_twice_at_most() {
    let service = Server::start(|_| Reply::ok(r#"{"token": "good"}"#));
    let server = registry(service.url("/token"), "Bearer other");
    let error = remote(&client(), &server).manifest("1").unwrap_err();
    assert_eq!(error.to_string(), "unauthorized: authentication required");
    assert_eq!(server.lines(), ["GET /v2/app/manifests/1"]);

    let wrong = Server::start(|_| Reply::status(401).header("WWW-Authenticate", "Basic realm=x"));
    let client = client_with(Default::default(), alice(&[&wrong.domain()]), &[]);
    remote(&client, &wrong).manifest("1").unwrap_err();
    assert!(wrong.lines().len() <= 2, "{:?}", wrong.lines());
}

#[test]
fn a_token_that_has_become_void_is_replaced() {
    let count = AtomicU32::new(0);
    let service = Server::start(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        Reply::ok(format!(r#"{{"token": "t{number}", "expires_in": 300}}"#))
    });
    let realm = service.url("/token");
    let void = AtomicU32::new(0);
    let server = Server::start(move |request| {
        let good = match request.header("authorization") {
            Some("Bearer t0") => void.fetch_add(1, Ordering::Relaxed) == 0,
            Some("Bearer t1") => true,
            _ => false,
        };
        if good {
            return Reply::ok(manifest());
        }
        let challenge = format!("Bearer realm=\"{realm}\",error=\"invalid_token\"");
        Reply::status(401).header("WWW-Authenticate", challenge)
    });
    let client = client();
    let remote = remote(&client, &server);
    remote.manifest("1").unwrap();
    remote.manifest("2").unwrap();
    assert_eq!(service.lines().len(), 2);
}

#[test]
fn a_registry_that_wants_a_password_and_gets_none_is_told_so_without_a_request() {
    let server = Server::start(|_| Reply::status(401).header("WWW-Authenticate", "Basic realm=x"));
    let error = remote(&client(), &server).manifest("latest").unwrap_err();
    let url = server.url("/v2/app/manifests/latest");
    assert_eq!(error.to_string(), format!("Head \"{url}\": no basic auth credentials"));
    assert!(error.wants_credentials());
    assert_eq!(server.lines(), [""; 0]);
}

#[test]
fn insufficient_scope_means_denied() {
    let service = Server::start(|_| Reply::ok(r#"{"token": "t"}"#));
    let realm = service.url("/token");
    let server = Server::start(move |request| {
        let error = if request.header("authorization").is_some() {
            ",error=\"insufficient_scope\""
        } else {
            ""
        };
        Reply::status(401)
            .header("WWW-Authenticate", format!("Bearer realm=\"{realm}\"{error}"))
            .body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":[]}]}"#)
    });
    let error = remote(&client(), &server).manifest("1").unwrap_err();
    assert_eq!(error.code(), Some("denied"));
    assert_eq!(
        error.to_string(),
        "errors:\ndenied: requested access to the resource is denied\nunauthorized: authentication required\n"
    );
}

fn password() -> Credential {
    Credential::Password { username: "alice".into(), password: "secret".into() }
}

#[test]
fn a_login_is_tried_at_the_registry() {
    let server = Server::start(|request: &Request| match request.header("authorization") {
        Some(ALICE) => Reply::ok("{}"),
        _ => Reply::status(401).header("WWW-Authenticate", "Basic realm=x"),
    });
    client().login(&server.domain(), &password()).unwrap();
    let wrong = Credential::Password { username: "alice".into(), password: "x".into() };
    let error = client().login(&server.domain(), &wrong).unwrap_err().to_string();
    let url = server.url("/v2/");
    assert_eq!(error, format!("login attempt to {url} failed with status: 401 Unauthorized"));
}

#[test]
fn a_login_at_a_token_service_may_give_an_identity_token() {
    let service = Server::start(|request: &Request| match request.header("authorization") {
        Some(ALICE) => Reply::ok(r#"{"token": "good", "refresh_token": "id"}"#),
        _ => Reply::status(401).body(r#"{"details": "incorrect username or password"}"#),
    });
    let server = registry(service.url("/token"), "Bearer good");
    let domain = server.domain();
    let config = format!(r#"{{"registries": {{"docker.io": {{"endpoint": "http://{domain}"}}}}}}"#);
    let client = client_with(hosts(&config), alice(&[]), &[]);
    let kept = client.login("docker.io", &password()).unwrap();
    assert_eq!(kept, Credential::IdentityToken { username: "alice".into(), token: "id".into() });
    assert!(service.lines()[0].contains("offline_token=true"));
    let wrong = Credential::Password { username: "alice".into(), password: "x".into() };
    assert_eq!(
        client.login("docker.io", &wrong).unwrap_err().to_string(),
        "Get \"https://registry-1.docker.io/v2/\": unauthorized: incorrect username or password"
    );
}
