//! Redirects: where they may lead, and what goes along.

use crate::{
    server::{Reply, Server},
    support::*,
};

#[test]
fn a_redirect_to_another_host_gets_no_credentials() {
    let layer = content(1000);
    let (shown, wanted) = (layer.clone(), blob(&layer));
    let storage = Server::start(move |_| Reply::ok(shown.clone()));
    let target = storage.url("/signed?key=1");
    let registry = Server::start(move |request| {
        if request.header("authorization") != Some(ALICE) {
            return Reply::status(401).header("WWW-Authenticate", "Basic realm=\"r\"");
        }
        Reply::redirect(target.clone())
    });
    let client = client_with(Default::default(), alice(&[&registry.domain()]), &[]);
    assert_eq!(fetch(&remote(&client, &registry), &wanted, 0).unwrap(), layer);
    assert_eq!(storage.requests().len(), 1);
    assert_eq!(storage.requests()[0].header("authorization"), None);
}

#[test]
fn the_range_of_a_request_goes_along_with_a_redirect() {
    let layer = content(1000);
    let (shown, wanted) = (layer.clone(), blob(&layer));
    let storage = Server::start(move |request| {
        let from = range(request);
        Reply::status(206)
            .header("Content-Range", format!("bytes {from}-999/1000"))
            .body(&shown[from..])
    });
    let target = storage.url("/x");
    let registry = Server::start(move |request| match request.target.as_str() {
        "/v2/" => Reply::ok(""),
        _ => Reply::redirect(target.clone()),
    });
    let client = client();
    assert_eq!(fetch(&remote(&client, &registry), &wanted, 700).unwrap(), layer[700..]);
}

#[test]
fn a_blob_that_lies_elsewhere_exists_even_if_it_may_not_be_asked_for() {
    let storage = Server::start(|_| Reply::status(403));
    let target = storage.url("/signed-for-get");
    let registry = Server::start(move |request| match request.target.as_str() {
        "/v2/" => Reply::ok(""),
        _ => Reply::redirect(target.clone()),
    });
    assert!(remote(&client(), &registry).blob_exists(&blob(b"x").digest).unwrap());
}

#[test]
fn redirects_in_a_circle_are_named() {
    let registry = Server::start(|request| match request.target.as_str() {
        "/v2/" => Reply::ok(""),
        "/a" => Reply::redirect("/b"),
        _ => Reply::redirect("/a"),
    });
    let error = remote(&client(), &registry).manifest("1").unwrap_err().to_string();
    assert!(error.ends_with(&format!("redirect loop at {}", registry.url("/a"))), "{error}");
}

#[test]
fn redirects_without_end_are_stopped() {
    let registry = Server::start(|request| match request.target.as_str() {
        "/v2/" => Reply::ok(""),
        target => Reply::redirect(format!("{target}x")),
    });
    let error = remote(&client(), &registry).manifest("1").unwrap_err().to_string();
    assert!(error.ends_with("stopped after 5 redirects"), "{error}");
}

#[test]
fn a_redirect_that_is_no_url_is_shown_escaped() {
    let registry = Server::start(|request| match request.target.as_str() {
        "/v2/" => Reply::ok(""),
        _ => Reply::redirect("ftp://x"),
    });
    let error = remote(&client(), &registry).manifest("1").unwrap_err().to_string();
    assert!(error.ends_with("location ftp://x is not a URL"), "{error}");
}
