//! The registry client: OCI distribution 1.1 and Docker's registry API v2, blocking.
//!
//! A [`Client`] lives for one command and is shared between its threads; [`Client::repository`]
//! gives a [`Remote`], through which manifests and blobs come and go.
//!
//! # Invariants
//!
//! 1. Credentials go to the origin they are for, and to token realms which that origin named
//!    over https; never along a redirect that leaves it, never into a log or an error.
//! 2. Everything received has a limit, and every wait has one.
//! 3. A manifest is returned only after its digest was verified; a blob's bytes are verified
//!    by whoever stores them.
//! 4. What a registry says is shown only with its control characters escaped.

mod answer;
mod auth;
mod blob;
mod challenge;
mod download;
mod error;
mod exchange;
mod file;
mod host;
mod list;
mod login;
mod manifest;
pub(crate) mod proxy;
mod remote;
mod search;
mod self_signed;
mod tls;
mod transport;
mod upload;
pub(crate) mod url;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ureq::Agent;
use varve_types::{Ctx, Repository};

pub use error::{Error, Problem, Reason};
pub use file::{FileAnswer, RemoteFile, Validators};
pub use remote::{Access, Remote};
pub use search::{Found, Search};
pub use upload::Open;

use crate::{credentials::Credentials, hosts::HostsConfig};
use transport::{Dialer, Unresolved, Waits};

/// What client functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Bytes of the head of an answer.
const ANSWER_HEAD_SIZE_BYTES_MAX: usize = 64 << 10;
/// Bytes read from or written to a connection at once.
const BUFFER_SIZE_BYTES: usize = 128 << 10;
const IDLE_CONNECTIONS_PER_HOST: usize = 8;

/// Patience: how often to try, and how long to wait.
#[derive(Clone)]
pub struct Policy {
    /// Tries of a request that may be repeated, the first included.
    pub tries_max: u32,
    /// The pause before the second try; it doubles with each further one.
    pub back_off: Duration,
    /// Waits. Tests do not.
    pub sleep: Arc<dyn Fn(Duration) + Send + Sync>,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a connection may be silent while something is due.
    pub idle_timeout: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tries_max: 5,
            back_off: Duration::from_millis(250),
            sleep: Arc::new(std::thread::sleep),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_mins(1),
        }
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("tries_max", &self.tries_max).finish_non_exhaustive()
    }
}

/// Speaks to registries. One for each command; cheap to share between threads.
#[derive(Debug)]
pub struct Client {
    hosts: Arc<HostsConfig>,
    credentials: Credentials,
    policy: Policy,
    known: host::Hosts,
    agent: OnceLock<Agent>,
    /// What the agent is made from, when it is first needed.
    surroundings: Surroundings,
}

/// The part of the environment that connections depend on.
#[derive(Debug)]
struct Surroundings {
    environment: varve_types::Environment,
}

impl Client {
    /// A client that knows these hosts and credentials. Takes proxies and certificates from
    /// `ctx.environment`, when they are first needed.
    pub fn new(ctx: &Ctx<'_>, hosts: HostsConfig, credentials: Credentials) -> Self {
        Self {
            hosts: Arc::new(hosts),
            credentials,
            policy: Policy::default(),
            known: host::Hosts::default(),
            agent: OnceLock::new(),
            surroundings: Surroundings { environment: ctx.environment.clone() },
        }
    }

    /// The same with other patience.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// A repository of a registry. Nothing is sent yet.
    pub fn repository(&self, repository: &Repository, access: Access) -> Remote<'_> {
        Remote::new(self, repository, access)
    }

    /// The credentials that it sends.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    fn agent(&self) -> &Agent {
        self.agent.get_or_init(|| {
            let environment = &self.surroundings.environment;
            let places = tls::Places {
                file: environment.get("SSL_CERT_FILE").map(PathBuf::from),
                directories: environment
                    .get("SSL_CERT_DIR")
                    .map(|list| list.split(':').map(PathBuf::from).collect())
                    .unwrap_or_default(),
                hosts: self.hosts.certificate_folders.clone(),
            };
            let dialer = Dialer {
                hosts: self.hosts.clone(),
                proxies: proxy::Proxies::from_environment(environment),
                tls: tls::Tls::new(places),
                waits: Waits {
                    connect: self.policy.connect_timeout,
                    idle: self.policy.idle_timeout,
                },
            };
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(None)
                .user_agent(concat!("varve/", env!("CARGO_PKG_VERSION")))
                .accept_encoding("identity")
                .max_response_header_size(ANSWER_HEAD_SIZE_BYTES_MAX)
                .input_buffer_size(BUFFER_SIZE_BYTES)
                .output_buffer_size(BUFFER_SIZE_BYTES)
                .max_idle_connections_per_host(IDLE_CONNECTIONS_PER_HOST)
                .build();
            Agent::with_parts(config, dialer, Unresolved)
        })
    }
}
