//! `varve network connect`

use varve_types::container::{
    NetworkRequest,
    parse::{network, option},
};

use crate::{commands::container::verbs, error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[OPTIONS] NETWORK CONTAINER";

/// Connect a container to a network
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Add network-scoped alias for the container
    #[arg(long = "alias", value_name = "strings", action = clap::ArgAction::Append)]
    aliases: Vec<String>,

    /// driver options for the network
    #[arg(long = "driver-opt", value_name = "strings", action = clap::ArgAction::Append)]
    driver_options: Vec<String>,

    #[arg(long, value_name = "string", default_value = "")]
    #[arg(help = "IPv4 address (e.g., \"172.30.100.104\")")]
    ip: String,

    #[arg(long, value_name = "string", default_value = "")]
    #[arg(help = "IPv6 address (e.g., \"2001:db8::33\")")]
    ip6: String,

    /// Add link to another container
    #[arg(long = "link", value_name = "list", value_parser = option::link)]
    #[arg(action = clap::ArgAction::Append)]
    links: Vec<String>,

    /// Add a link-local address for the container
    #[arg(long = "link-local-ip", value_name = "strings", action = clap::ArgAction::Append)]
    link_local_ips: Vec<String>,

    network: String,

    container: String,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let request = args.request().map_err(|error| CommandError::plain(error.to_string(), 1))?;
    verbs::connect(ui, &args.network, &args.container, &request)
}

impl Args {
    fn request(&self) -> Result<NetworkRequest, varve_types::container::parse::FlagError> {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        Ok(NetworkRequest {
            aliases: self.aliases.clone(),
            ipv4_address: given(&self.ip).map(|text| network::ipv4(&text)).transpose()?,
            ipv6_address: given(&self.ip6).map(|text| network::ipv6(&text)).transpose()?,
            link_local_ips: self
                .link_local_ips
                .iter()
                .map(|text| network::address(text))
                .collect::<Result<_, _>>()?,
            mac_address: None,
            links: self.links.clone(),
            driver_options: option::pairs(&self.driver_options),
        })
    }
}
