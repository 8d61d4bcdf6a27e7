//! What the tests share: a client without patience, and things to ask for.

use std::{
    io::{self, Cursor, Read},
    sync::{Arc, Mutex},
    time::Duration,
};

use varve_distribution::{
    client::{Access, Client, Policy, Remote},
    credentials::Credentials,
    hosts::HostsConfig,
};
use varve_types::{Ctx, Descriptor, Environment, Repository, media_type};

use crate::server::{Request, Server};

/// Pauses that were asked for instead of made.
pub(crate) type Pauses = Arc<Mutex<Vec<Duration>>>;

/// A policy that never sleeps and does not wait long.
pub(crate) fn policy() -> (Policy, Pauses) {
    let pauses = Pauses::default();
    let kept = pauses.clone();
    let policy = Policy {
        tries_max: 4,
        back_off: Duration::from_millis(100),
        sleep: Arc::new(move |pause| kept.lock().unwrap().push(pause)),
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_millis(300),
    };
    (policy, pauses)
}

pub(crate) fn client() -> Client {
    client_with(HostsConfig::default(), Credentials::none(), &[])
}

pub(crate) fn client_with(
    hosts: HostsConfig,
    credentials: Credentials,
    variables: &[(&str, &str)],
) -> Client {
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment = Environment::new(owned);
    let ctx = Ctx { environment: &environment, ..Ctx::for_test() };
    Client::new(&ctx, hosts, credentials).with_policy(policy().0)
}

/// Credentials `alice:secret` for these registries, by way of a configuration file.
pub(crate) fn alice(registries: &[&str]) -> Credentials {
    credentials(registries, r#"{"auth": "YWxpY2U6c2VjcmV0"}"#)
}

pub(crate) fn credentials(registries: &[&str], entry: &str) -> Credentials {
    let folder = tempfile::tempdir().unwrap();
    let entries: Vec<String> = registries.iter().map(|name| format!("{name:?}: {entry}")).collect();
    let config = format!("{{\"auths\": {{{}}}}}", entries.join(","));
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let (credentials, warning) = Credentials::load(&Environment::default(), Some(folder.path()));
    assert_eq!(warning, None);
    credentials
}

pub(crate) const ALICE: &str = "Basic YWxpY2U6c2VjcmV0";

pub(crate) fn hosts(json: &str) -> HostsConfig {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json).unwrap();
    HostsConfig::read(file.path()).unwrap()
}

pub(crate) fn repository(server: &Server) -> Repository {
    Repository::parse(&format!("{}/app", server.domain())).unwrap()
}

pub(crate) fn remote<'c>(client: &'c Client, server: &Server) -> Remote<'c> {
    client.repository(&repository(server), Access::PushPull)
}

/// A manifest that points at nothing real.
pub(crate) fn manifest() -> Vec<u8> {
    let config = Descriptor::of(media_type::OCI_CONFIG, b"{}");
    serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": [],
    }))
    .unwrap()
}

/// Bytes that are not the same everywhere.
pub(crate) fn content(size: usize) -> Vec<u8> {
    (0..size as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

pub(crate) fn blob(content: &[u8]) -> Descriptor {
    Descriptor::of(media_type::OCI_LAYER, content)
}

/// Reads all of a blob from `offset` on.
pub(crate) fn fetch(
    remote: &Remote<'_>,
    blob: &Descriptor,
    offset: u64,
) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut reader = remote.blob(blob, offset).map_err(|error| error.to_string())?;
    reader.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Uploads `content`.
pub(crate) fn put(remote: &Remote<'_>, content: &[u8]) -> varve_distribution::client::Result<()> {
    let open = |offset: u64| -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(content[offset as usize..].to_vec())))
    };
    remote.put_blob(&blob(content), &open, &|_| {})
}

/// The beginning of a request's range.
pub(crate) fn range(request: &Request) -> usize {
    let value = request.header("range").unwrap_or("bytes=0-");
    value.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()
}
