//! Networks, and what containers publish.

use varve_engine::{CreateNetwork, Filters};
use varve_types::container::{
    NetworkRequest, PortBindings,
    listing::{Network, PruneReport},
    parse::option,
};

use super::Result;
use crate::{error::CommandError, ui::Ui};

/// A network to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewNetwork<'a> {
    pub(crate) name: &'a str,
    pub(crate) driver: &'a str,
    pub(crate) internal: bool,
    pub(crate) ipv4: bool,
    pub(crate) ipv6: bool,
    pub(crate) subnets: &'a [String],
    pub(crate) ranges: &'a [String],
    pub(crate) gateways: &'a [String],
    /// `NAME=address`
    pub(crate) aux_addresses: &'a [String],
    /// `NAME=value`
    pub(crate) labels: &'a [String],
    /// `NAME=value`
    pub(crate) options: &'a [String],
}

/// Makes a network; gives its ID.
pub(crate) fn create_network(ui: &Ui, request: NewNetwork<'_>) -> Result<String> {
    if !request.ipv4 {
        return Err(CommandError::daemon("--ipv4=false is not supported"));
    }
    let new = CreateNetwork {
        name: request.name,
        driver: request.driver,
        internal: request.internal,
        ipv6: request.ipv6,
        subnets: request.subnets,
        ranges: request.ranges,
        gateways: request.gateways,
        aux_addresses: request.aux_addresses,
        labels: option::pairs(request.labels),
        options: option::pairs(request.options),
    };
    Ok(ui.engine()?.create_network(&ui.silent(), &new)?)
}

/// Lists networks by name.
pub(crate) fn list_networks(ui: &Ui, filters: &Filters) -> Result<Vec<Network>> {
    Ok(ui.engine()?.list_networks(&ui.silent(), filters)?)
}

/// Tells all of a network.
pub(crate) fn inspect_network(ui: &Ui, name: &str) -> Result<Network> {
    Ok(ui.engine()?.inspect_network(&ui.silent(), name)?)
}

/// Removes a network.
pub(crate) fn remove_network(ui: &Ui, name: &str) -> Result<()> {
    Ok(ui.engine()?.remove_network(&ui.silent(), name)?)
}

/// Puts a container into a network.
pub(crate) fn connect(
    ui: &Ui,
    network: &str,
    container: &str,
    request: &NetworkRequest,
) -> Result<()> {
    let warnings = ui.engine()?.connect_network(&ui.silent(), network, container, request)?;
    for warning in warnings {
        ui.complain(format_args!("WARNING: {warning}"));
    }
    Ok(())
}

/// Takes a container out of a network.
pub(crate) fn disconnect(ui: &Ui, network: &str, container: &str, force: bool) -> Result<()> {
    Ok(ui.engine()?.disconnect_network(&ui.silent(), network, container, force)?)
}

/// Removes the networks that no container has.
pub(crate) fn prune_networks(ui: &Ui, filters: &Filters) -> Result<PruneReport> {
    Ok(ui.engine()?.prune_networks(&ui.silent(), filters)?)
}

/// Where the ports of a container are published.
pub(crate) fn ports(ui: &Ui, name: &str) -> Result<PortBindings> {
    Ok(ui.engine()?.published_ports(name)?)
}
