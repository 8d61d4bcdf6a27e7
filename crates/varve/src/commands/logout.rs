//! `varve logout`

use varve_engine::Registries;
use varve_types::Printable;

use crate::{error::CommandError, ui::Ui};

pub(crate) const USAGE: &str = "[SERVER]";

/// Log out from a registry
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Log out from a registry.\nIf no server is specified, the default is defined by the daemon."
)]
pub(crate) struct Args {
    server: Option<String>,
}

pub(crate) fn run(ui: &Ui, args: &Args) -> Result<(), CommandError> {
    let server = args.server.as_deref().unwrap_or_default();
    let shown = match server {
        "" => Registries::server_name(""),
        server => {
            let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
            rest.split('/').next().unwrap_or_default().to_owned()
        }
    };
    ui.line(format_args!("Removing login credentials for {}", Printable(&shown)))?;
    Ok(ui.registries()?.logout(server)?)
}
