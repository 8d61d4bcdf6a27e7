//! A registry: the OCI distribution specification 1.1 (and Docker's v2 clients), request in,
//! response out. It opens no socket; `varve-serve` and the test kit put one in front.
//!
//! ```text
//! request ─ route ─ access ─┬─ manifests  get, put, delete by tag and digest
//!                           ├─ blobs      get (Range), delete
//!                           ├─ uploads    whole, chunked, resumed, mounted
//!                           └─ lists      tags, catalogue, referrers
//!                                 └─ storage: one OCI layout a repository, blobs stored once
//! ```
//!
//! # Invariants
//!
//! 1. Text from a request becomes a path only through [`RepositoryName`], [`Digest`] or an
//!    upload's identifier, each parsed by a strict grammar.
//! 2. A blob gets its name after its bytes were hashed; what does not fit its digest is dropped.
//! 3. A tag enters a repository's `index.json` after everything that its manifest names.
//! 4. What an upload received stays when its connection breaks, and the status says how much.
//!
//! [`Digest`]: varve_types::Digest

pub mod access;
mod blobs;
mod lists;
mod manifests;
pub mod name;
mod range;
pub mod reply;
mod route;
pub mod storage;
mod uploads;

use std::{io::Read, path::Path};

use http::{Method, Request, Response};
use varve_types::Ctx;

pub use access::{Access, Htpasswd};
pub use name::RepositoryName;
pub use reply::{Body, Failure};
pub use storage::{Error, Storage};

use reply::{Answer, Problem};
use route::Route;

/// A request's body. It must end with an error, not with an end, when it was cut short.
pub type RequestBody = Box<dyn Read + Send>;

/// A registry in a directory. Any number of threads and processes may serve the same one.
#[derive(Debug)]
pub struct Registry {
    storage: Storage,
    access: Access,
    hashes: uploads::Hashes,
}

impl Registry {
    /// Opens the registry in `root`, makes it when the directory is absent or empty, and drops
    /// uploads that nobody has written to for a day.
    pub fn open(root: &Path, access: Access, ctx: &Ctx<'_>) -> Result<Self, Error> {
        let storage = Storage::open(root)?;
        storage.sweep_uploads(ctx.now())?;
        Ok(Self { storage, access, hashes: uploads::Hashes::default() })
    }

    /// The repositories and blobs behind it.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Answers one request. Never fails: what goes wrong is a response, and what the client need
    /// not know is left in it as a [`Failure`] for the log.
    pub fn answer(&self, request: Request<RequestBody>) -> Response<Body> {
        let head = request.method() == Method::HEAD;
        let response = self.route(request).unwrap_or_else(Problem::into_response);
        reply::finish(response, head)
    }

    fn route(&self, request: Request<RequestBody>) -> Answer {
        let (parts, mut body) = request.into_parts();
        self.access.check(&parts.headers)?;
        let route = Route::parse(parts.uri.path())?;
        if self.access.read_only && !matches!(parts.method, Method::GET | Method::HEAD) {
            return Err(Problem::MethodNotAllowed(&[Method::GET, Method::HEAD]));
        }
        let call = Call { registry: self, parts: &parts };
        match route {
            Route::Base => call.base(),
            Route::Catalogue => call.catalogue(),
            Route::Tags(name) => call.tags(&name),
            Route::Referrers(name, digest) => call.referrers(&name, &digest),
            Route::Manifest(name, target) => call.manifest(&name, &target, &mut body),
            Route::Blob(name, digest) => call.blob(&name, &digest),
            Route::Uploads(name) => call.uploads(&name, &mut body),
            Route::Upload(name, id) => call.upload(&name, &id, &mut body),
        }
    }
}

/// One request being answered.
#[derive(Clone, Copy)]
struct Call<'a> {
    registry: &'a Registry,
    parts: &'a http::request::Parts,
}

impl<'a> Call<'a> {
    fn storage(&self) -> &'a Storage {
        &self.registry.storage
    }

    /// The value of a query parameter, decoded.
    fn query(&self, name: &str) -> Option<String> {
        route::query(self.parts.uri.query().unwrap_or_default(), name)
    }

    fn header(&self, name: impl http::header::AsHeaderName) -> Option<&'a str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn is(&self, method: &Method) -> bool {
        self.parts.method == *method
    }

    /// Whether the request only reads.
    fn reads(&self) -> bool {
        matches!(self.parts.method, Method::GET | Method::HEAD)
    }

    fn base(&self) -> Answer {
        if !self.reads() {
            return Err(Problem::MethodNotAllowed(&[Method::GET, Method::HEAD]));
        }
        Ok(reply::json(200, reply::JSON, b"{}".to_vec()))
    }
}
