//! The registry that varve ships, on a loopback address in this process, with faults on demand.
//!
//! ```no_run
//! use varve_testkit::{Fault, Image, On, Registry};
//!
//! let registry = Registry::start();
//! let root = registry.push("app:1", &Image::seeded(1).layers(3).build());
//! registry.fail(On::Blob, Fault::CutBody(10 << 10));
//! // … pull, and look at registry.log()
//! ```

mod answer;
mod token;

use std::{
    collections::HashMap,
    io::Read as _,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;
use varve_distribution::server::{self, Access, Htpasswd, RepositoryName, Storage};
use varve_types::{Ctx, Descriptor, Digest, Reference};

pub use crate::tls::Certificate;
use crate::{
    connection::{Connection, Stream},
    fault::{Fault, On, Rule},
    image::Built,
    log::Entry,
};
use token::Tokens;

/// A running registry; gone when dropped.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    address: SocketAddr,
    certificate: Option<Certificate>,
    thread: Option<JoinHandle<()>>,
    _directory: Option<TempDir>,
}

/// What all connections of a registry share.
#[derive(Debug)]
struct Shared {
    registry: server::Registry,
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<Entry>>,
    tokens: Option<Tokens>,
    origin: String,
    stopping: AtomicBool,
    /// The connections that are open, by a running number.
    streams: Mutex<(u64, HashMap<u64, TcpStream>)>,
}

/// What a registry is to be like.
#[derive(Debug, Default)]
pub struct Builder {
    root: Option<PathBuf>,
    certificate: Option<Certificate>,
    read_only: bool,
    htpasswd: Option<PathBuf>,
    bearer: Option<(String, String)>,
    anonymous_tokens: bool,
    realm: Option<String>,
    address: Option<Ipv4Addr>,
}

impl Builder {
    /// In this directory instead of a temporary one.
    #[must_use]
    pub fn root(mut self, root: &Path) -> Self {
        self.root = Some(root.to_owned());
        self
    }

    /// Over TLS, with a certificate that no system trusts.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.certificate = Some(Certificate::for_loopback());
        self
    }

    /// Over TLS, with this certificate.
    #[must_use]
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Nothing may be written over HTTP.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Basic authentication with the users of a file.
    #[must_use]
    pub fn htpasswd(mut self, path: &Path) -> Self {
        self.htpasswd = Some(path.to_owned());
        self
    }

    /// Bearer authentication: tokens come from `/token` here, for this user only.
    #[must_use]
    pub fn bearer(mut self, user: &str, password: &str) -> Self {
        self.bearer = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// Bearer authentication where everybody gets a token.
    #[must_use]
    pub fn anonymous_bearer(mut self) -> Self {
        self.anonymous_tokens = true;
        self
    }

    /// The token endpoint that challenges name, instead of our own.
    #[must_use]
    pub fn realm(mut self, url: &str) -> Self {
        self.realm = Some(url.to_owned());
        self
    }

    /// On this loopback address instead of 127.0.0.1.
    #[must_use]
    pub fn address(mut self, address: Ipv4Addr) -> Self {
        self.address = Some(address);
        self
    }

    /// Starts it.
    pub fn start(self) -> Registry {
        let directory = self.root.is_none().then(|| tempfile::tempdir().expect("a directory"));
        let root = self.root.as_deref().or(directory.as_ref().map(TempDir::path));
        let root = root.expect("a directory").to_owned();
        let htpasswd = self.htpasswd.map(|path| Htpasswd::open(&path).expect("a password file"));
        let access = Access { htpasswd, read_only: self.read_only };
        let registry = server::Registry::open(&root, access, &Ctx::for_test()).expect("a registry");
        let address = self.address.unwrap_or(Ipv4Addr::LOCALHOST);
        let listener = TcpListener::bind((address, 0)).expect("a port on loopback");
        let address = listener.local_addr().expect("an address");
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        let origin = format!("{scheme}://{address}");
        let tokens = (self.bearer.is_some() || self.anonymous_tokens).then(|| {
            let realm = self.realm.unwrap_or_else(|| format!("{origin}/token"));
            Tokens::new(realm, self.bearer)
        });
        let shared = Arc::new(Shared {
            registry,
            rules: Mutex::default(),
            log: Mutex::default(),
            tokens,
            origin,
            stopping: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let tls = self.certificate.as_ref().map(Certificate::server_config);
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared, tls.as_ref())
        });
        Registry {
            shared,
            address,
            certificate: self.certificate,
            thread: Some(thread),
            _directory: directory,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, tls: Option<&Arc<ServerConfig>>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let _ = stream.set_nodelay(true);
        let Ok(handle) = stream.try_clone() else { continue };
        let number = {
            let mut streams = lock(&shared.streams);
            streams.0 += 1;
            let number = streams.0;
            streams.1.insert(number, handle);
            number
        };
        let (shared, tls) = (Arc::clone(shared), tls.cloned());
        thread::spawn(move || {
            let stream = match tls {
                None => Ok(Stream::Plain(stream)),
                Some(config) => ServerConnection::new(config)
                    .map(|session| Stream::Tls(Box::new(StreamOwned::new(session, stream)))),
            };
            if let Ok(stream) = stream {
                // A client may do what it likes with its connection; the log shows what came of it.
                let _ = shared.serve(&Connection::new(stream));
            }
            if let Some(handle) = lock(&shared.streams).1.remove(&number) {
                let _ = handle.shutdown(Shutdown::Both);
            }
        });
    }
}

impl Registry {
    /// A registry over plain HTTP that lets everybody do everything.
    pub fn start() -> Self {
        Builder::default().start()
    }

    /// Describes another kind of registry.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Host and port, as references begin: `127.0.0.1:41234`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:41234`, or with `https`.
    pub fn origin(&self) -> &str {
        &self.shared.origin
    }

    /// A reference into this registry: `app:1` is `127.0.0.1:41234/app:1`.
    pub fn reference(&self, name: &str) -> Reference {
        format!("{}/{name}", self.host()).parse().expect("a valid reference")
    }

    /// The certificate it shows, with the authority to trust.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// What it stores.
    pub fn storage(&self) -> &Storage {
        self.shared.registry.storage()
    }

    /// Puts an image into it, behind HTTP's back: nothing of it is in the log. `name` is a
    /// repository and a tag, or a repository alone for no tag. Returns the descriptor of what
    /// the tag points at.
    pub fn push(&self, name: &str, image: impl Into<Built>) -> Descriptor {
        let image = image.into();
        let (repository, tag) = match name.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (name, None),
        };
        let repository = RepositoryName::parse(repository).expect("a valid repository");
        image.put_into(self.storage(), &repository, tag)
    }

    /// What a tag points at.
    pub fn tagged(&self, repository: &str, tag: &str) -> Option<Descriptor> {
        let repository = RepositoryName::parse(repository).expect("a valid repository");
        self.storage().tagged(&repository, tag).expect("a readable registry")
    }

    /// The bytes of a blob or manifest of a repository.
    pub fn bytes(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        let repository = RepositoryName::parse(repository).expect("a valid repository");
        let opened = self.storage().open_blob(&repository, digest).expect("a readable registry");
        let (mut file, _) = opened?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("a readable registry");
        Some(bytes)
    }

    /// Lets the next request of a kind fail.
    pub fn fail(&self, on: On, fault: Fault) {
        self.fail_times(on, fault, 1);
    }

    /// Lets the next requests of a kind fail.
    pub fn fail_times(&self, on: On, fault: Fault, times: usize) {
        lock(&self.shared.rules).push(Rule { on, fault, skip: 0, times });
    }

    /// Lets all requests of a kind fail.
    pub fn fail_always(&self, on: On, fault: Fault) {
        self.fail_times(on, fault, usize::MAX);
    }

    /// Lets one request of a kind fail after `skip` that do not.
    pub fn fail_after(&self, skip: usize, on: On, fault: Fault) {
        lock(&self.shared.rules).push(Rule { on, fault, skip, times: 1 });
    }

    /// Lets all requests of a kind fail after `skip` that do not.
    pub fn fail_always_after(&self, skip: usize, on: On, fault: Fault) {
        lock(&self.shared.rules).push(Rule { on, fault, skip, times: usize::MAX });
    }

    /// Cuts the connection in the body of the next blob that is fetched.
    pub fn cut_blob_after(&self, bytes: u64) {
        self.fail(On::Blob, Fault::CutBody(bytes));
    }

    /// Forgets all faults.
    pub fn heal(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Makes all tokens given out so far worthless.
    pub fn expire_tokens(&self) {
        if let Some(tokens) = &self.shared.tokens {
            tokens.expire();
        }
    }

    /// What was asked and answered so far.
    pub fn log(&self) -> Vec<Entry> {
        lock(&self.shared.log).clone()
    }

    /// Empties the log and returns what was in it.
    pub fn take_log(&self) -> Vec<Entry> {
        std::mem::take(&mut *lock(&self.shared.log))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in lock(&self.shared.streams).1.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
