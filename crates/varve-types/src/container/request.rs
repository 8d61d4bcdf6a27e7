//! What `run` and `create` ask for.

use std::collections::BTreeMap;

use super::{ContainerConfig, HostConfig, NetworkRequest};
use crate::Platform;

/// A container to be made: what the command line says, before the image's settings are merged
/// in and before anything that only the machine can tell was checked.
///
/// Open where the daemon of docker judges: the name, the reference, capabilities, modes of
/// namespaces, sources of mounts and limits are as they were typed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CreateRequest {
    /// The name to have; none to have one made up.
    pub name: Option<String>,
    /// The platform of the image; none for the host's.
    pub platform: Option<Platform>,
    /// How the command runs; [`ContainerConfig::image`] is the reference as typed.
    pub config: ContainerConfig,
    /// What it may use of the host.
    pub host_config: HostConfig,
    /// What is asked of the networks, by name. Empty for modes that have none (`host`, `none`,
    /// `container:…`).
    pub networks: BTreeMap<String, NetworkRequest>,
}
