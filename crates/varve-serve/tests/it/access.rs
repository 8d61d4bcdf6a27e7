//! Passwords and TLS.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use varve_serve::{Error, registry::serve};
use varve_types::Ctx;

use crate::client::{Served, options};

#[test]
fn only_users_of_the_password_file_are_let_in() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("htpasswd");
    let line =
        |user: &str, password: &str| format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap());
    fs::write(&file, line("alice", "secret")).unwrap();
    let served = Served::with(|options| options.htpasswd = Some(file.clone()));
    let mut connection = served.connect();
    let mut ask = |user: &str, password: &str| {
        let basic = STANDARD.encode(format!("{user}:{password}"));
        connection.ask(&format!("GET /v2/\nAuthorization: Basic {basic}"), b"").status
    };
    assert_eq!(ask("alice", "secret"), 200);
    assert_eq!(ask("alice", "secret"), 200);
    assert_eq!(ask("alice", "wrong"), 401);
    assert_eq!(ask("bob", "secret"), 401);
    // Who is added later is let in, who is removed is not, without a restart.
    fs::write(&file, line("bob", "builder")).unwrap();
    assert_eq!(ask("bob", "builder"), 200);
    assert_eq!(ask("alice", "secret"), 401);

    let refused = served.connect().ask("GET /v2/app/tags/list", b"");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"Registry Realm\""));
    let body = String::from_utf8(refused.body).unwrap();
    assert!(body.contains(r#""code":"UNAUTHORIZED","message":"authentication required""#));
}

#[test]
fn what_cannot_be_served_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let (root, file) = (directory.path().join("registry"), directory.path().join("file"));
    fs::write(&file, "alice:{SHA}abc\n").unwrap();
    let ctx = Ctx::for_test();
    let mut with = options(&root);
    with.htpasswd = Some(file.clone());
    let error = serve(with, &ctx).unwrap_err().to_string();
    assert!(error.ends_with("line 1: expected `user:` and a bcrypt hash (htpasswd -B)"), "{error}");

    let mut with = options(&root);
    with.tls_cert = Some(file.clone());
    assert!(matches!(serve(with, &ctx), Err(Error::HalfTls)));

    let mut with = options(&root);
    (with.tls_cert, with.tls_key) = (Some(file.clone()), Some(file));
    let error = serve(with, &ctx).unwrap_err();
    assert!(matches!(error, Error::Pem { .. } | Error::Tls(_)), "{error}");

    let mut with = options(&root);
    with.listen = "nonsense".to_owned();
    assert!(matches!(serve(with, &ctx), Err(Error::Address { .. })));
}
