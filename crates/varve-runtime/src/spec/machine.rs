//! What the machine can do, as far as specs depend on it.

use std::{collections::BTreeMap, path::PathBuf};

use oci_spec::runtime::{Capability, LinuxDevice, LinuxDeviceType};

/// What the machine, or the user namespace that varve runs in, can do. Found out once by whoever
/// looks; tests write one down.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Go's name of the architecture, such as `amd64`.
    pub architecture: String,
    /// Major and minor version of the kernel.
    pub kernel: (u32, u32),
    /// How processes can be limited.
    pub cgroups: Cgroups,
    /// What of them can be limited.
    pub controls: Controls,
    /// Whether we live in a user namespace that is not the host's.
    pub rootless: bool,
    /// Whether the group 5 (`tty`) exists in our user namespace.
    pub has_tty_group: bool,
    /// Whether the kernel filters system calls.
    pub seccomp: bool,
    /// Whether AppArmor is enabled.
    pub apparmor: bool,
    /// Whether SELinux is enabled.
    pub selinux: bool,
    /// Whether mounts can be made read-only with all below (`mount_setattr`, 5.12).
    pub recursive_read_only: bool,
    /// The capabilities that a container can be given: those of our bounding set.
    pub capabilities: Vec<Capability>,
    /// Our own limits on processes, by docker's names (`nofile`).
    pub limits: BTreeMap<String, ResourceLimit>,
    /// Whether we may raise hard limits (`CAP_SYS_RESOURCE` in the first user namespace).
    pub may_raise_limits: bool,
    /// Processors.
    pub cpus: u32,
    /// The processors that may be named with `--cpuset-cpus`, such as `0-1`.
    pub cpus_list: String,
    /// The memory nodes that may be named with `--cpuset-mems`, such as `0`.
    pub nodes_list: String,
    /// Every device of the host, for `--privileged`.
    pub devices: Vec<HostDevice>,
}

/// How processes can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// Not at all: the containers run, nothing is enforced.
    None,
    /// Through version 1, perhaps with version 2 beside it without controllers.
    V1,
    /// Through version 2.
    V2,
}

/// What cgroups of a machine can limit. What they cannot is left out with a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Controls {
    /// Memory.
    pub memory: bool,
    /// Memory together with what is swapped out.
    pub swap: bool,
    /// How readily memory is swapped out.
    pub swappiness: bool,
    /// What is kept when the machine is short of memory.
    pub reservation: bool,
    /// Whether a group out of memory can be made to wait instead of being killed.
    pub oom_kill_disable: bool,
    /// Weights of processors.
    pub cpu_shares: bool,
    /// Times of processors.
    pub cpu_quota: bool,
    /// Which processors and memory nodes.
    pub cpuset: bool,
    /// The number of processes.
    pub pids: bool,
    /// Weights of block devices.
    pub block_weight: bool,
    /// Rates of block devices.
    pub block_rates: bool,
}

impl Controls {
    /// Everything.
    pub const ALL: Self = Self {
        memory: true,
        swap: true,
        swappiness: true,
        reservation: true,
        oom_kill_disable: true,
        cpu_shares: true,
        cpu_quota: true,
        cpuset: true,
        pids: true,
        block_weight: true,
        block_rates: true,
    };
}

/// A limit on processes; `u64::MAX` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimit {
    /// The limit.
    pub soft: u64,
    /// What it may be raised to.
    pub hard: u64,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDevice {
    /// Where it is to appear.
    pub path: PathBuf,
    /// Character or block device.
    pub kind: LinuxDeviceType,
    /// Its numbers.
    pub major: i64,
    /// See above.
    pub minor: i64,
    /// Permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl HostDevice {
    pub(super) fn to_oci(&self) -> LinuxDevice {
        let mut device = LinuxDevice::default();
        device.set_path(self.path.clone());
        device.set_typ(self.kind);
        device.set_major(self.major);
        device.set_minor(self.minor);
        device.set_file_mode(Some(self.mode & 0o7777));
        device.set_uid(Some(self.uid));
        device.set_gid(Some(self.gid));
        device
    }
}
