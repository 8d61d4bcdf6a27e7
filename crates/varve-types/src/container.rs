//! Containers: what was asked for when one was made, and what became of it.
//!
//! ```text
//! Container          container.json: fixed by `create`; only its name and limits change later
//! ├── ContainerConfig    docker's `Config`: command, environment, user …
//! ├── HostConfig         docker's `HostConfig`: limits, namespaces, ports, mounts asked for …
//! ├── NetworkRequest     per network: aliases and addresses asked for
//! └── MountPoint         what is mounted, after names of volumes were resolved
//! State              state.json: written by the process that watches the container
//! ```
//!
//! [`ContainerConfig`] and [`HostConfig`] are, as JSON, docker's own objects: same members, same
//! order, same nulls. So the inspect report and the API are the stored record.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DiffId, Digest, ImageId, Platform};

mod config;
mod device;
mod host;
mod id;
pub mod listing;
mod mode;
mod mounts;
mod name;
mod network;
pub mod parse;
mod port;
mod request;
mod restart;
mod signal;
mod size;
mod state;
mod ulimit;
mod volume;
mod words;

pub use config::{ConfigError, ContainerConfig};
pub use device::{DeviceError, DeviceMapping, device_mode_is_valid};
pub use host::{
    HostConfig, LogConfig, MASKED_PATHS, READONLY_PATHS, SHM_SIZE_BYTES, ThrottleDevice,
    WeightDevice, WindowsLimits,
};
pub use id::{ContainerId, ContainerIdError};
pub use mode::{ModeError, NamespaceMode, NetworkMode};
pub use mounts::{
    BindOptions, Mount, MountKind, MountPoint, Propagation, TmpfsOptions, VolumeOptions,
};
pub use name::{ContainerName, NameError};
pub use network::NetworkRequest;
pub use port::{Port, PortBinding, PortBindings, PortError, Protocol, parse_publish};
pub use request::CreateRequest;
pub use restart::{RestartError, RestartMode, RestartPolicy, ends_restarts};
pub use signal::{Signal, SignalError};
pub use size::{SizeError, parse_cpus, parse_size};
pub use state::{ExecState, Health, HealthResult, HealthStatus, ProcessIdentity, State, Status};
pub use ulimit::{Ulimit, UlimitError};
pub use volume::{Volume, VolumeName, VolumeNameError};

/// One container, as `create` fixed it (`varve/containers/<id>/container.json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its ID.
    pub id: ContainerId,
    /// Its name, without docker's leading slash.
    pub name: ContainerName,
    /// When it was made.
    pub created: Timestamp,
    /// The image it was made from.
    pub image_id: ImageId,
    /// The image's manifest as it is here: what keeps the image from being swept.
    pub manifest: Digest,
    /// The image's name as it was typed, such as `busybox:1.36.0` or a short ID.
    pub image: String,
    /// The platform of the image.
    pub platform: Platform,
    /// The program: first word of entry point and command together.
    pub path: String,
    /// The other words.
    pub args: Vec<String>,
    /// How the command runs: the image's settings under those of the command line.
    pub config: ContainerConfig,
    /// What the container may use of the host.
    pub host_config: HostConfig,
    /// Networks it is to be attached to, by name.
    #[serde(default)]
    pub networks: BTreeMap<String, NetworkRequest>,
    /// What is mounted besides the defaults, in the order asked for.
    #[serde(default)]
    pub mounts: Vec<MountPoint>,
    /// The image's layers, lowest first: what keeps them from being swept.
    pub layers: Vec<DiffId>,
    /// The layer on top of them that has what every container has; `None` where the image has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<DiffId>,
    /// SELinux label of the files; empty where SELinux is off.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mount_label: String,
    /// SELinux label of the processes; empty where SELinux is off.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub process_label: String,
    /// AppArmor profile; empty where AppArmor is off.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app_armor_profile: String,
}

impl Container {
    /// The program and its arguments as one list.
    pub fn command(&self) -> Vec<String> {
        let mut words = vec![self.path.clone()];
        words.extend(self.args.iter().cloned());
        words
    }

    /// The host name inside: the one asked for, else the short ID.
    pub fn hostname(&self) -> String {
        if self.config.hostname.is_empty() { self.id.short() } else { self.config.hostname.clone() }
    }
}

/// The exit code of `run` for an error before the container's own program runs: docker's client
/// goes by the words. 127: not found, 126: not executable, else 125.
pub fn start_exit_code(error: &str) -> u8 {
    const NOT_FOUND: [&str; 2] = ["executable file not found", "no such file or directory"];
    const NOT_EXECUTABLE: [&str; 2] = ["permission denied", "is a directory"];
    let has = |words: [&str; 2]| words.iter().any(|word| error.contains(word));
    match () {
        () if has(NOT_FOUND) => 127,
        () if has(NOT_EXECUTABLE) => 126,
        () => 125,
    }
}

#[cfg(test)]
mod tests;
