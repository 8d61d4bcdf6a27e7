//! Requests and responses as text, with names in place of digests and uploads.

use std::io::{Cursor, Read};

use expect_test::Expect;
use http::{Request, Response};
use tempfile::TempDir;
use varve_distribution::server::{Access, Body, Registry, RequestBody};
use varve_types::{Ctx, Digest};

/// A registry in a temporary directory, and the names that stand for digests in requests
/// (`{hello}`) and responses (`<hello>`).
pub(super) struct Session {
    pub(super) registry: Registry,
    pub(super) directory: TempDir,
    names: Vec<(&'static str, String)>,
    /// The location of the latest upload, which `{upload}` stands for.
    upload: String,
}

impl Session {
    pub(super) fn new() -> Self {
        Self::with(Access::default())
    }

    pub(super) fn with(access: Access) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let registry = Registry::open(directory.path(), access, &Ctx::for_test()).unwrap();
        Self { registry, directory, names: Vec::new(), upload: String::new() }
    }

    /// Gives the digest of some bytes a name.
    pub(super) fn name(&mut self, name: &'static str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.names.push((name, digest.to_string()));
        digest
    }

    pub(super) fn send(&mut self, head: &str, body: impl Read + Send + 'static) -> Response<Body> {
        let mut lines = head.lines().map(|line| self.expand(line.trim()));
        let first = lines.next().unwrap();
        let (method, path) = first.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let response = self.registry.answer(request.body(Box::new(body) as RequestBody).unwrap());
        if let Some(location) = response.headers().get("location")
            && location.to_str().unwrap().contains("/uploads/")
        {
            location.to_str().unwrap().clone_into(&mut self.upload);
        }
        response
    }

    /// Sends a request and shows the response: status, headers that say something, body.
    pub(super) fn ask(&mut self, head: &str, body: &[u8]) -> String {
        let response = self.send(head, Cursor::new(body.to_vec()));
        let (parts, body) = response.into_parts();
        let mut shown = format!("{}\n", parts.status.as_u16());
        let constant = ["docker-distribution-api-version", "x-content-type-options"];
        let mut headers: Vec<String> = parts
            .headers
            .iter()
            .filter(|(name, _)| !constant.contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
            .collect();
        headers.sort();
        shown.extend(headers);
        let mut bytes = Vec::new();
        body.into_reader().unwrap().read_to_end(&mut bytes).unwrap();
        if !bytes.is_empty() {
            shown.push_str(&String::from_utf8_lossy(&bytes));
            shown.push('\n');
        }
        self.contract(shown)
    }

    /// Stores a blob the short way and gives it a name.
    pub(super) fn blob(&mut self, repository: &str, name: &'static str, bytes: &[u8]) -> Digest {
        let digest = self.name(name, bytes);
        let head = format!("POST /v2/{repository}/blobs/uploads/?digest={digest}");
        assert!(self.ask(&head, bytes).starts_with("201"));
        digest
    }

    /// Stores a manifest that names `config` and nothing else, and gives it a name.
    pub(super) fn manifest(
        &mut self,
        repository: &str,
        tag: &str,
        name: &'static str,
        extra: &str,
    ) -> Digest {
        let config = self.blob(repository, "config", b"{}");
        let json = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[]{extra}}}"#
        );
        let digest = self.name(name, json.as_bytes());
        let tag = if tag.is_empty() { digest.to_string() } else { tag.to_owned() };
        let head = format!("PUT /v2/{repository}/manifests/{tag}\nContent-Type: {OCI}");
        let answer = self.ask(&head, json.as_bytes());
        assert!(answer.starts_with("201"), "{answer}");
        digest
    }

    fn expand(&self, text: &str) -> String {
        let mut text = text.replace("{upload}", &self.upload);
        for (name, digest) in &self.names {
            text = text.replace(&format!("{{{name}}}"), digest);
        }
        text
    }

    fn contract(&self, mut text: String) -> String {
        for (name, digest) in &self.names {
            text = text.replace(digest, &format!("<{name}>"));
        }
        if !self.upload.is_empty() {
            text = text.replace(&self.upload, "<upload>");
            let id = self.upload.rsplit('/').next().unwrap();
            text = text.replace(id, "<id>");
        }
        text
    }
}

/// Sends a request and compares what comes back.
#[track_caller]
pub(super) fn check(session: &mut Session, head: &str, body: &str, expected: Expect) {
    expected.assert_eq(&session.ask(head, body.as_bytes()));
}

pub(super) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
