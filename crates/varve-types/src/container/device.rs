//! Devices of the host that a container may use.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Kind, Printable};

/// A device of the host that a container sees (docker's `DeviceMapping`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeviceMapping {
    /// A device, or a directory of devices, of the host.
    pub path_on_host: String,
    /// Where it appears.
    pub path_in_container: String,
    /// What may be done with it: letters of `rwm` (read, write, make a node).
    pub cgroup_permissions: String,
}

/// Why a text names no device. The messages are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No path, or more than three parts.
    #[error("bad format for path: {}", Printable(.0))]
    Format(String),
    /// The third part is no set of `rwm`.
    #[error("bad mode specified: {}", Printable(.0))]
    Mode(String),
    /// The path in the container does not start at the root.
    #[error("{} is not an absolute path", Printable(.0))]
    Relative(String),
}

impl DeviceError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// Whether `text` is a set of the letters `r`, `w` and `m`: at least one, none twice.
pub fn device_mode_is_valid(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| "rwm".contains(c) && text.matches(c).count() == 1)
}

impl FromStr for DeviceMapping {
    type Err = DeviceError;

    /// Parses `--device`: `HOST[:CONTAINER][:MODE]`.
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let parts: Vec<&str> = text.split(':').collect();
        let (host, inside, mode) = match parts[..] {
            [host] => (host, host, "rwm"),
            [host, mode] if device_mode_is_valid(mode) => (host, host, mode),
            [host, inside] => (host, inside, "rwm"),
            [host, inside, mode] if device_mode_is_valid(mode) => (host, inside, mode),
            [_, _, mode] => return Err(DeviceError::Mode(mode.to_owned())),
            _ => return Err(DeviceError::Format(text.to_owned())),
        };
        if host.is_empty() {
            return Err(DeviceError::Format(text.to_owned()));
        }
        if !inside.starts_with('/') {
            return Err(DeviceError::Relative(inside.to_owned()));
        }
        Ok(Self {
            path_on_host: host.to_owned(),
            path_in_container: inside.to_owned(),
            cgroup_permissions: mode.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<DeviceMapping>() {
            Ok(it) => {
                format!("{} {} {}", it.path_on_host, it.path_in_container, it.cgroup_permissions)
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn devices_are_read_as_docker_reads_them() {
        check("/dev/null", "/dev/null /dev/null rwm");
        check("/dev/null:/dev/xnull:r", "/dev/null /dev/xnull r");
        check("/dev/null:rw", "/dev/null /dev/null rw");
        check("/dev/null:/x", "/dev/null /x rwm");
        check("/dev/null:/x:rr", "bad mode specified: rr");
        check("/dev/null:x", "x is not an absolute path");
        check("a:b:c:d", "bad format for path: a:b:c:d");
        check(":/x", "bad format for path: :/x");
    }
}
