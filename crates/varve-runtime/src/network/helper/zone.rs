//! Who is who, as the records say now.

use std::{
    collections::HashMap,
    fs,
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use varve_types::limits;

use super::super::record::{Sandbox, Zone};

/// Which version of a file was read: records are replaced, never changed in place.
type Stamp = (u64, i64, i64, u64);

/// The names that a container may ask for, read again when they change.
#[derive(Debug)]
pub(super) struct Zones {
    record: PathBuf,
    names: PathBuf,
    sandbox: Option<(Stamp, Sandbox)>,
    read: HashMap<String, (Stamp, Zone)>,
}

impl Zones {
    pub(super) fn new(record: PathBuf, names: PathBuf) -> Self {
        Self { record, names, sandbox: None, read: HashMap::new() }
    }

    /// Addresses of a name; `None` if nobody in the container's networks has it.
    pub(super) fn addresses(&mut self, name: &str) -> Option<Vec<IpAddr>> {
        let in_zone = |zone: &Zone| {
            let short = name.strip_suffix(&zone.network.to_ascii_lowercase());
            let short = short.and_then(|name| name.strip_suffix('.'));
            let found = zone.names.get(name).or_else(|| zone.names.get(short?));
            found.cloned()
        };
        self.find(in_zone)
    }

    /// The name of an address of the container's networks.
    pub(super) fn name(&mut self, address: IpAddr) -> Option<String> {
        let in_zone = |zone: &Zone| {
            let name = zone.addresses.get(&address)?;
            Some(format!("{name}.{}", zone.network))
        };
        self.find(in_zone)
    }

    /// Where other names are asked for; nowhere if no network of the container leads out.
    pub(super) fn upstreams(&mut self) -> Vec<IpAddr> {
        refresh(&self.record, &mut self.sandbox);
        match &self.sandbox {
            Some((_, sandbox)) if sandbox.gateway_endpoint().is_some() => sandbox.upstreams.clone(),
            _ => Vec::new(),
        }
    }

    fn find<T>(&mut self, in_zone: impl Fn(&Zone) -> Option<T>) -> Option<T> {
        refresh(&self.record, &mut self.sandbox);
        let (_, sandbox) = self.sandbox.as_ref()?;
        let networks: Vec<&str> =
            sandbox.endpoints.iter().map(|endpoint| endpoint.network_id.as_str()).collect();
        self.read.retain(|id, _| networks.contains(&id.as_str()));
        for id in networks {
            let mut held = self.read.remove(id);
            refresh(&self.names.join(format!("{id}.json")), &mut held);
            let Some(held) = held else { continue };
            let found = in_zone(&held.1);
            self.read.insert(id.to_owned(), held);
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

/// Reads a record anew if it was replaced; forgets it if it is gone.
fn refresh<T: DeserializeOwned>(path: &Path, held: &mut Option<(Stamp, T)>) {
    let Ok(metadata) = fs::metadata(path) else {
        *held = None;
        return;
    };
    let stamp = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.size());
    if held.as_ref().is_some_and(|(known, _)| *known == stamp)
        || metadata.size() > limits::NETWORK_RECORD_SIZE_BYTES_MAX
    {
        return;
    }
    let parsed = fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    *held = parsed.map(|record| (stamp, record));
}
