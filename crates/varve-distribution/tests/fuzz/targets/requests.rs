//! Any bytes as a few requests to a registry of its own: each is answered, never with an error of the
//! server's, and nothing is written beside the registry.

use std::{
    fs,
    io::{Cursor, Read as _},
};

use http::{Method, Request};
use varve_distribution::server::{Access, Registry, RequestBody};
use varve_types::Ctx;

/// What fuzzing begins with: requests between lines of a single `=`. The head ends with an empty line.
#[allow(dead_code)]
pub(crate) const SEEDS: &[&[u8]] = &[
    b"GET /v2/\n\n",
    b"GET /v2/_catalog?n=1&last=a\n\n",
    b"POST /v2/a/blobs/uploads/?digest=sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n\nhello\n=\nGET /v2/a/blobs/sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\nRange: bytes=1-2\n\n",
    b"POST /v2/a/blobs/uploads/\n\n\n=\nPATCH /v2/a/blobs/uploads/00000000-0000-0000-0000-000000000000\nContent-Range: 0-4\n\nhello",
    b"POST /v2/b/blobs/uploads/?mount=sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824&from=a\n\n",
    b"PUT /v2/a/b/manifests/1\nContent-Type: application/vnd.oci.image.index.v1+json\n\n{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}\n=\nGET /v2/a/b/tags/list?n=3\n\n\n=\nDELETE /v2/a/b/manifests/1\n\n",
    b"GET /v2/a/referrers/sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824?artifactType=x\n\n",
    b"GET /v2/%2e%2e/%2e%2e/etc/manifests/passwd\n\n",
];

/// Requests of one input.
const REQUESTS_MAX: usize = 6;

/// The target.
pub(crate) fn run(data: &[u8]) {
    let memory = std::path::Path::new("/dev/shm");
    let directory =
        if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let directory = directory.expect("a directory");
    let root = directory.path().join("registry");
    let registry = Registry::open(&root, Access::default(), &Ctx::for_test()).expect("a registry");
    let text = String::from_utf8_lossy(data);
    for part in text.split("\n=\n").take(REQUESTS_MAX) {
        let Some(request) = request(part) else { continue };
        let response = registry.answer(request);
        let (status, size_bytes) = (response.status(), response.body().size_bytes());
        assert!(!status.is_server_error(), "{status} to {part:?}");
        let mut body = Vec::new();
        response.into_body().into_reader().expect("a body").read_to_end(&mut body).expect("a body");
        assert_eq!(body.len() as u64, size_bytes, "{part:?}");
    }
    let beside = fs::read_dir(directory.path()).expect("a directory").count();
    assert_eq!(beside, 1, "something is beside the registry");
}

fn request(text: &str) -> Option<Request<RequestBody>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let method: Method = method.parse().ok()?;
    let mut request = Request::builder().method(method).uri(target);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        request = request.header(name, value);
    }
    let body: RequestBody = Box::new(Cursor::new(body.as_bytes().to_vec()));
    request.body(body).ok()
}
