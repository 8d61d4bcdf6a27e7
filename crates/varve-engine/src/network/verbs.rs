//! `network create`, `ls`, `inspect`, `rm` and `prune`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use varve_runtime::network::{Inspected, Network, NewNetwork, NewPool, Subnet, described};
use varve_types::{
    Ctx,
    container::{
        listing::{self, PruneReport},
        parse::option,
    },
};

use super::NetworkError;
use crate::{Engine, Filters, Result};

/// A network to be made.
#[derive(Debug, Clone, Default)]
pub struct CreateNetwork<'a> {
    /// Its name.
    pub name: &'a str,
    /// What makes it; `bridge` or nothing.
    pub driver: &'a str,
    /// Whether nothing goes in or out.
    pub internal: bool,
    /// Whether it has IPv6 as well.
    pub ipv6: bool,
    /// Subnets, such as `10.1.2.0/24`; chosen when there is none.
    pub subnets: &'a [String],
    /// Parts of the subnets to give addresses from.
    pub ranges: &'a [String],
    /// The bridge's addresses.
    pub gateways: &'a [String],
    /// Addresses that are somebody else's, `NAME=ADDRESS`.
    pub aux_addresses: &'a [String],
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "label!", "name", "scope", "type"];
const PRUNE_FILTERS: &[&str] = &["label", "label!", "until"];

impl Engine {
    /// Makes a network; gives its ID.
    pub fn create_network(&self, ctx: &Ctx<'_>, request: &CreateNetwork<'_>) -> Result<String> {
        let new = NewNetwork {
            name: request.name.to_owned(),
            driver: request.driver.to_owned(),
            pools: pools(request)?,
            ipv6: request.ipv6,
            internal: request.internal,
            attachable: false,
            labels: request.labels.clone(),
            options: request.options.clone(),
        };
        let networks = self.networks(ctx.now())?;
        Ok(networks.create(&new, ctx.now()).map_err(NetworkError::from)?.id)
    }

    /// Lists networks by name.
    pub fn list_networks(&self, ctx: &Ctx<'_>, filters: &Filters) -> Result<Vec<listing::Network>> {
        filters.only(FILTERS)?;
        let dangling = filters.flag("dangling")?;
        let is_type = |kind: &&str| matches!(*kind, "builtin" | "custom");
        if let Some(kind) = filters.get("type").find(|kind| !is_type(kind)) {
            return Err(NetworkError::Filter { name: "type", value: kind.to_owned() }.into());
        }
        self.networks(ctx.now())?;
        let (networks, sandboxes) = self.recorded_networks()?;
        let used: BTreeSet<&str> = sandboxes
            .iter()
            .flat_map(|sandbox| &sandbox.endpoints)
            .map(|endpoint| endpoint.network_id.as_str())
            .collect();
        let passes = |network: &Network| {
            let is_unused = !network.is_predefined() && !used.contains(network.id.as_str());
            dangling.is_none_or(|wanted| wanted == is_unused) && passes(filters, network)
        };
        let listed = networks
            .into_iter()
            .filter(passes)
            .map(|network| described(&Inspected { network, sandboxes: Vec::new() }));
        Ok(listed.collect())
    }

    /// Tells all of a network.
    pub fn inspect_network(&self, ctx: &Ctx<'_>, name: &str) -> Result<listing::Network> {
        let networks = self.networks(ctx.now())?;
        Ok(described(&networks.inspect(name).map_err(NetworkError::from)?))
    }

    /// Removes a network that no running container is in.
    pub fn remove_network(&self, ctx: &Ctx<'_>, name: &str) -> Result<()> {
        let networks = self.networks(ctx.now())?;
        self.reconcile(&networks)?;
        networks.remove(name).map_err(NetworkError::from)?;
        Ok(())
    }

    /// Takes away what runs of networks, where there is any: bridges, rules, the user's own network. No
    /// container may run.
    pub(crate) fn take_networks_away(&self, now: jiff::Timestamp) -> Result<()> {
        if self.store().root().join("varve/networks").exists() {
            self.reconcile(&self.networks(now)?)?;
        }
        Ok(())
    }

    /// Removes the networks that no running container is in.
    pub fn prune_networks(&self, ctx: &Ctx<'_>, filters: &Filters) -> Result<PruneReport> {
        filters.only(PRUNE_FILTERS)?;
        let until = filters.until(ctx.now())?;
        if !self.store().root().join("varve/networks").exists() {
            // There never was one. Nothing is made to find that out: the disk may be full.
            return Ok(PruneReport::default());
        }
        let networks = self.networks(ctx.now())?;
        self.reconcile(&networks)?;
        let is_unused = |network: &Network| {
            until.is_none_or(|until| network.created < until) && labels_pass(filters, network)
        };
        let removed = networks.prune(&is_unused).map_err(NetworkError::from)?;
        Ok(PruneReport { removed, reclaimed_bytes: 0 })
    }
}

/// Docker's order of words: ranges, gateways and further addresses go to the subnet that they
/// lie in.
fn pools(request: &CreateNetwork<'_>) -> Result<Vec<NewPool>, NetworkError> {
    let wrong = |text: String| NetworkError::Description(text);
    let mut pools: Vec<NewPool> = Vec::new();
    for text in request.subnets {
        let subnet: Subnet =
            text.parse().map_err(|_| wrong(format!("invalid CIDR address: {text}")))?;
        if pools.iter().any(|pool| pool.subnet.overlaps(subnet)) {
            return Err(wrong("multiple overlapping subnet configuration is not supported".into()));
        }
        let (ip_range, gateway, auxiliary) = (None, None, BTreeMap::new());
        pools.push(NewPool { subnet, ip_range, gateway, auxiliary });
    }
    let needs_subnets = !request.ranges.is_empty() || !request.gateways.is_empty();
    if pools.is_empty() && (needs_subnets || !request.aux_addresses.is_empty()) {
        let text = "every ip-range or gateway must have a corresponding subnet";
        return Err(wrong(text.to_owned()));
    }
    let mut place = |address: IpAddr, what: &str, text: &str, put: &mut dyn FnMut(&mut NewPool)| {
        let pool = pools.iter_mut().find(|pool| pool.subnet.contains(address));
        let pool = pool.ok_or_else(|| wrong(format!("no matching subnet for {what} {text}")))?;
        put(pool);
        Ok::<(), NetworkError>(())
    };
    for text in request.ranges {
        let range: Subnet =
            text.parse().map_err(|_| wrong(format!("invalid CIDR address: {text}")))?;
        place(range.base(), "range", text, &mut |pool| pool.ip_range = Some(range))?;
    }
    for text in request.gateways {
        let address: IpAddr =
            text.parse().map_err(|_| wrong(format!("invalid gateway address: {text}")))?;
        place(address, "gateway", text, &mut |pool| pool.gateway = Some(address))?;
    }
    for (name, text) in option::pairs(request.aux_addresses) {
        let address: IpAddr =
            text.parse().map_err(|_| wrong(format!("invalid aux-address: {text}")))?;
        place(address, "aux-address", &text, &mut |pool| {
            pool.auxiliary.insert(name.clone(), address);
        })?;
    }
    Ok(pools)
}

fn passes(filters: &Filters, network: &Network) -> bool {
    let is_one_of = |name: &str, text: &str| {
        !filters.has(name) || filters.get(name).any(|wanted| wanted == text)
    };
    let fits = |name: &str, text: &str| {
        !filters.has(name) || filters.get(name).any(|wanted| matches(wanted, text))
    };
    let kind = if network.is_predefined() { "builtin" } else { "custom" };
    is_one_of("driver", network.driver.as_str())
        && is_one_of("scope", "local")
        && is_one_of("type", kind)
        && fits("name", &network.name)
        && fits("id", &network.id)
        && labels_pass(filters, network)
}

/// Docker takes a regular expression; of these, the ends of a name are known here.
fn matches(wanted: &str, text: &str) -> bool {
    let (start, rest) = (wanted.starts_with('^'), wanted.trim_start_matches('^'));
    let (end, bare) = (rest.ends_with('$'), rest.trim_end_matches('$'));
    match (start, end) {
        (true, true) => text == bare,
        (true, false) => text.starts_with(bare),
        (false, true) => text.ends_with(bare),
        (false, false) => text.contains(bare),
    }
}

fn labels_pass(filters: &Filters, network: &Network) -> bool {
    let fits = |wanted: &str| match wanted.split_once('=') {
        Some((name, value)) => network.labels.get(name).is_some_and(|found| found == value),
        None => network.labels.contains_key(wanted),
    };
    filters.get("label").all(fits) && !(filters.has("label!") && filters.get("label!").all(fits))
}
