//! `network connect` and `disconnect`: for a container that runs at once, and for its next runs.

use varve_runtime::network::{Driver, Error as Refused, Network};
use varve_types::{
    Ctx,
    container::{Container, NetworkMode, NetworkRequest},
};

use super::{NetworkError, known, wanted};
use crate::{Engine, Result};

impl Engine {
    /// Puts a container into one more network. Gives what does not work on this machine.
    pub fn connect_network(
        &self,
        ctx: &Ctx<'_>,
        network: &str,
        container: &str,
        request: &NetworkRequest,
    ) -> Result<Vec<String>> {
        let containers = self.store().lock_containers()?;
        let mut container = self.container(container)?;
        let networks = self.networks(ctx.now())?;
        let found = networks.inspect(network).map_err(NetworkError::from)?.network;
        check_modes(&container, &found)?;
        let mut request = request.clone();
        let mut warnings = Vec::new();
        match self.running_namespace(&container.id)? {
            Some(netns) => {
                let hostname = container.hostname();
                let place = (found.id.as_str(), &request);
                let connected = networks.connect(&container.id, &netns, place, &hostname);
                let connected = connected.map_err(NetworkError::from)?;
                warnings.extend(connected.warnings.iter().map(ToString::to_string));
            }
            None if self.is_wanted(&container, &found)? => {
                let container = container.name.to_string();
                let error = Refused::Connected { container, network: found.name };
                return Err(NetworkError::from(error).into());
            }
            None => {}
        }
        request.links.clear();
        write_out(&mut container);
        container.networks.insert(found.name, request);
        containers.replace(&container)?;
        Ok(warnings)
    }

    /// Takes a container out of a network. By force, out of one that is not there any more too.
    pub fn disconnect_network(
        &self,
        ctx: &Ctx<'_>,
        network: &str,
        container: &str,
        force: bool,
    ) -> Result<()> {
        let containers = self.store().lock_containers()?;
        let mut container = self.container(container)?;
        let networks = self.networks(ctx.now())?;
        let found = match networks.inspect(network) {
            Err(Refused::NotFound(_)) if force => None,
            found => Some(found.map_err(NetworkError::from)?.network),
        };
        let netns = self.running_namespace(&container.id)?;
        let name = found.as_ref().map_or(network, |network| &network.name).to_owned();
        match (netns, &found) {
            (Some(netns), Some(found)) => {
                let gone = networks.disconnect(&container.id, &netns, &found.id);
                gone.map_err(NetworkError::from)?;
            }
            (None, Some(found)) if !self.is_wanted(&container, found)? => {
                let container = container.id.to_string();
                return Err(NetworkError::NotWanted { container, network: name }.into());
            }
            _ => {}
        }
        write_out(&mut container);
        let id = found.map(|network| network.id).unwrap_or_default();
        container.networks.retain(|known, _| *known != name && *known != id);
        containers.replace(&container)?;
        Ok(())
    }

    fn is_wanted(&self, container: &Container, network: &Network) -> Result<bool> {
        let (networks, _) = self.recorded_networks()?;
        Ok(wanted(container)
            .iter()
            .any(|(name, _)| known(&networks, name).is_some_and(|known| known.id == network.id)))
    }
}

/// Says in the record what follows from the mode alone otherwise.
fn write_out(container: &mut Container) {
    container.networks = wanted(container).into_iter().collect();
}

/// Which networks cannot be together.
fn check_modes(container: &Container, network: &Network) -> Result<(), NetworkError> {
    let mode = NetworkMode::of(&container.host_config.network_mode);
    match (mode, network.driver) {
        (NetworkMode::Host, Driver::Host) | (NetworkMode::None, Driver::Null) => Ok(()),
        (NetworkMode::Container(_) | NetworkMode::Host, _) => Err(NetworkError::Shared),
        (_, Driver::Host) => Err(Refused::HostNetwork.into()),
        (NetworkMode::None, _) | (_, Driver::Null) => Err(Refused::PrivateNetwork.into()),
        _ => Ok(()),
    }
}
