//! Uploads that break, and uploads at the same time.

use std::{
    io::{self, Cursor, Read},
    thread,
};

use varve_distribution::server::{Access, Failure, Registry};
use varve_types::{Ctx, Digest};

use super::session::Session;

/// Gives some bytes and then breaks, as a connection does.
struct Breaking(Cursor<Vec<u8>>);

impl Read for Breaking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            count => Ok(count),
        }
    }
}

/// What a broken PATCH brought stays, the status tells how much, and the rest may follow,
/// also at another process.
#[test]
fn an_upload_goes_on_where_its_connection_broke() {
    let mut s = Session::new();
    s.name("hello", b"hello world");
    s.ask("POST /v2/app/blobs/uploads/", b"");
    let broken = s.send("PATCH {upload}", Breaking(Cursor::new(b"hello ".to_vec())));
    assert_eq!(broken.status(), 400);
    assert!(s.ask("GET {upload}", b"").contains("range: 0-5\n"));

    // A new handler knows nothing of what the old one hashed.
    s.registry = Registry::open(s.directory.path(), Access::default(), &Ctx::for_test()).unwrap();
    let done = s.ask("PUT {upload}?digest={hello}\nContent-Range: 6-10", b"world");
    assert!(done.starts_with("201"), "{done}");
    assert!(s.ask("GET /v2/app/blobs/{hello}", b"").ends_with("\nhello world\n"));
}

#[test]
fn an_upload_belongs_to_its_repository() {
    let mut s = Session::new();
    let begun = s.send("POST /v2/app/blobs/uploads/", io::empty());
    let location = begun.headers()["location"].to_str().unwrap().to_owned();
    let stolen = location.replace("/app/", "/other/");
    assert!(s.ask(&format!("PATCH {stolen}"), b"x").starts_with("404"));
    assert!(s.ask(&format!("GET {stolen}"), b"").starts_with("404"));
    assert!(s.ask(&format!("GET {location}"), b"").starts_with("204"));
}

#[test]
fn a_broken_whole_push_leaves_nothing() {
    let mut s = Session::new();
    s.name("hello", b"hello");
    let head = "POST /v2/app/blobs/uploads/?digest={hello}";
    s.send(head, Breaking(Cursor::new(b"hel".to_vec())));
    let uploads = s.directory.path().join("_varve/uploads");
    assert_eq!(uploads.read_dir().unwrap().count(), 0);
}

#[test]
fn twenty_pushes_of_the_same_and_different_images_at_once_all_succeed() {
    let s = Session::new();
    let registry = &s.registry;
    thread::scope(|scope| {
        for number in 0..20 {
            scope.spawn(move || {
                let repository = format!("app{}", number % 3);
                let blob = vec![number as u8 / 2; 100_000];
                let digest = Digest::of(&blob);
                let ask = |head: String, body: &[u8]| {
                    let mut lines = head.lines();
                    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
                    let body = Box::new(Cursor::new(body.to_vec())) as Box<dyn Read + Send>;
                    let request = http::Request::builder().method(method).uri(path);
                    let answer = registry.answer(request.body(body).unwrap());
                    let failure = answer.extensions().get::<Failure>();
                    assert!(failure.is_none(), "{failure:?}");
                    answer.status().as_u16()
                };
                let upload = format!("POST /v2/{repository}/blobs/uploads/?digest={digest}");
                assert_eq!(ask(upload, &blob), 201);
                let json = format!(
                    r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{digest}","size":100000}},"layers":[]}}"#
                );
                let put = format!("PUT /v2/{repository}/manifests/v{number}");
                assert_eq!(ask(put, json.as_bytes()), 201);
            });
        }
    });
    let mut tags = 0;
    for name in registry.storage().repositories().unwrap() {
        tags += registry.storage().rows(&name).unwrap().unwrap().len();
    }
    assert_eq!(tags, 20);
    let pool = s.directory.path().join("_varve/blobs/sha256");
    assert_eq!(pool.read_dir().unwrap().count(), 20, "ten blobs and ten manifests, each once");
}
