//! A container that starts gets its networks, and gives them back at its end.

use std::{
    fs,
    io::Read as _,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use jiff::Timestamp;
use varve_runtime::{
    files::{self, Resolver},
    network::{Attach, Detaching, Error as Refused, Netns, Networks, Sandbox, resolver_address},
    state,
};
use varve_types::{
    container::{Container, ContainerId, NetworkMode, PortBinding, PortBindings, parse_publish},
    limits,
};

use super::{NetworkError, resolves_names, run_name, wanted};
use crate::{Engine, Result};

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where systemd's resolver, which listens on loopback only, says whom it asks.
const RESOLV_CONF_BEHIND: &str = "/run/systemd/resolve/resolv.conf";
const HOSTS: &str = "/etc/hosts";

/// A container's network namespace with all that it has of networks.
#[derive(Debug)]
pub(crate) struct ConnectedContainer {
    /// Held for the container, which enters it by its path; `None` where the runtime makes it.
    pub(crate) netns: Option<Netns>,
    /// What it has.
    pub(crate) attached: AttachedNetworks,
}

/// What a container has now.
#[derive(Debug)]
pub struct AttachedNetworks {
    /// Addresses, interfaces, ports.
    pub sandbox: Sandbox,
    /// What its `/etc/resolv.conf` is to say.
    pub resolv_conf: String,
    /// What its `/etc/hosts` is to say.
    pub hosts: String,
    /// What does not work on this machine, each to be said once.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Connects a container that is about to run, unless it shares another's namespace.
    pub(crate) fn connect_container(
        &self,
        container: &Container,
        now: Timestamp,
    ) -> Result<Option<ConnectedContainer>> {
        let netns = match NetworkMode::of(&container.host_config.network_mode) {
            NetworkMode::Container(_) => return Ok(None),
            NetworkMode::Host => Netns::current().map(Some),
            // Nothing is to be put into it.
            NetworkMode::None if wanted(container).iter().all(|(name, _)| name == "none") => {
                Ok(None)
            }
            _ => Netns::create().map(Some),
        };
        let netns = netns.map_err(NetworkError::namespace("make"))?;
        // Into the machine's own nothing is put.
        let is_host = NetworkMode::of(&container.host_config.network_mode) == NetworkMode::Host;
        let attached = self.attach_networks(container, netns.as_ref().filter(|_| !is_host), now)?;
        Ok(Some(ConnectedContainer { netns, attached }))
    }

    /// Puts a container that is about to run into its networks: all of it happens, or nothing. The
    /// caller holds the lock of its monitor, and no process runs in `netns` yet; without one, the
    /// networks must be such that have no interfaces.
    pub fn attach_networks(
        &self,
        container: &Container,
        netns: Option<&Netns>,
        now: Timestamp,
    ) -> Result<AttachedNetworks> {
        let networks = self.networks(now)?;
        let wanted = wanted(container);
        let (known, _) = self.recorded_networks()?;
        let is_resolved = resolves_names(&known, &wanted);
        let upstreams = if is_resolved {
            resolv_conf(container, Resolver::Internal(resolver_address().into())).upstream
        } else {
            Vec::new()
        };
        let attach = Attach {
            container: &container.id,
            name: container.name.as_str(),
            hostname: &container.hostname(),
            netns,
            networks: &wanted,
            ports: &published(container),
            upstreams: &upstreams,
        };
        let attached = self.attach_or_make_room(&networks, &attach)?;
        let sandbox = attached.sandbox;
        let resolver = if NetworkMode::of(&container.host_config.network_mode) == NetworkMode::Host
        {
            Resolver::Host
        } else if sandbox.resolver {
            Resolver::Internal(resolver_address().into())
        } else {
            Resolver::Reachable { ipv6: sandbox.endpoints.iter().any(|it| it.ipv6.is_some()) }
        };
        Ok(AttachedNetworks {
            resolv_conf: resolv_conf(container, resolver).text,
            hosts: hosts(container, &sandbox),
            sandbox,
            warnings: attached.warnings.iter().map(ToString::to_string).collect(),
        })
    }

    /// What stands in the way may be a dead container's.
    pub(super) fn attach_or_make_room(
        &self,
        networks: &Networks,
        attach: &Attach<'_>,
    ) -> Result<varve_runtime::network::Attached, NetworkError> {
        match networks.attach(attach) {
            Err(
                error @ (Refused::Port { .. }
                | Refused::AddressInUse
                | Refused::AddressesUsedUp { .. }),
            ) => {
                if self.reconcile(networks)?.containers.is_empty() {
                    return Err(error.into());
                }
                Ok(networks.attach(attach)?)
            }
            other => Ok(other?),
        }
    }

    /// Takes a container that runs no more out of its networks. One that is in none is fine.
    pub fn detach_networks(&self, id: &ContainerId) -> Result<()> {
        match self.networks_of(id)? {
            Some(networks) => Ok(networks.detach(id).map_err(NetworkError::from)?),
            None => Ok(()),
        }
    }

    /// Whether nobody but a container's own processes has anything of its networks.
    pub(crate) fn is_quiet_in_networks(&self, id: &ContainerId) -> bool {
        let Ok(name) = run_name() else { return false };
        let Ok(Some(run)) = self.store().machine_run_path(name) else { return false };
        let recorded = Networks::recorded_sandbox(&run, id);
        recorded.is_ok_and(|sandbox| sandbox.is_some_and(|sandbox| sandbox.is_quiet()))
    }

    /// Begins to take a quiet container out of its networks, which nobody else uses until it is out.
    pub(crate) fn begin_detach(&self, id: &ContainerId) -> Result<Option<Detaching>> {
        match self.networks_of(id)? {
            Some(networks) => Ok(networks.begin_detach(id).map_err(NetworkError::from)?),
            None => Ok(None),
        }
    }

    /// Takes away what is left of containers that are no more: their monitors were killed when they
    /// had told their end, and only the networks know of them.
    pub(crate) fn detach_the_gone(&self) -> Result<()> {
        let Some(run) = self.store().machine_run_path(run_name()?)? else { return Ok(()) };
        let records = self.store().root().join("varve/networks");
        let recorded = Networks::recorded_containers(&records, &run);
        let (containers, is_busy) = recorded.map_err(NetworkError::from)?;
        let is_gone = |id: &ContainerId| {
            !self.store.is_container(&id.to_string()) && !self.store.has_step(id)
        };
        // Whoever is busy may just be at it.
        if is_busy || !containers.iter().any(is_gone) {
            return Ok(());
        }
        self.reconcile(&self.networks(Timestamp::UNIX_EPOCH)?)?;
        Ok(())
    }

    /// Tells the networks of a container that it is called otherwise now.
    pub(crate) fn rename_in_networks(&self, container: &Container) -> Result<()> {
        let Some(networks) = self.networks_of(&container.id)? else { return Ok(()) };
        let renamed = networks.rename(&container.id, container.name.as_str());
        Ok(renamed.map_err(NetworkError::from)?)
    }

    /// The network namespace that a container runs in, held; `None` when it does not run.
    pub(super) fn running_namespace(&self, id: &ContainerId) -> Result<Option<Netns>> {
        let found = state::read(&self.store().container_path(id)).map_err(NetworkError::from)?;
        let Some(process) = found.process.filter(|_| found.status.has_processes()) else {
            return Ok(None);
        };
        let netns = Netns::of_process(process.pid);
        // Asked after it was opened: then the number was still this process's.
        if !state::is_alive(&process).map_err(NetworkError::namespace("find"))? {
            return Ok(None);
        }
        Ok(Some(netns.map_err(NetworkError::namespace("open"))?))
    }
}

/// The ports to publish: those asked for, and with `-P` every other that is exposed.
fn published(container: &Container) -> PortBindings {
    let mut bindings = container.host_config.port_bindings.clone();
    if container.host_config.publish_all_ports {
        for port in exposed(container) {
            bindings.entry(port).or_insert_with(|| vec![PortBinding::default()]);
        }
    }
    bindings
}

/// The ports that the image or the user says the container listens at.
pub(super) fn exposed(container: &Container) -> Vec<varve_types::container::Port> {
    let texts = container.config.exposed_ports.iter().flatten().map(|(text, _)| text);
    // A port or a range of the container's; an image does not say where it is published.
    let texts = texts.filter(|text| !text.contains(':'));
    let read = texts.filter_map(|text| parse_publish(text).ok());
    read.flatten().map(|(port, _)| port).collect()
}

fn resolv_conf(container: &Container, resolver: Resolver) -> files::ResolvConf {
    let (text, path) = hosts_resolv_conf(resolver);
    let host = &container.host_config;
    files::resolv_conf(&text, path, resolver, [&host.dns, &host.dns_search, &host.dns_options])
}

/// The machine's own file, and where it was.
pub(super) fn hosts_resolv_conf(resolver: Resolver) -> (String, &'static str) {
    let read = |path: &str| {
        let mut text = String::new();
        let opened = fs::File::open(path).map(|it| it.take(limits::RESOLV_CONF_SIZE_BYTES_MAX));
        let read = opened.and_then(|mut file| file.read_to_string(&mut text));
        read.map(|_| text).unwrap_or_default()
    };
    let mut path = RESOLV_CONF;
    let mut text = read(path);
    let mut servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let is_local = servers.next().map(str::trim) == Some("127.0.0.53") && servers.next().is_none();
    if is_local && resolver != Resolver::Host && Path::new(RESOLV_CONF_BEHIND).exists() {
        path = RESOLV_CONF_BEHIND;
        text = read(path);
    }
    (text, path)
}

fn hosts(container: &Container, sandbox: &Sandbox) -> String {
    let extra = container.host_config.extra_hosts.clone().unwrap_or_default();
    let is_host = NetworkMode::of(&container.host_config.network_mode) == NetworkMode::Host;
    if is_host && extra.is_empty() {
        return fs::read_to_string(HOSTS).unwrap_or_else(|_| files::hosts(&[], None, &[]));
    }
    let hostname = container.hostname();
    let names = match container.config.domainname.as_str() {
        "" => vec![hostname],
        domain => vec![format!("{hostname}.{domain}"), hostname],
    };
    let addresses = sandbox.endpoints.iter().flat_map(|endpoint| {
        let v4 = endpoint.ipv4.map(|lease| IpAddr::V4(lease.address));
        let v6 = endpoint.ipv6.map(|lease| IpAddr::V6(lease.address));
        v4.into_iter().chain(v6)
    });
    let own: Vec<(IpAddr, Vec<String>)> =
        addresses.map(|address| (address, names.clone())).collect();
    let gateway = sandbox.gateway_endpoint().and_then(|endpoint| endpoint.ipv4);
    let gateway = match gateway {
        Some(lease) => Some(lease.gateway.into()),
        None if is_host => Some(Ipv4Addr::LOCALHOST.into()),
        None => None,
    };
    files::hosts(&extra, gateway, &own)
}
