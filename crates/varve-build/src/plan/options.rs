//! What a build is told besides its Dockerfile.

use std::collections::BTreeMap;

use varve_types::{Platform, Reference, container::Ulimit};

use crate::{git::GitRef, ignore::Ignore, instruction::RunNetwork};

/// What a build is told besides its Dockerfile.
#[derive(Debug, Clone)]
pub struct Options {
    /// The stage to build (`--target`); the last one when not given.
    pub target: Option<String>,
    /// `--build-arg`, with values.
    pub build_args: BTreeMap<String, String>,
    /// `--label`, in order.
    pub labels: Vec<(String, String)>,
    /// The platform to build for (`--platform`); the builder's when not given.
    pub platform: Option<Platform>,
    /// The platform of the machine that builds.
    pub build_platform: Platform,
    /// Whether the platform stands in the names of steps: when several are built at once.
    pub show_platform: bool,
    /// `--build-context`, by name without `:latest`.
    pub contexts: BTreeMap<String, BuildContext>,
    /// Which steps are run although they are in the cache.
    pub no_cache: NoCache,
    /// The network of steps that do not choose one (`--network`).
    pub network: RunNetwork,
    /// `--add-host`, name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// `--shm-size`.
    pub shm_size_bytes: Option<i64>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// What `.dockerignore` says, for the build checks.
    pub ignore: Option<Ignore>,
    /// Whether stages that the target does not use are planned too, as `--check` does.
    pub all_stages: bool,
}

impl Options {
    /// Nothing told: the last stage for the machine's own platform.
    pub fn new(build_platform: Platform) -> Self {
        Self {
            target: None,
            build_args: BTreeMap::new(),
            labels: Vec::new(),
            platform: None,
            build_platform,
            show_platform: false,
            contexts: BTreeMap::new(),
            no_cache: NoCache::Never,
            network: RunNetwork::Default,
            extra_hosts: Vec::new(),
            shm_size_bytes: None,
            ulimits: Vec::new(),
            ignore: None,
            all_stages: false,
        }
    }

    /// The platform to build for.
    pub fn target_platform(&self) -> &Platform {
        self.platform.as_ref().unwrap_or(&self.build_platform)
    }

    /// A named context, by a name as `FROM` and `--from` have it.
    pub(super) fn context(&self, name: &str) -> Option<&BuildContext> {
        if name.eq_ignore_ascii_case("scratch") || name.eq_ignore_ascii_case("context") {
            return None;
        }
        self.contexts.get(&context_name(name))
    }
}

/// The form in which names of contexts are compared: an image's short name without `:latest`.
pub fn context_name(name: &str) -> String {
    let familiar = name.parse::<Reference>().map(|reference| reference.familiar());
    let name = familiar.unwrap_or_else(|_| name.to_owned());
    name.strip_suffix(":latest").map(str::to_owned).unwrap_or(name)
}

/// Which steps are run although they are in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NoCache {
    /// None.
    #[default]
    Never,
    /// All (`--no-cache`).
    All,
    /// Those of some stages (`--no-cache-filter`).
    Stages(Vec<String>),
}

impl NoCache {
    pub(super) fn covers(&self, stage: &str) -> bool {
        match self {
            Self::Never => false,
            Self::All => true,
            Self::Stages(names) => names.iter().any(|name| name.eq_ignore_ascii_case(stage)),
        }
    }
}

/// What a named context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildContext {
    /// An image: `docker-image://alpine`.
    Image(Reference),
    /// An image in a layout: `oci-layout://path:tag`, without the scheme.
    OciLayout(String),
    /// A directory.
    Local(String),
    /// A git repository.
    Git(GitRef),
    /// An archive or a file at this address.
    Http(String),
}

impl BuildContext {
    /// Reads the value of `--build-context name=VALUE`.
    pub fn parse(value: &str) -> Result<Self, ContextError> {
        if let Some(name) = value.strip_prefix("docker-image://") {
            let reference: Reference = name.parse().map_err(ContextError::Reference)?;
            return Ok(Self::Image(reference.or_latest()));
        }
        if let Some(path) = value.strip_prefix("oci-layout://") {
            return Ok(Self::OciLayout(path.to_owned()));
        }
        if let Some(git) = crate::git::parse(value).map_err(ContextError::Git)? {
            return Ok(Self::Git(git));
        }
        if crate::git::is_http(value) {
            return Ok(Self::Http(value.to_owned()));
        }
        Ok(Self::Local(value.to_owned()))
    }
}

/// Why the value of a named context makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// `docker-image://` with what is no name.
    #[error(transparent)]
    Reference(varve_types::reference::ReferenceError),
    /// A git address that makes no sense.
    #[error("{0}")]
    Git(&'static str),
}

impl ContextError {
    /// Classifies the error.
    pub fn kind(&self) -> varve_types::Kind {
        varve_types::Kind::Invalid
    }
}
