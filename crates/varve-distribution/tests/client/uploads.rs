//! Uploads that break, and the places they are sent to.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use varve_types::{Digest, Repository};

use crate::{
    server::{Reply, Request, Server},
    support::*,
};

/// A registry that keeps one upload, breaks off its n-th `PATCH` after so many bytes, and tells
/// how much it has.
struct Uploads {
    kept: Arc<Mutex<Vec<u8>>>,
    server: Server,
}

fn uploads(breaks: Vec<usize>, forgets: bool) -> Uploads {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let patches = Arc::new(AtomicU32::new(0));
    let cut = {
        let kept = kept.clone();
        move |request: &Request| {
            if request.method != "PATCH" {
                return None;
            }
            let number = patches.fetch_add(1, Ordering::Relaxed) as usize;
            let limit = *breaks.get(number)?;
            // What is read before the break counts, unless the registry forgets it.
            let from = request
                .header("content-range")
                .map_or(0, |range| range.split('-').next().unwrap().parse::<usize>().unwrap());
            let mut kept = kept.lock().unwrap();
            let all = content(1_000_000);
            kept.truncate(from);
            if !forgets {
                kept.extend_from_slice(&all[from..from + limit]);
            }
            Some(limit)
        }
    };
    let server = {
        let kept = kept.clone();
        Server::start_impatient(cut, move |request| {
            let mut kept = kept.lock().unwrap();
            let told = |status, size: usize| {
                Reply::status(status)
                    .header("Location", "/v2/app/blobs/uploads/1?state=x")
                    .header("Range", format!("0-{}", size.max(1) - 1))
            };
            match (request.method.as_str(), request.target.as_str()) {
                ("GET", "/v2/") => Reply::ok(""),
                ("HEAD", _) => Reply::status(404),
                ("POST", _) => {
                    kept.clear();
                    told(202, 0)
                }
                ("GET", _) if forgets => Reply::status(404),
                ("GET", _) => told(204, kept.len()),
                ("PATCH", _) => {
                    kept.extend_from_slice(&request.body);
                    told(202, kept.len())
                }
                ("PUT", target) => {
                    let digest = Digest::of(&kept).to_string().replace(':', "%3A");
                    Reply::status(if target.ends_with(&digest) { 201 } else { 400 })
                }
                _ => Reply::status(405),
            }
        })
    };
    Uploads { kept, server }
}

fn methods(server: &Server) -> String {
    let requests = server.requests();
    let shown = requests.iter().filter(|request| request.target != "/v2/");
    shown.map(|request| request.method.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_upload_is_one_patch_when_nothing_breaks() {
    let uploads = uploads(vec![], false);
    put(&remote(&client(), &uploads.server), &content(1_000_000)).unwrap();
    assert_eq!(methods(&uploads.server), "POST PATCH PUT");
    assert_eq!(*uploads.kept.lock().unwrap(), content(1_000_000));
}

#[test]
fn an_upload_that_breaks_is_continued_where_the_registry_has_it() {
    let uploads = uploads(vec![400_000, 300_000], false);
    put(&remote(&client(), &uploads.server), &content(1_000_000)).unwrap();
    let methods = methods(&uploads.server);
    assert_eq!(methods, "POST PATCH HEAD GET PATCH HEAD GET PATCH PUT");
    let requests = uploads.server.requests();
    let ranges: Vec<_> = requests.iter().filter_map(|r| r.header("content-range")).collect();
    assert_eq!(ranges, ["400000-999999", "700000-999999"]);
}

#[test]
fn an_upload_that_the_registry_forgot_begins_again() {
    let uploads = uploads(vec![400_000], true);
    put(&remote(&client(), &uploads.server), &content(1_000_000)).unwrap();
    assert_eq!(methods(&uploads.server), "POST PATCH HEAD GET POST PATCH PUT");
}

#[test]
fn an_upload_that_never_gets_on_is_given_up() {
    let uploads = uploads(vec![10; 100], true);
    put(&remote(&client(), &uploads.server), &content(1_000_000)).unwrap_err();
    let patches = methods(&uploads.server).matches("PATCH").count();
    assert_eq!(patches, 4);
}

#[test]
fn an_upload_location_at_another_host_gets_no_credentials() {
    let storage = Server::start(|request| match request.method.as_str() {
        "PATCH" => Reply::status(202),
        _ => Reply::status(201),
    });
    let target = storage.url("/bucket/1");
    let server = Server::start(move |request| match request.header("authorization") {
        None => Reply::status(401).header("WWW-Authenticate", "Basic realm=x"),
        Some(_) => Reply::status(202).header("Location", target.clone()),
    });
    let client = client_with(Default::default(), alice(&[&server.domain()]), &[]);
    put(&remote(&client, &server), &content(1000)).unwrap();
    let requests = storage.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn content_that_cannot_be_read_is_our_own_error() {
    let uploads = uploads(vec![], false);
    let client = client();
    let remote = remote(&client, &uploads.server);
    let open = |_: u64| -> std::io::Result<Box<dyn std::io::Read + Send>> {
        Ok(Box::new(std::io::Cursor::new(vec![0; 10])))
    };
    let error = remote.put_blob(&blob(&content(1000)), &open, &|_| {}).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the content to upload");
    assert_eq!(methods(&uploads.server).matches("PUT").count(), 0);
}

#[test]
fn a_mount_that_the_registry_declines_is_no_error() {
    let server = Server::start(|request| match request.method.as_str() {
        "POST" => Reply::status(202).header("Location", "/v2/app/blobs/uploads/7"),
        "DELETE" => Reply::status(204),
        _ => Reply::ok(""),
    });
    let from = Repository::parse(&format!("{}/base", server.domain())).unwrap();
    let client = client();
    assert!(!remote(&client, &server).mount_blob(&Digest::of(b"x"), &from).unwrap());
    let digest = Digest::of(b"x").to_string().replace(':', "%3A");
    assert_eq!(
        server.lines(),
        [
            format!("POST /v2/app/blobs/uploads/?mount={digest}&from=base"),
            "DELETE /v2/app/blobs/uploads/7".to_owned(),
        ]
    );
}

#[test]
fn a_read_only_registry_says_so_at_once() {
    let server = Server::start(|request| match request.target.as_str() {
        "/v2/" => Reply::ok(""),
        _ => Reply::status(405).body(
            r#"{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}"#,
        ),
    });
    let error = put(&remote(&client(), &server), &content(10)).unwrap_err();
    assert_eq!(error.to_string(), "unsupported: The operation is unsupported.");
    assert_eq!(server.lines().len(), 1);
}
