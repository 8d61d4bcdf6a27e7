//! What is mounted into a container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the content of a mount comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A file or directory of the host.
    Bind,
    /// A volume of the store.
    Volume,
    /// Memory.
    Tmpfs,
}

impl MountKind {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Volume => "volume",
            Self::Tmpfs => "tmpfs",
        }
    }
}

/// Which way mounts made later, inside a mounted directory, are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// Neither way, of all mounts below too (docker's default for binds).
    Rprivate,
    /// Neither way.
    Private,
    /// Both ways, of all mounts below too.
    Rshared,
    /// Both ways.
    Shared,
    /// From the host to the container, of all mounts below too.
    Rslave,
    /// From the host to the container.
    Slave,
}

impl Propagation {
    /// Reads docker's word.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "rprivate" => Self::Rprivate,
            "private" => Self::Private,
            "rshared" => Self::Rshared,
            "shared" => Self::Shared,
            "rslave" => Self::Rslave,
            "slave" => Self::Slave,
            _ => return None,
        })
    }

    /// Docker's word, which is also the runtime's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rprivate => "rprivate",
            Self::Private => "private",
            Self::Rshared => "rshared",
            Self::Shared => "shared",
            Self::Rslave => "rslave",
            Self::Slave => "slave",
        }
    }
}

/// What is mounted, after names of volumes were resolved: a member of docker's `Mounts`, in its
/// order, and what the runtime needs besides ([`MountPoint::tmpfs_options`] and on).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPoint {
    /// Where its content comes from.
    #[serde(rename = "type")]
    pub kind: MountKind,
    /// Name of the volume; empty for the others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Path on the host; empty for memory.
    #[serde(default)]
    pub source: String,
    /// Path in the container, absolute and clean.
    pub destination: String,
    /// The volume's driver (`local`); empty for the others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The third part of `-v`, such as `ro` or `z`.
    #[serde(default)]
    pub mode: String,
    /// Whether it may be written.
    pub rw: bool,
    /// Propagation; none for volumes and memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
    /// Options for memory, as of `--tmpfs`: `size=64m,mode=1770,exec`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tmpfs_options: String,
    /// Mount the directory without what is mounted below it (`bind-recursive=disabled`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub non_recursive: bool,
    /// With `rw` off: what is mounted below may be written (`bind-recursive=writable`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only_non_recursive: bool,
    /// With `rw` off: fail where the kernel cannot make all below read-only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only_force_recursive: bool,
    /// The volume was made for this container and has no name that a user gave: `rm -v` and
    /// `--rm` remove it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
    /// Directory of the volume that is mounted instead of the whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subpath: String,
    /// Copy what the image has at the destination into a volume that is empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub copy_image_content: bool,
}

/// A mount as `--mount` asks for it (docker's `HostConfig.Mounts`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`; docker refuses others only when the container is made.
    #[serde(rename = "Type", default)]
    pub kind: String,
    /// Path on the host, or name of the volume.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Path in the container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Whether it may not be written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Read and not used.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub consistency: String,
    /// For `bind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind_options: Option<BindOptions>,
    /// For `volume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_options: Option<VolumeOptions>,
    /// For `tmpfs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs_options: Option<TmpfsOptions>,
}

/// Options of a bind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BindOptions {
    /// Propagation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
    /// Without what is mounted below.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub non_recursive: bool,
    /// Make a source that is missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub create_mountpoint: bool,
    /// Read-only, but not what is mounted below.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_non_recursive: bool,
    /// Fail where all below cannot be made read-only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_force_recursive: bool,
}

/// Options of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeOptions {
    /// Do not copy what the image has there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_copy: bool,
    /// Labels of a volume that is made.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Directory of the volume to mount.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subpath: String,
}

/// Options of memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TmpfsOptions {
    /// Size in bytes; 0 is the kernel's half of the memory.
    #[serde(skip_serializing_if = "is_zero")]
    pub size_bytes: i64,
    /// Mode bits; 0 is 1777.
    #[serde(skip_serializing_if = "is_zero")]
    pub mode: u32,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}
