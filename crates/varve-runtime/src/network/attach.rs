//! Containers into networks, and running ones out again.

use std::net::{IpAddr, Ipv4Addr};

use varve_types::{
    ContainerId,
    container::{NetworkRequest, PortBindings},
};

use super::{
    error::{Error, Result},
    helper::{self, RESOLVER},
    link::Links,
    netns::Netns,
    networks::{self, Networks},
    plug::{all_names, set_default_routes},
    ports::{Bound, Publisher},
    record::{Driver, Endpoint, Sandbox},
};

/// A container that wants to be in networks.
#[derive(Debug)]
pub struct Attach<'a> {
    /// Whose network it becomes.
    pub container: &'a ContainerId,
    /// The container's name, by which others find it.
    pub name: &'a str,
    /// Its host name; others find it by that as well.
    pub hostname: &'a str,
    /// Where its processes are, or will be; `None`: in one that its runtime makes, which has
    /// nothing but a loopback interface. That is enough for networks that have none either.
    pub netns: Option<&'a Netns>,
    /// Names or IDs of networks with what is wanted of each, in order: `eth0`, `eth1` …
    pub networks: &'a [(String, NetworkRequest)],
    /// The ports to publish; those of `-P` with an empty binding.
    pub ports: &'a PortBindings,
    /// Name servers that are asked for what the networks do not know (`--dns`, or the host's).
    pub upstreams: &'a [IpAddr],
}

/// What a container got.
#[derive(Debug)]
pub struct Attached {
    /// Addresses, interfaces, ports. Its `resolver` says whether the container's `resolv.conf`
    /// should name 127.0.0.11.
    pub sandbox: Sandbox,
    /// What does not work as it should, to be said once.
    pub warnings: Vec<Warning>,
}

/// What does not work on this machine, and does not keep a container from running.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// The kernel has no nf_tables, or lacks what is needed of it.
    #[error(
        "packet filtering is not available ({0}): containers cannot reach other machines, and published ports are served by a process"
    )]
    NoPacketFilter(String),

    /// Nothing connects the user's own network.
    #[error("containers cannot reach other machines: {0}")]
    NoUplink(String),

    /// Packets are not passed on.
    #[error("IPv4 forwarding is disabled ({0}): networking will not work")]
    NoForwarding(String),

    /// Port 53 of 127.0.0.11 had to be taken in the container itself.
    #[error("the container's own port 53 is taken by the resolver ({0})")]
    ResolverInTheWay(String),
}

/// What [`Networks::reconcile`] found left behind and removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Containers that are no more.
    pub containers: Vec<ContainerId>,
    /// Networks whose bridge nobody needed.
    pub networks: Vec<String>,
}

impl Networks {
    /// Puts a container into its networks. All of it happens, or nothing.
    pub fn attach(&self, attach: &Attach<'_>) -> Result<Attached> {
        let _lock = self.records.lock()?;
        if let Some(old) = self.records.sandbox(attach.container)? {
            self.on_ground(|| self.clear(&old))?;
        }
        let mut sandbox = Sandbox {
            container: *attach.container,
            name: attach.name.to_owned(),
            endpoints: Vec::new(),
            ports: Vec::new(),
            helpers: Vec::new(),
            resolver: false,
            upstreams: attach.upstreams.to_vec(),
        };
        let mut warnings = Vec::new();
        match self.set_up(attach, &mut sandbox, &mut warnings) {
            Ok(()) => Ok(Attached { sandbox, warnings }),
            Err(error) => {
                // The first error is the one to hear of; what cannot be undone now is written
                // down, and the next command takes it away.
                let _ = self.on_ground(|| self.clear(&sandbox)).and_then(|()| self.settle_ground());
                Err(error)
            }
        }
    }

    fn set_up(
        &self,
        attach: &Attach<'_>,
        sandbox: &mut Sandbox,
        warnings: &mut Vec<Warning>,
    ) -> Result<()> {
        if self.needs_bridge(attach)? {
            self.make_ground(warnings)?;
        }
        self.on_ground(|| self.plan_all(attach, sandbox, warnings))?;
        // Where the machine's ports are.
        let bound = self.bind_ports(attach.ports, sandbox)?;
        sandbox.ports = bound.iter().map(|bound| bound.port.clone()).collect();
        self.records.write_sandbox(sandbox)?;
        let Some(netns) = attach.netns else { return Ok(()) };
        self.on_ground(|| self.plug_all(netns, sandbox, bound, warnings))
    }

    fn needs_bridge(&self, attach: &Attach<'_>) -> Result<bool> {
        let known = self.records.networks()?;
        let is_bridge = |(name, _): &(String, NetworkRequest)| {
            networks::find(&known, name).is_ok_and(|network| network.driver == Driver::Bridge)
        };
        Ok(attach.netns.is_some() && attach.networks.iter().any(is_bridge))
    }

    /// Makes bridges ready, and chooses addresses.
    fn plan_all(
        &self,
        attach: &Attach<'_>,
        sandbox: &mut Sandbox,
        warnings: &mut Vec<Warning>,
    ) -> Result<()> {
        for (name, request) in attach.networks {
            let network = self.ready(name, warnings)?;
            if networks::is_in(sandbox, &network.id) {
                let (container, network) = (sandbox.name.clone(), network.name);
                return Err(Error::Connected { container, network });
            }
            let names = names(attach, request);
            let endpoint = self.plan(&network, sandbox, request, names)?;
            if attach.netns.is_none() && endpoint.interface.is_some() {
                return Err(Error::PrivateNetwork);
            }
            sandbox.endpoints.push(endpoint);
        }
        Ok(())
    }

    /// Makes interfaces and rules, and starts the helper.
    fn plug_all(
        &self,
        netns: &Netns,
        sandbox: &mut Sandbox,
        bound: Vec<Bound>,
        warnings: &mut Vec<Warning>,
    ) -> Result<()> {
        let failed = || Error::kernel("bring up", "lo");
        let mut inside = Links::of(netns).map_err(failed())?;
        inside.set_up("lo").map_err(failed())?;
        let publishes = sandbox.gateway_endpoint().filter(|_| !sandbox.ports.is_empty());
        for endpoint in &sandbox.endpoints {
            // Where bridged packets are filtered too (br_netfilter), a container that asks for its
            // own published port is redirected within the bridge.
            let hairpin = publishes.is_some_and(|other| other.id == endpoint.id);
            self.plug(endpoint, netns, &mut inside, hairpin)?;
        }
        set_default_routes(sandbox, &mut inside)?;
        if !sandbox.ports.is_empty() {
            self.publish(sandbox)?;
        }
        self.help(sandbox, netns, bound, warnings)?;
        self.write_zones(&sandbox.endpoints, None)
    }

    /// Puts a running container into one more network.
    pub fn connect(
        &self,
        container: &ContainerId,
        netns: &Netns,
        (network, request): (&str, &NetworkRequest),
        hostname: &str,
    ) -> Result<Attached> {
        let _lock = self.records.lock()?;
        let not_connected = || Error::NotConnected {
            container: container.to_string(),
            network: network.to_owned(),
        };
        let sandbox = self.records.sandbox(container)?.ok_or_else(not_connected)?;
        let found = networks::find(&self.records.networks()?, network)?.clone();
        if found.driver == Driver::Host {
            return Err(Error::HostNetwork);
        }
        if networks::is_in(&sandbox, &found.id) {
            return Err(Error::Connected { container: sandbox.name, network: found.name });
        }
        if sandbox.endpoints.iter().any(|endpoint| endpoint.interface.is_none()) {
            return Err(Error::PrivateNetwork);
        }
        let mut warnings = Vec::new();
        if found.driver == Driver::Bridge {
            self.make_ground(&mut warnings)?;
        }
        self.on_ground(|| {
            self.connect_one(sandbox, netns, (&found.id, request), hostname, warnings)
        })
    }

    fn connect_one(
        &self,
        mut sandbox: Sandbox,
        netns: &Netns,
        (network, request): (&str, &NetworkRequest),
        hostname: &str,
        mut warnings: Vec<Warning>,
    ) -> Result<Attached> {
        let network = self.ready(network, &mut warnings)?;
        let (name, container) = (sandbox.name.clone(), sandbox.container);
        let names = all_names(&name, hostname, &container, request);
        let endpoint = self.plan(&network, &sandbox, request, names)?;
        let failed = Error::kernel("enter the namespace of", container.to_string());
        let mut inside = Links::of(netns).map_err(failed)?;
        let before = sandbox.clone();
        sandbox.endpoints.push(endpoint.clone());
        self.records.write_sandbox(&sandbox)?;
        let done = self
            .plug(&endpoint, netns, &mut inside, false)
            .and_then(|()| set_default_routes(&sandbox, &mut inside))
            .and_then(|()| self.help(&mut sandbox, netns, Vec::new(), &mut warnings))
            .and_then(|()| self.write_zones(&sandbox.endpoints, None));
        if let Err(error) = done {
            let _ = Self::unplug(&endpoint).and_then(|()| self.records.write_sandbox(&before));
            let _ = self.write_zones(std::slice::from_ref(&endpoint), None);
            let _ = self.settle(std::slice::from_ref(&endpoint), &[], None);
            return Err(error);
        }
        Ok(Attached { sandbox, warnings })
    }

    /// Takes a running container out of a network.
    pub fn disconnect(&self, container: &ContainerId, netns: &Netns, network: &str) -> Result<()> {
        let _lock = self.records.lock()?;
        self.on_ground(|| self.disconnect_one(container, netns, network))?;
        self.settle_ground()
    }

    fn disconnect_one(&self, container: &ContainerId, netns: &Netns, network: &str) -> Result<()> {
        let network = networks::find(&self.records.networks()?, network)?.clone();
        if network.driver == Driver::Host {
            return Err(Error::HostNetwork);
        }
        let found = self.records.sandbox(container)?;
        let Some(mut sandbox) = found.filter(|sandbox| networks::is_in(sandbox, &network.id))
        else {
            let (container, network) = (container.to_string(), network.name);
            return Err(Error::NotConnected { container, network });
        };
        let had_gateway = sandbox.gateway_endpoint().is_some_and(|e| e.network_id == network.id);
        let (gone, stay): (Vec<Endpoint>, Vec<Endpoint>) =
            sandbox.endpoints.drain(..).partition(|endpoint| endpoint.network_id == network.id);
        sandbox.endpoints = stay;
        for endpoint in &gone {
            Self::unplug(endpoint)?;
        }
        let ports = if had_gateway { std::mem::take(&mut sandbox.ports) } else { Vec::new() };
        self.records.write_sandbox(&sandbox)?;
        self.write_zones(&gone, None)?;
        self.settle(&gone, &ports, None)?;
        let failed = Error::kernel("enter the namespace of", container.to_string());
        set_default_routes(&sandbox, &mut Links::of(netns).map_err(failed)?)
    }

    /// What a container has now.
    pub fn attached(&self, container: &ContainerId) -> Result<Option<Sandbox>> {
        self.records.sandbox(container)
    }

    /// Gives a running container another name.
    pub fn rename(&self, container: &ContainerId, name: &str) -> Result<()> {
        let _lock = self.records.lock()?;
        let Some(mut sandbox) = self.records.sandbox(container)? else { return Ok(()) };
        for endpoint in &mut sandbox.endpoints {
            for known in endpoint.names.iter_mut().filter(|known| **known == sandbox.name) {
                name.clone_into(known);
            }
        }
        name.clone_into(&mut sandbox.name);
        self.records.write_sandbox(&sandbox)?;
        self.write_zones(&sandbox.endpoints, None)
    }

    fn bind_ports(&self, ports: &PortBindings, sandbox: &Sandbox) -> Result<Vec<Bound>> {
        let Some((endpoint, lease)) =
            sandbox.gateway_endpoint().and_then(|endpoint| Some((endpoint, endpoint.ipv4?)))
        else {
            return Ok(Vec::new());
        };
        if ports.is_empty() {
            return Ok(Vec::new());
        }
        let networks = self.records.networks()?;
        let options = &networks::find(&networks, &endpoint.network_id)?.options;
        let default = options.get("com.docker.network.bridge.host_binding_ipv4");
        let default_address = default
            .and_then(|text| text.parse::<IpAddr>().ok())
            .filter(|address| !address.is_unspecified());
        let publisher = Publisher {
            container: &sandbox.name,
            endpoint: &endpoint.id,
            ipv4: lease.address,
            ipv6: endpoint.ipv6.map(|lease| lease.address),
            default_address,
        };
        let taken = self.records.sandboxes()?.into_iter().flat_map(|other| other.ports).collect();
        publisher.bind(ports, taken)
    }

    /// Starts the process that holds ports and answers queries, where there is something to do.
    fn help(
        &self,
        sandbox: &mut Sandbox,
        netns: &Netns,
        bound: Vec<Bound>,
        warnings: &mut Vec<Warning>,
    ) -> Result<()> {
        let asks = sandbox.endpoints.iter().any(|endpoint| !endpoint.names.is_empty());
        let resolves = asks && !sandbox.resolver;
        let bound: Vec<Bound> = bound.into_iter().filter(|bound| bound.socket.is_some()).collect();
        if !resolves && bound.is_empty() {
            return Ok(());
        }
        let failed = || Error::kernel("start the helper of", sandbox.container.to_string());
        let resolver = if resolves {
            Some(helper::open_resolver(netns, warnings).map_err(failed())?)
        } else {
            None
        };
        let pending = self.helper.start().map_err(failed())?;
        sandbox.helpers.push(pending.identity.clone());
        sandbox.resolver |= resolves;
        // Written down before it may begin: until then it ends with this process.
        self.records.write_sandbox(sandbox)?;
        let record = self.records.sandbox_path(&sandbox.container);
        let names = self.records.names_directory().to_owned();
        let started = pending.begin(record, names, resolver, bound);
        started.map_err(Error::kernel("start the helper of", sandbox.container.to_string()))
    }
}

fn names(attach: &Attach<'_>, request: &NetworkRequest) -> Vec<String> {
    all_names(attach.name, attach.hostname, attach.container, request)
}

/// Where the resolver in a container is asked.
pub fn resolver_address() -> Ipv4Addr {
    RESOLVER
}
