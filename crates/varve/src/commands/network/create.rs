//! `varve network create`

use crate::{
    commands::container::verbs::{self, NewNetwork},
    error::CommandError,
    ui::Ui,
};

pub(crate) const USAGE: &str = "[OPTIONS] NETWORK";

/// Create a network
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Enable manual container attachment
    #[arg(long)]
    attachable: bool,

    #[arg(long = "aux-address", value_name = "map", action = clap::ArgAction::Append)]
    #[arg(help = "Auxiliary IPv4 or IPv6 addresses used by Network driver (default map[])")]
    aux_addresses: Vec<String>,

    /// The network from which to copy the configuration
    #[arg(long, value_name = "string", default_value = "")]
    config_from: String,

    /// Create a configuration only network
    #[arg(long)]
    config_only: bool,

    #[arg(short, long, value_name = "string", default_value = "bridge")]
    #[arg(help = "Driver to manage the Network (default \"bridge\")")]
    driver: String,

    /// IPv4 or IPv6 Gateway for the master subnet
    #[arg(long = "gateway", value_name = "strings", action = clap::ArgAction::Append)]
    gateways: Vec<String>,

    /// Create swarm routing-mesh network
    #[arg(long)]
    ingress: bool,

    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,

    /// Allocate container ip from a sub-range
    #[arg(long = "ip-range", value_name = "strings", action = clap::ArgAction::Append)]
    ranges: Vec<String>,

    #[arg(long, value_name = "string", default_value = "default")]
    #[arg(help = "IP Address Management Driver (default \"default\")")]
    ipam_driver: String,

    #[arg(long = "ipam-opt", value_name = "map", action = clap::ArgAction::Append)]
    #[arg(help = "Set IPAM driver specific options (default map[])")]
    ipam_options: Vec<String>,

    #[arg(long, action = clap::ArgAction::SetFalse)]
    #[arg(help = "Enable or disable IPv4 address assignment (default true)")]
    ipv4: bool,

    /// Enable or disable IPv6 address assignment
    #[arg(long)]
    ipv6: bool,

    /// Set metadata on a network
    #[arg(long = "label", value_name = "list", action = clap::ArgAction::Append)]
    labels: Vec<String>,

    #[arg(short, long = "opt", value_name = "map", action = clap::ArgAction::Append)]
    #[arg(help = "Set driver specific options (default map[])")]
    options: Vec<String>,

    /// Control the network's scope
    #[arg(long, value_name = "string", default_value = "")]
    scope: String,

    /// Subnet in CIDR format that represents a network segment
    #[arg(long = "subnet", value_name = "strings", action = clap::ArgAction::Append)]
    subnets: Vec<String>,

    network: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let others = [
        (args.attachable, "--attachable"),
        (!args.config_from.is_empty(), "--config-from"),
        (args.config_only, "--config-only"),
        (args.ingress, "--ingress"),
        (args.ipam_driver != "default", "--ipam-driver"),
        (!args.ipam_options.is_empty(), "--ipam-opt"),
        (!matches!(args.scope.as_str(), "" | "local"), "--scope"),
    ];
    if let Some((_, flag)) = others.iter().find(|(given, _)| *given) {
        return Err(CommandError::daemon(format_args!("{flag} is not supported")));
    }
    let request = NewNetwork {
        name: &args.network,
        driver: &args.driver,
        internal: args.internal,
        ipv4: args.ipv4,
        ipv6: args.ipv6,
        subnets: &args.subnets,
        ranges: &args.ranges,
        gateways: &args.gateways,
        aux_addresses: &args.aux_addresses,
        labels: &args.labels,
        options: &args.options,
    };
    ui.line(verbs::create_network(ui, request)?)
}
