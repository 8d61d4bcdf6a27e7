//! The network of a program that a build runs: the default bridge, as containers have it.

use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use varve_runtime::{
    files::{self, Resolver},
    network::{Attach, Netns},
};
use varve_types::{
    ContainerId,
    container::{NetworkRequest, PortBindings},
};

use super::{NetworkError, attach::hosts_resolv_conf};
use crate::{Engine, Result};

/// The network that holds programs of builds.
const BRIDGE: &str = "bridge";

/// What a program has of networks.
#[derive(Debug)]
pub(crate) struct StepNetwork {
    /// Its namespace, held for it; `None`: the machine's.
    pub(crate) netns: Option<Netns>,
    /// What its `/etc/resolv.conf` is to say.
    pub(crate) resolv_conf: String,
    /// The address of the machine, as the program sees it.
    pub(crate) gateway: Option<IpAddr>,
    /// Why it has the machine's network although it was to have one of its own.
    pub(crate) warning: Option<String>,
}

impl Engine {
    /// Connects a program that is about to run to the default bridge. Where that cannot be had, or
    /// would lead nowhere, it gets the machine's network.
    pub(crate) fn connect_step(&self, id: &ContainerId, name: &str, now: Timestamp) -> StepNetwork {
        let why = match self.try_connect_step(id, name, now) {
            Ok(Ok(connected)) => return connected,
            Ok(Err(why)) => why,
            Err(error) => crate::container::whole_text(&error),
        };
        let _ = self.detach_networks(id);
        let warning = format!("no network of its own for the build, using the host's: {why}");
        StepNetwork { warning: Some(warning), ..host() }
    }

    /// `Ok(Err)`: the bridge is there, and what comes from it does not reach others.
    fn try_connect_step(
        &self,
        id: &ContainerId,
        name: &str,
        now: Timestamp,
    ) -> Result<Result<StepNetwork, String>> {
        let netns = Netns::create().map_err(NetworkError::namespace("make"))?;
        let networks = self.networks(now)?;
        let attach = Attach {
            container: id,
            name: &id.short(),
            hostname: name,
            netns: Some(&netns),
            networks: &[(BRIDGE.to_owned(), NetworkRequest::default())],
            ports: &PortBindings::default(),
            upstreams: &[],
        };
        let attached = self.attach_or_make_room(&networks, &attach)?;
        if let Some(warning) = attached.warnings.first() {
            return Ok(Err(warning.to_string()));
        }
        let sandbox = &attached.sandbox;
        let ipv6 = sandbox.endpoints.iter().any(|endpoint| endpoint.ipv6.is_some());
        let gateway = sandbox.gateway_endpoint().and_then(|endpoint| endpoint.ipv4);
        Ok(Ok(StepNetwork {
            netns: Some(netns),
            resolv_conf: resolv_conf(Resolver::Reachable { ipv6 }),
            gateway: gateway.map(|lease| lease.gateway.into()),
            warning: None,
        }))
    }
}

/// The machine's network.
pub(crate) fn host() -> StepNetwork {
    StepNetwork {
        netns: None,
        resolv_conf: resolv_conf(Resolver::Host),
        gateway: Some(Ipv4Addr::LOCALHOST.into()),
        warning: None,
    }
}

/// No network; the file says what it says elsewhere.
pub(crate) fn none() -> StepNetwork {
    StepNetwork { gateway: None, ..host() }
}

fn resolv_conf(resolver: Resolver) -> String {
    let (text, path) = hosts_resolv_conf(resolver);
    files::resolv_conf(&text, path, resolver, [&[], &[], &[]]).text
}
