//! Blobs over connections that break, stall, dribble or lie.

use std::{
    net::TcpStream,
    sync::atomic::{AtomicU32, Ordering},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use varve_distribution::client::Access;
use varve_types::{Descriptor, media_type};

use crate::{
    server::{Reply, Request, Server},
    support::*,
};

/// Serves a blob; `reply` gets the request's number (from 0), the offset and the whole content.
fn serving(
    content: Vec<u8>,
    reply: impl Fn(u32, usize, &[u8]) -> Reply + Send + Sync + 'static,
) -> Server {
    let count = AtomicU32::new(0);
    Server::start(move |request: &Request| {
        if request.target == "/v2/" {
            return Reply::ok("");
        }
        reply(count.fetch_add(1, Ordering::Relaxed), range(request), &content)
    })
}

/// The right answer to a request for the bytes from `from` on.
fn part(from: usize, content: &[u8]) -> Reply {
    let size = content.len();
    Reply::status(206)
        .header("Content-Range", format!("bytes {from}-{}/{size}", size - 1))
        .body(&content[from..])
}

fn ranges(server: &Server) -> Vec<String> {
    let requests = server.requests();
    let blobs = requests.iter().filter(|request| request.target.contains("/blobs/"));
    blobs.map(|request| request.header("range").unwrap_or("whole").to_owned()).collect()
}

#[test]
fn a_body_cut_in_the_middle_is_continued_where_it_broke() {
    let layer = content(100_000);
    let server = serving(layer.clone(), |number, from, all| match number {
        0 => Reply::ok(&all[..30_000]).cut(100_000),
        _ => part(from, all),
    });
    assert_eq!(fetch(&remote(&client(), &server), &blob(&layer), 0).unwrap(), layer);
    assert_eq!(ranges(&server), ["whole", "bytes=30000-"]);
}

#[test]
fn a_registry_that_ignores_ranges_is_read_past_what_is_here() {
    let layer = content(100_000);
    let server = serving(layer.clone(), |_, _, all| Reply::ok(all));
    let read = fetch(&remote(&client(), &server), &blob(&layer), 60_000).unwrap();
    assert_eq!(read, layer[60_000..]);
}

#[test]
fn a_part_that_was_not_asked_for_is_refused() {
    let layer = content(1000);
    for wrong in ["bytes 0-999/1000", "bytes 500-998/999", "nonsense", ""] {
        let server = serving(layer.clone(), move |_, _, all| {
            Reply::status(206).header("Content-Range", wrong).body(&all[500..])
        });
        let error = fetch(&remote(&client(), &server), &blob(&layer), 500).unwrap_err();
        assert!(error.contains("registry sent"), "{error}");
    }
}

#[test]
fn a_blob_of_another_size_is_refused_before_it_is_read() {
    let layer = content(1000);
    let server = serving(layer.clone(), |_, _, all| Reply::ok(&all[..900]));
    let error = fetch(&remote(&client(), &server), &blob(&layer), 0).unwrap_err();
    assert!(error.contains("expected 1000 bytes") && error.contains("offers 900"), "{error}");
}

#[test]
fn an_endless_body_ends_at_the_promised_size() {
    let layer = content(1000);
    let server = serving(layer.clone(), |_, _, all| Reply::ok(all).endless());
    let error = fetch(&remote(&client(), &server), &blob(&layer), 0).unwrap_err();
    assert!(error.contains("expected 1000 bytes"), "{error}");
}

#[test]
fn a_silent_connection_is_given_up_and_continued() {
    let layer = content(1000);
    let server = serving(layer.clone(), |number, from, all| match number {
        0 => Reply::ok(&all[..10]).stall(1000),
        _ => part(from, all),
    });
    let begun = Instant::now();
    assert_eq!(fetch(&remote(&client(), &server), &blob(&layer), 0).unwrap(), layer);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(ranges(&server), ["whole", "bytes=10-"]);
}

#[test]
fn a_connection_that_dribbles_is_given_up_and_continued() {
    let layer = content(1000);
    let server = serving(layer.clone(), |number, from, all| match number {
        0 => Reply::ok(all).dribble(),
        _ => part(from, all),
    });
    let begun = Instant::now();
    assert_eq!(fetch(&remote(&client(), &server), &blob(&layer), 0).unwrap(), layer);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(ranges(&server).len(), 2);
}

#[test]
fn a_registry_that_always_hangs_up_is_given_up_in_the_end() {
    let layer = content(1000);
    let server = serving(layer.clone(), |_, from, all| match from {
        0 => Reply::ok(&all[..1]).cut(1000),
        _ => Reply::status(206)
            .header("Content-Range", format!("bytes {from}-999/1000"))
            .body(&all[from..=from])
            .cut(1000 - from as u64),
    });
    let error = fetch(&remote(&client(), &server), &blob(&layer), 0).unwrap_err();
    assert!(error.contains("unexpected EOF"), "{error}");
    assert_eq!(ranges(&server).len(), 4);
}

/// The registry goes away in the middle of a blob, is not there when it is asked again, and
/// then is.
#[test]
fn a_transfer_waits_for_a_registry_that_restarts() {
    let layer = content(1000);
    let first = serving(layer.clone(), |_, _, all| Reply::ok(&all[..300]).cut(1000));
    let repository = repository(&first);
    let servers = Arc::new(Mutex::new((Some(first), None)));
    let (mut policy, _) = policy();
    let (kept, again) = (servers.clone(), layer.clone());
    policy.sleep = Arc::new(move |_| {
        let mut servers = kept.lock().unwrap();
        if let Some(first) = servers.0.take() {
            let address = first.address;
            drop(first);
            while TcpStream::connect(address).is_ok() {}
            servers.1 = Some((address, None));
        } else if let Some((address, second @ None)) = &mut servers.1 {
            let layer = again.clone();
            *second = Some(Server::start_at(*address, move |request| part(range(request), &layer)));
        }
    });
    let client = client().with_policy(policy);
    let remote = client.repository(&repository, Access::Pull);
    assert_eq!(fetch(&remote, &blob(&layer), 0).unwrap(), layer);
    assert!(servers.lock().unwrap().1.as_ref().unwrap().1.is_some());
}

#[test]
fn a_transfer_that_keeps_getting_on_is_not_given_up() {
    let layer = content(2_000_000);
    let server = serving(layer.clone(), |_, from, all| {
        let end = (from + 300_000).min(all.len());
        let reply = match from {
            0 => Reply::ok(&all[..end]),
            _ => part(from, all).body(&all[from..end]),
        };
        if end == all.len() { reply } else { reply.cut((all.len() - from) as u64) }
    });
    assert_eq!(fetch(&remote(&client(), &server), &blob(&layer), 0).unwrap(), layer);
    assert_eq!(ranges(&server).len(), 7);
}

#[test]
fn what_is_wholly_here_is_not_asked_for() {
    let layer = content(1000);
    let server = serving(layer.clone(), |_, _, all| Reply::ok(all));
    assert_eq!(fetch(&remote(&client(), &server), &blob(&layer), 1000).unwrap(), b"");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_foreign_layer_comes_from_its_url_without_credentials() {
    let layer = content(1000);
    let elsewhere = serving(layer.clone(), |_, from, all| match from {
        0 => Reply::ok(all),
        _ => part(from, all),
    });
    let server = Server::start(|request: &Request| match request.header("authorization") {
        None => Reply::status(401).header("WWW-Authenticate", "Basic realm=x"),
        Some(_) => Reply::status(404).body(r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#),
    });
    let both = alice(&[&server.domain(), &elsewhere.domain()]);
    let client = client_with(Default::default(), both, &[]);
    let remote = remote(&client, &server);
    let foreign = Descriptor {
        urls: vec![elsewhere.url("/layer")],
        ..Descriptor::of(media_type::DOCKER_LAYER_FOREIGN_GZIP, &layer)
    };
    assert_eq!(fetch(&remote, &foreign, 400).unwrap(), layer[400..]);
    assert_eq!(elsewhere.requests()[0].header("authorization"), None);
    let own = Descriptor { media_type: media_type::OCI_LAYER.into(), ..foreign };
    assert_eq!(fetch(&remote, &own, 0).unwrap_err(), "blob unknown: blob unknown");
}

#[test]
fn the_reader_of_a_blob_can_go_to_another_thread() {
    fn is_send<T: Send + Sync>(_: &T) {}
    let client = client();
    is_send(&client);
}
