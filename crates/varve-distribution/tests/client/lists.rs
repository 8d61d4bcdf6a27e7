//! Tags, the catalogue and search.

use varve_distribution::client::Search;

use crate::{
    server::{Reply, Server},
    support::*,
};

#[test]
fn pages_are_followed_to_the_last() {
    let server = Server::start(|request| match request.target.as_str() {
        "/v2/" => Reply::ok(""),
        "/v2/app/tags/list?n=1000" => Reply::ok(r#"{"name":"app","tags":["a","b"]}"#)
            .header("Link", "</v2/app/tags/list?n=1000&last=b>; rel=\"next\""),
        "/v2/app/tags/list?n=1000&last=b" => Reply::ok(r#"{"name":"app","tags":["c"]}"#),
        _ => Reply::status(404),
    });
    assert_eq!(remote(&client(), &server).tags().unwrap(), ["a", "b", "c"]);
}

#[test]
fn a_repository_without_tags_has_none() {
    let server = Server::start(|_| Reply::ok(r#"{"name":"app","tags":null}"#));
    assert_eq!(remote(&client(), &server).tags().unwrap(), [""; 0]);
}

#[test]
fn pages_in_a_circle_are_an_error() {
    let server =
        Server::start(|_| Reply::ok(r#"{"tags":["a"]}"#).header("Link", "<?n=1000>; rel=\"next\""));
    let error = remote(&client(), &server).tags().unwrap_err().to_string();
    assert!(error.contains("redirect loop"), "{error}");
}

#[test]
fn the_next_page_at_another_host_gets_no_credentials() {
    let other = Server::start(|_| Reply::ok(r#"{"tags":["b"]}"#));
    let next = format!("<{}>; rel=\"next\"", other.url("/more"));
    let server = Server::start(move |request| match request.header("authorization") {
        None => Reply::status(401).header("WWW-Authenticate", "Basic realm=x"),
        Some(_) => Reply::ok(r#"{"tags":["a"]}"#).header("Link", next.clone()),
    });
    let client = client_with(Default::default(), alice(&[&server.domain()]), &[]);
    assert_eq!(remote(&client, &server).tags().unwrap(), ["a", "b"]);
    assert_eq!(other.requests()[0].header("authorization"), None);
}

#[test]
fn search_asks_the_index_and_filters_what_it_says() {
    let index = Server::start(|_| {
        Reply::ok(
            r#"{"num_results": 2, "results": [
                {"name": "busybox", "description": "Busybox base image.", "star_count": 3300, "is_official": true},
                {"name": "radial/busyboxplus", "star_count": 57, "is_automated": false}]}"#,
        )
    });
    let config =
        format!(r#"{{"registries": {{"docker.io": {{"endpoint": "{}"}}}}}}"#, index.url(""));
    let client = client_with(hosts(&config), Default::default(), &[]);
    let term = "busybox".to_owned();
    let all = client.search(&Search { term: term.clone(), ..Search::default() }).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].stars, all[0].is_official, all[1].stars), (3300, true, 57));
    assert_eq!(index.lines(), ["GET /v1/search?q=busybox&n=25"]);
    let search = Search { term, stars: Some(100), limit: Some(3), ..Search::default() };
    assert_eq!(client.search(&search).unwrap(), all[..1]);
    assert_eq!(index.lines()[1], "GET /v1/search?q=busybox&n=3");
}
