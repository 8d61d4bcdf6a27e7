//! One place that requests go to: a registry or a mirror of one.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ureq::http::Method;

use super::{
    Client,
    answer::Answer,
    auth::Standing,
    error::{Error, Reason, is_passing_status},
    exchange::Request,
    url::{Scheme, Url},
};
use crate::credentials::{Credential, CredentialsError};

/// The host behind `docker.io`.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// A registry or mirror that has answered.
#[derive(Debug)]
pub(crate) struct Host {
    /// What credentials are looked up by: `docker.io`, `127.0.0.1:5000`.
    domain: String,
    /// Where requests go.
    base: Url,
    /// What errors show instead of `base`.
    shown: Url,
    pub(crate) standing: Standing,
    /// By repository path: containers' tools keep credentials for single repositories.
    credentials: Mutex<HashMap<String, Option<Credential>>>,
    is_mirror: bool,
    /// A mirror that failed is not asked again by the same command.
    failed: AtomicBool,
}

impl Host {
    fn new(domain: &str, base: Url, shown: Url, is_mirror: bool) -> Self {
        Self {
            domain: domain.to_owned(),
            base,
            shown,
            standing: Standing::default(),
            credentials: Mutex::default(),
            is_mirror,
            failed: AtomicBool::new(false),
        }
    }

    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The URL of `path` below the version prefix, such as `a/manifests/latest`.
    pub(crate) fn url(&self, path: &str) -> Url {
        self.base.append("v2/").append(path)
    }

    /// A URL as the user knows it.
    pub(crate) fn shown(&self, url: &Url) -> String {
        let text = url.to_string();
        match text.strip_prefix(&self.base.to_string()) {
            Some(rest) => format!("{}{rest}", self.shown),
            None => text,
        }
    }

    pub(crate) fn is_mirror(&self) -> bool {
        self.is_mirror
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// The credential for a repository of this host. Looked up once: a helper is a process.
    pub(crate) fn credential(
        &self,
        client: &Client,
        path: &str,
    ) -> Result<Option<Credential>, CredentialsError> {
        let mut known = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(credential) = known.get(path) {
            return Ok(credential.clone());
        }
        let credential = client.credentials.find(&self.domain, path)?;
        known.insert(path.to_owned(), credential.clone());
        Ok(credential)
    }

    /// A verb and URL with what was in the way.
    pub(crate) fn failure(&self, verb: &'static str, url: &Url, reason: Reason) -> Error {
        Error::Request { verb, url: self.shown(url), reason }
    }
}

/// A place to try, before it is known whether it answers.
struct Candidate {
    base: Url,
    shown: Url,
    is_mirror: bool,
}

impl Candidate {
    fn registry(base: &Url, shown: &Url) -> Self {
        Self { base: base.clone(), shown: shown.clone(), is_mirror: false }
    }
}

/// Hosts that have answered, by what they were asked for as.
#[derive(Debug, Default)]
pub(crate) struct Hosts(Mutex<HashMap<String, Arc<Cell>>>);

/// Locked while the host is asked for the first time.
type Cell = Mutex<Option<Arc<Host>>>;

impl Hosts {
    fn cell(&self, key: &str) -> Arc<Cell> {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cells.entry(key.to_owned()).or_default().clone()
    }
}

impl Client {
    /// The registry of a domain, after it has answered once.
    pub(crate) fn registry(&self, domain: &str) -> Result<Arc<Host>, Error> {
        self.answering(domain, || self.find_registry(domain))
    }

    /// A mirror, after it has answered once.
    pub(crate) fn mirror(&self, base: &Url) -> Result<Arc<Host>, Error> {
        let authority = base.authority();
        self.answering(&format!("mirror {base}"), || {
            self.answers(
                &authority,
                Candidate { is_mirror: true, ..Candidate::registry(base, base) },
            )
        })
    }

    /// Asks once for each key; other threads wait for the answer.
    fn answering(
        &self,
        key: &str,
        find: impl FnOnce() -> Result<Arc<Host>, Error>,
    ) -> Result<Arc<Host>, Error> {
        let cell = self.known.cell(key);
        let mut known = cell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = &*known {
            return Ok(host.clone());
        }
        let host = find()?;
        *known = Some(host.clone());
        Ok(host)
    }

    fn find_registry(&self, domain: &str) -> Result<Arc<Host>, Error> {
        let name =
            if domain == varve_types::reference::DEFAULT_DOMAIN { DOCKER_HUB } else { domain };
        let root = |scheme| {
            Url::root(scheme, name).map_err(|_| Error::Request {
                verb: "Get",
                url: format!("https://{name}/v2/"),
                reason: Reason::Location(name.to_owned()),
            })
        };
        let (https, http) = (root(Scheme::Https)?, root(Scheme::Http)?);
        if let Some(base) = self.hosts.endpoint(domain) {
            let shown = if base.authority() == http.authority() { http } else { https };
            return self.answers(domain, Candidate::registry(&base, &shown));
        }
        let candidate = |base: &Url| Candidate::registry(base, base);
        if https.is_loopback() {
            return self.find_on_loopback(domain, candidate(&http), candidate(&https));
        }
        match self.answers(domain, candidate(&https)) {
            Err(Error::Request { reason, .. })
                if reason.is_no_such_service() && self.may_be_plain(domain, &https) =>
            {
                self.answers(domain, candidate(&http))
            }
            other => other,
        }
    }

    /// Whether a registry that does not answer to https may be asked over plain http: the
    /// configuration says so, or its name means this machine.
    fn may_be_plain(&self, domain: &str, url: &Url) -> bool {
        use std::net::ToSocketAddrs as _;
        if self.hosts.is_insecure(domain) {
            return true;
        }
        let Ok(addresses) = (url.host(), url.port()).to_socket_addrs() else { return false };
        let addresses: Vec<_> = addresses.collect();
        !addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback())
    }

    /// On this machine plain http is the rule: try it first, which is quicker than the reverse
    /// and tells as much. A TLS server answers with an alert, nonsense or "400 Bad Request".
    fn find_on_loopback(
        &self,
        domain: &str,
        http: Candidate,
        https: Candidate,
    ) -> Result<Arc<Host>, Error> {
        let first = match self.ask(&http) {
            Ok(answer) if answer.status != 400 && !is_moved_to_tls(&answer) => {
                return settle(domain, http, answer);
            }
            Ok(answer) => Error::Status {
                status: answer.status,
                phrase: super::answer::phrase(answer.status),
            },
            Err(error) => error,
        };
        if !matches!(
            first,
            Error::Request { reason: Reason::Broken(_) | Reason::Protocol(_), .. }
                | Error::Status { .. }
        ) {
            return Err(first);
        }
        match self.answers(domain, https) {
            Err(Error::Request { reason, .. }) if reason.is_no_such_service() => Err(first),
            other => other,
        }
    }

    fn answers(&self, domain: &str, candidate: Candidate) -> Result<Arc<Host>, Error> {
        let answer = self.retrying(|| self.ask(&candidate))?;
        settle(domain, candidate, answer)
    }

    /// `GET /v2/`, without credentials.
    fn ask(&self, candidate: &Candidate) -> Result<Answer, Error> {
        let url = candidate.base.append("v2/");
        let request = Request::new(Method::GET, url);
        self.follow(&request, &candidate.base, None).map_err(|reason| Error::Request {
            verb: "Get",
            url: candidate.shown.append("v2/").to_string(),
            reason,
        })
    }
}

/// Takes a registry's first answer for what it says about authentication.
fn settle(domain: &str, candidate: Candidate, answer: Answer) -> Result<Arc<Host>, Error> {
    if answer.status >= 500 || is_passing_status(answer.status) {
        return Err(answer.into_error());
    }
    let host = Host::new(domain, candidate.base, candidate.shown, candidate.is_mirror);
    // A redirect to another host does not get to say who may have our credentials.
    if answer.status == 401 && answer.url.same_origin(&host.base) {
        host.standing.learn(answer.challenges());
    }
    Ok(Arc::new(host))
}

fn is_moved_to_tls(answer: &Answer) -> bool {
    answer.url.scheme() == Scheme::Https
}
