//! How registries are reached: mirrors, insecure registries, endpoints that stand in for one.
//!
//! The file is varve's own, with the names of docker's `daemon.json`:
//!
//! ```json
//! {
//!   "registry-mirrors": ["https://mirror.example"],
//!   "insecure-registries": ["registry.example:5000", "10.0.0.0/8"],
//!   "registries": {
//!     "docker.io": {"mirrors": ["http://127.0.0.1:5003"], "insecure": false, "endpoint": "https://hub.example"}
//!   }
//! }
//! ```

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use varve_types::{Environment, Kind, reference::DEFAULT_DOMAIN};

use crate::client::{
    proxy::covers,
    url::{Url, split_authority},
};

/// Bytes of a configuration file.
const CONFIG_SIZE_BYTES_MAX: u64 = 1 << 20;
const DAEMON_CONFIG: &str = "/etc/docker/daemon.json";
const SYSTEM_CONFIG: &str = "/etc/varve/config.json";

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not the JSON that it should be.
    #[error("{} is not a valid configuration", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// A mirror or endpoint is not an http or https URL.
    #[error("{} names {value:?}, which is not an http or https URL", path.display())]
    Url {
        /// Which file.
        path: PathBuf,
        /// The value.
        value: String,
    },
}

impl HostsError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Read { .. } => Kind::Internal,
            Self::Json { .. } | Self::Url { .. } => Kind::Invalid,
        }
    }
}

/// How registries are reached.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct HostsConfig {
    /// Asked before docker.io when something is pulled.
    pub registry_mirrors: Vec<String>,
    /// Hosts (`host`, `host:port`, or a network in CIDR notation) that may be spoken to over
    /// plain http, or over https with a certificate that nobody vouches for.
    pub insecure_registries: Vec<String>,
    /// What is special about single registries, by the domain that references name.
    pub registries: BTreeMap<String, RegistryConfig>,
    /// Folders with a folder `host:port` for each registry: authorities and client certificates.
    #[serde(skip)]
    pub certificate_folders: Vec<PathBuf>,
}

/// What is special about one registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct RegistryConfig {
    /// Asked first when something is pulled.
    pub mirrors: Vec<String>,
    /// As if the registry were listed in `insecure-registries`.
    pub insecure: bool,
    /// Where requests go instead of `https://<domain>`.
    pub endpoint: Option<String>,
}

impl HostsConfig {
    /// Reads the configuration: the file that `VARVE_CONFIG` names, else the user's, else the
    /// system's; and docker's `daemon.json` for what that file does not name.
    pub fn load(environment: &Environment) -> Result<Self, HostsError> {
        let mut config = Self::default();
        for path in config_files(environment) {
            let wanted = environment.get("VARVE_CONFIG").is_some();
            match read(&path) {
                Ok(found) => {
                    config = found;
                    break;
                }
                // Absent, or in a folder that is closed to us: another user's `HOME`, as sudo
                // and su leave it. A file that is there and may not be read is an error.
                Err(HostsError::Read { .. }) if !wanted && path.metadata().is_err() => {}
                Err(error) => return Err(error),
            }
        }
        if config.registry_mirrors.is_empty() && config.insecure_registries.is_empty() {
            // A daemon.json that docker itself could not read is docker's matter.
            if let Ok(daemon) = read(Path::new(DAEMON_CONFIG)) {
                config.registry_mirrors = daemon.registry_mirrors;
                config.insecure_registries = daemon.insecure_registries;
            }
        }
        config.certificate_folders = certificate_folders(environment);
        Ok(config)
    }

    /// Reads one configuration file.
    pub fn read(path: &Path) -> Result<Self, HostsError> {
        read(path)
    }

    /// The mirrors of a registry, in order.
    pub(crate) fn mirrors(&self, domain: &str) -> Vec<Url> {
        let own = self.registries.get(domain).map_or(&[][..], |r| &r.mirrors);
        let general = if domain == DEFAULT_DOMAIN { &self.registry_mirrors[..] } else { &[] };
        own.iter().chain(general).filter_map(|text| text.parse().ok()).collect()
    }

    /// Where requests for a registry go, when that is not where its domain says.
    pub(crate) fn endpoint(&self, domain: &str) -> Option<Url> {
        self.registries.get(domain)?.endpoint.as_deref()?.parse().ok()
    }

    /// Whether the configuration names `host` or `host:port` as insecure.
    pub fn is_insecure(&self, authority: &str) -> bool {
        let mut insecure = self.registries.iter().filter(|(_, registry)| registry.insecure);
        if insecure.any(|(domain, registry)| {
            let endpoint = registry.endpoint.as_deref().and_then(|text| text.parse::<Url>().ok());
            domain == authority || endpoint.is_some_and(|url| url.authority() == authority)
        }) {
            return true;
        }
        let Ok((host, _)) = split_authority(authority) else { return false };
        let host = host.trim_matches(['[', ']']);
        let address = host.parse::<IpAddr>().ok();
        self.insecure_registries.iter().any(|entry| {
            let entry = entry.split_once("://").map_or(entry.as_str(), |(_, rest)| rest);
            entry.eq_ignore_ascii_case(authority)
                || entry.eq_ignore_ascii_case(host)
                || address.is_some_and(|address| entry.contains('/') && covers(entry, address))
        })
    }
}

/// The files that may hold the configuration, best first.
fn config_files(environment: &Environment) -> Vec<PathBuf> {
    if let Some(path) = environment.get("VARVE_CONFIG") {
        return vec![PathBuf::from(path)];
    }
    user_folder(environment)
        .map(|folder| folder.join("varve/config.json"))
        .into_iter()
        .chain([PathBuf::from(SYSTEM_CONFIG)])
        .collect()
}

/// `$XDG_CONFIG_HOME`, else `~/.config`.
fn user_folder(environment: &Environment) -> Option<PathBuf> {
    environment
        .get("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".config")))
}

fn certificate_folders(environment: &Environment) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(path) = config_files(environment).first().and_then(|path| path.parent()) {
        folders.push(path.join("certs.d"));
    }
    if let Some(folder) = user_folder(environment) {
        folders.push(folder.join("containers/certs.d"));
        folders.push(folder.join("docker/certs.d"));
    }
    folders.push(PathBuf::from("/etc/containers/certs.d"));
    folders.push(PathBuf::from("/etc/docker/certs.d"));
    folders
}

fn read(path: &Path) -> Result<HostsConfig, HostsError> {
    let failed = |source| HostsError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(CONFIG_SIZE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    let config: HostsConfig = serde_json::from_slice(&bytes)
        .map_err(|source| HostsError::Json { path: path.to_owned(), source })?;
    let registries = config.registries.values();
    let urls = registries.flat_map(|registry| registry.mirrors.iter().chain(&registry.endpoint));
    for value in urls.chain(&config.registry_mirrors) {
        if value.parse::<Url>().is_err() {
            return Err(HostsError::Url { path: path.to_owned(), value: value.clone() });
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> HostsConfig {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), json).unwrap();
        read(file.path()).unwrap()
    }

    #[test]
    fn insecure_registries_are_hosts_ports_and_networks() {
        let config = config(
            r#"{"insecure-registries": ["a.example", "b.example:5000", "10.0.0.0/8"],
                "registries": {"c.example": {"insecure": true, "endpoint": "https://d.example:9"}}}"#,
        );
        let insecure = ["a.example", "a.example:1", "b.example:5000", "10.2.3.4:5", "c.example"];
        for authority in insecure.into_iter().chain(["d.example:9"]) {
            assert!(config.is_insecure(authority), "{authority}");
        }
        for authority in ["b.example", "x.a.example", "11.0.0.1", "c.example:2"] {
            assert!(!config.is_insecure(authority), "{authority}");
        }
    }

    #[test]
    fn general_mirrors_are_for_docker_hub_only() {
        let config = config(
            r#"{"registry-mirrors": ["https://m1"],
                "registries": {"docker.io": {"mirrors": ["http://m0:1"]}, "q": {"mirrors": ["https://m2"]}}}"#,
        );
        let shown = |domain| config.mirrors(domain).iter().map(Url::to_string).collect::<Vec<_>>();
        assert_eq!(shown("docker.io"), ["http://m0:1/", "https://m1/"]);
        assert_eq!(shown("q"), ["https://m2/"]);
        assert_eq!(shown("other"), [""; 0]);
    }

    #[test]
    fn the_file_that_the_environment_names_must_be_there_and_sound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        let variables = [("VARVE_CONFIG".to_owned(), path.to_str().unwrap().to_owned())];
        let environment = Environment::new(variables);
        assert!(matches!(HostsConfig::load(&environment), Err(HostsError::Read { .. })));
        fs::write(&path, "{").unwrap();
        assert!(matches!(HostsConfig::load(&environment), Err(HostsError::Json { .. })));
        fs::write(&path, r#"{"registry-mirrors": ["ftp://x"]}"#).unwrap();
        assert!(matches!(HostsConfig::load(&environment), Err(HostsError::Url { .. })));
        fs::write(&path, r#"{"registries": {"docker.io": {"endpoint": "http://127.0.0.1:5003"}}}"#)
            .unwrap();
        let config = HostsConfig::load(&environment).unwrap();
        assert_eq!(config.endpoint("docker.io").unwrap().to_string(), "http://127.0.0.1:5003/");
        assert!(config.certificate_folders.contains(&folder.path().join("certs.d")));
    }
}
