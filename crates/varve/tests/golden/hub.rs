//! A stand-in for docker.io that answers as it does: bearer tokens from a token service, 401 with
//! `insufficient_scope` for what is unknown, and repositories that misbehave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cast::Cast;
use crate::http::{Request, Response, serve};
use crate::images::{Blob, Form, OCI_INDEX, Served};

const ALICE: &str = "Basic YWxpY2U6c2VjcmV0";
const UNAUTHORIZED: &str =
    "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"authentication required\"}]}";
const TOO_MANY: &str = "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"You have reached \
    your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit\"}]}";
const UNKNOWN: &str =
    "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}";
const FOUND: &str = "[\
    {\"name\":\"busybox\",\"description\":\"Busybox base image.\",\"is_official\":true,\
     \"is_automated\":false,\"star_count\":3300},\
    {\"name\":\"radial/busyboxplus\",\"description\":\"Full-chain, Internet enabled, busybox made \
     from scratch. Comes in git and cURL flavors.\",\"is_official\":false,\"is_automated\":false,\
     \"star_count\":57}]";

/// What a registry has: tags, manifests and blobs of each repository.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// `name:tag` → digest.
    pub(crate) tags: BTreeMap<String, String>,
    /// Digest → media type and bytes.
    pub(crate) manifests: BTreeMap<String, (&'static str, Vec<u8>)>,
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
}

impl Content {
    pub(crate) fn add(&mut self, name: &str, image: &Served) {
        self.keep(image);
        self.tags.insert(name.to_owned(), image.manifest.digest.to_string());
    }

    pub(crate) fn add_index(&mut self, name: &str, index: &Blob, children: &[Served]) {
        for child in children {
            self.keep(child);
        }
        let digest = index.digest.to_string();
        self.manifests.insert(digest.clone(), (OCI_INDEX, index.bytes.clone()));
        self.tags.insert(name.to_owned(), digest);
    }

    fn keep(&mut self, image: &Served) {
        let manifest = &image.manifest;
        let entry = (image.media_type, manifest.bytes.clone());
        self.manifests.insert(manifest.digest.to_string(), entry);
        for blob in &image.blobs {
            self.blobs.insert(blob.digest.to_string(), blob.bytes.clone());
        }
    }

    fn has(&self, repository: &str) -> bool {
        self.tags.keys().any(|name| name.rsplit_once(':').is_some_and(|(own, _)| own == repository))
    }
}

/// What docker.io has in the recordings, in the form that one of them shows.
pub(crate) fn content(cast: &Cast, form: Form) -> Content {
    let mut content = Content::default();
    let hello = cast.hello.served(form);
    // A manifest for one platform stands where the recording pushes what it pulled.
    match form {
        Form::OciGzip => {
            let docker = cast.hello.served(Form::DockerGzip).padded(526);
            content.add("library/hello-world:latest", &docker);
            let (index, children) = cast.busybox_index();
            for name in ["busybox:1.36.0", "busybox:latest", "badblob:1.36.0", "badmanifest:1.36.0"]
            {
                content.add_index(&format!("library/{name}"), &index, &children);
            }
        }
        Form::DockerGzip => {
            content.add("library/hello-world:latest", &hello.padded(526));
            content.add("library/busybox:1.36.0", &cast.busybox.served(form).padded(527));
        }
        Form::OciTar => {
            content.add("library/hello-world:latest", &hello);
            for tag in ["1.36.0", "latest"] {
                content.add(&format!("library/busybox:{tag}"), &cast.busybox.served(form));
            }
        }
    }
    content
}

/// The registry, its token service and its search.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) port: u16,
    /// Once set, `badblob` and `badmanifest` are as good as busybox.
    pub(crate) healed: Arc<AtomicBool>,
}

impl Hub {
    pub(crate) fn start(content: Content) -> Self {
        let healed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&healed);
        let port = serve(move |request| answer(&content, request, seen.load(Ordering::SeqCst)));
        Self { port, healed }
    }
}

fn answer(content: &Content, request: &Request, healed: bool) -> Response {
    match request.path.as_str() {
        "/token" => token(request),
        "/v1/search" => search(request),
        "/healthy" => Response::json(200, "{}"),
        "/v2/" if bearer(request).is_some() => Response::json(200, "{}"),
        "/v2/" => challenge(request, "", UNAUTHORIZED),
        path => match repository(path) {
            Some((name, kind, what)) => registry(content, request, (name, kind, what), healed),
            None => Response::new(404, "text/plain", "404 page not found\n"),
        },
    }
}

fn token(request: &Request) -> Response {
    let granted = match request.headers.get("authorization").map(String::as_str) {
        None => "anonymous",
        Some(ALICE) => "alice",
        Some(_) => return Response::json(401, "{\"details\":\"incorrect username or password\"}"),
    };
    Response::json(200, format!("{{\"token\":\"{granted}\",\"expires_in\":300}}"))
}

fn search(request: &Request) -> Response {
    let limit = request.query.split('&').find_map(|part| part.strip_prefix("n=")?.parse().ok());
    let found: serde_json::Value = serde_json::from_str(FOUND).expect("JSON");
    let results: Vec<_> =
        found.as_array().into_iter().flatten().take(limit.unwrap_or(25_usize)).cloned().collect();
    let answer = serde_json::json!({
        "num_results": results.len(), "query": "busybox", "page": 1, "results": results,
    });
    Response::json(200, answer.to_string())
}

fn bearer(request: &Request) -> Option<&str> {
    request.headers.get("authorization")?.strip_prefix("Bearer ")
}

/// 401 that says where to get a token and for what.
fn challenge(request: &Request, scope: &str, body: &str) -> Response {
    let host = request.headers.get("host").map_or("127.0.0.1", String::as_str);
    let scope = if scope.is_empty() { String::new() } else { format!(",scope=\"{scope}\"") };
    let mut header =
        format!("Bearer realm=\"http://{host}/token\",service=\"registry.docker.io\"{scope}");
    if bearer(request).is_some() {
        header.push_str(",error=\"insufficient_scope\"");
    }
    Response::json(401, body)
        .with("WWW-Authenticate", header)
        .with("Docker-Distribution-Api-Version", "registry/2.0")
}

/// `/v2/NAME/KIND/WHAT`.
fn repository(path: &str) -> Option<(&str, &str, &str)> {
    let path = path.strip_prefix("/v2/")?;
    ["/manifests/", "/blobs/", "/tags/"].into_iter().find_map(|kind| {
        let (name, what) = path.split_once(kind)?;
        Some((name, kind.trim_matches('/'), what))
    })
}

fn registry(
    content: &Content,
    request: &Request,
    (name, kind, what): (&str, &str, &str),
    healed: bool,
) -> Response {
    let reads = ["GET", "HEAD"].contains(&request.method.as_str());
    let scope = format!("repository:{name}:{}", if reads { "pull" } else { "pull,push" });
    let misbehaves = ["library/ratelimited", "library/broken", "library/html"].contains(&name);
    if bearer(request).is_none() || !reads || !(misbehaves || content.has(name)) {
        // What is refused early has no body; docker.io explains itself only about manifests.
        let body = if kind == "manifests" && !reads { UNAUTHORIZED } else { "" };
        return challenge(request, &scope, body);
    }
    match (name, kind) {
        ("library/ratelimited", _) => Response::json(429, TOO_MANY),
        ("library/broken", _) => Response::new(500, "text/plain", "broken\n"),
        ("library/html", _) => Response::new(200, "text/html", "<html>not a manifest</html>"),
        (_, "manifests") => manifest(content, name, what, !healed && name == "library/badmanifest"),
        (_, "blobs") => blob(content, request, what, !healed && name == "library/badblob"),
        _ => Response::json(404, UNKNOWN),
    }
}

fn manifest(content: &Content, name: &str, what: &str, spoil: bool) -> Response {
    let digest = content.tags.get(&format!("{name}:{what}")).map_or(what, String::as_str);
    let Some((media_type, bytes)) = content.manifests.get(digest) else {
        return Response::json(404, UNKNOWN);
    };
    let mut bytes = bytes.clone();
    if spoil && *media_type != OCI_INDEX {
        bytes.push(b'\n');
    }
    Response::new(200, media_type, bytes).with("Docker-Content-Digest", digest)
}

fn blob(content: &Content, request: &Request, digest: &str, spoil: bool) -> Response {
    let Some(bytes) = content.blobs.get(digest) else { return Response::json(404, UNKNOWN) };
    let mut bytes = bytes.clone();
    // Configs are small; only layers are spoilt.
    if spoil && bytes.len() > 4096 {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
    }
    let from = request
        .headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse::<usize>().ok());
    let response = match from.filter(|from| *from < bytes.len()) {
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            Response::new(206, "application/octet-stream", &bytes[from..])
                .with("Content-Range", range)
        }
        None => Response::new(200, "application/octet-stream", bytes),
    };
    response.with("Docker-Content-Digest", digest).with("Accept-Ranges", "bytes")
}
