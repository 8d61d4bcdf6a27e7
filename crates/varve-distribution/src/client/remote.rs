//! One repository of a registry, and the hosts that may serve it.

use ureq::http::Method;
use varve_types::{Digest, Repository};

use super::{
    Client, Result,
    error::Error,
    exchange::{Request, Session},
};

/// What is to be done with a repository: decides what a token is asked for, and whether
/// mirrors may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Pull,
    /// Read and write. Mirrors are not asked.
    PushPull,
    /// Read, write and delete. Mirrors are not asked.
    Everything,
}

impl Access {
    fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::PushPull => "pull,push",
            Self::Everything => "delete,pull,push",
        }
    }
}

/// A repository of a registry.
#[derive(Debug, Clone)]
pub struct Remote<'c> {
    pub(super) client: &'c Client,
    pub(super) repository: Repository,
    access: Access,
    mirrors: Mirrors,
}

/// Whether mirrors may answer in a registry's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mirrors {
    Asked,
    PassedOver,
}

impl<'c> Remote<'c> {
    pub(super) fn new(client: &'c Client, repository: &Repository, access: Access) -> Self {
        Self { client, repository: repository.clone(), access, mirrors: Mirrors::Asked }
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The same repository without its mirrors; `None` when there are none to pass over. For
    /// content that turned out wrong after it had come whole.
    pub fn without_mirrors(&self) -> Option<Self> {
        let asked = self.access == Access::Pull && self.mirrors == Mirrors::Asked;
        let mirrored = !self.client.hosts.mirrors(self.repository.domain()).is_empty();
        (asked && mirrored).then(|| Self { mirrors: Mirrors::PassedOver, ..self.clone() })
    }

    /// The registry itself.
    pub(super) fn session(&self) -> Result<Session<'c>> {
        self.session_with(&[])
    }

    /// The registry itself, with more scopes than this repository's own.
    pub(super) fn session_with(&self, scopes: &[String]) -> Result<Session<'c>> {
        let host = self.client.registry(self.repository.domain())?;
        let own = format!("repository:{}:{}", self.repository.path(), self.access.actions());
        Ok(Session {
            client: self.client,
            host,
            path: self.repository.path().to_owned(),
            scopes: std::iter::once(own).chain(scopes.iter().cloned()).collect(),
        })
    }

    /// The URL path of something in this repository, such as `library/a/tags/list`.
    pub(super) fn path(&self, rest: &str) -> String {
        format!("{}/{rest}", self.repository.path())
    }

    /// Asks the mirrors, in order, and last the registry. A mirror that does not have the thing
    /// or does not work is passed over; only the registry's error counts.
    pub(super) fn ask_any<T>(&self, ask: impl Fn(&Session<'c>) -> Result<T>) -> Result<T> {
        if self.access == Access::Pull && self.mirrors == Mirrors::Asked {
            for base in self.client.hosts.mirrors(self.repository.domain()) {
                let Ok(host) = self.client.mirror(&base) else { continue };
                if host.has_failed() {
                    continue;
                }
                let scopes = vec![format!("repository:{}:pull", self.repository.path())];
                let path = self.repository.path().to_owned();
                let session = Session { client: self.client, host: host.clone(), path, scopes };
                match ask(&session) {
                    Ok(found) => return Ok(found),
                    Err(error) if error.is_not_found() => {}
                    Err(_) => host.fail(),
                }
            }
        }
        ask(&self.session()?)
    }

    /// Whether the registry has a blob.
    pub fn blob_exists(&self, digest: &Digest) -> Result<bool> {
        let session = self.session()?;
        let url = session.host.url(&self.path(&format!("blobs/{digest}")));
        let answer = session.send(&Request::new(Method::HEAD, url))?;
        match answer.status {
            404 => Ok(false),
            // A registry that sends us elsewhere for it has it, even if what is there (a storage
            // service that signed its URL for GET) refuses HEAD.
            403 | 405 if !answer.url.same_origin(session.host.base()) => Ok(true),
            _ if answer.is_success() => Ok(true),
            _ => Err(answer.into_error()),
        }
    }

    /// Removes a manifest by digest, or a tag. Not all registries do so.
    pub fn delete_manifest(&self, name: &str) -> Result<()> {
        let session = self.session()?;
        let url = session.host.url(&self.path(&format!("manifests/{name}")));
        session.succeed(&Request::new(Method::DELETE, url)).map(drop)
    }

    pub(super) fn limit(&self, what: &'static str, limit: u64) -> Error {
        Error::Limit { what, registry: self.repository.domain().to_owned(), limit }
    }
}
