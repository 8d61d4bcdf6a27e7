//! Which capabilities a container has.

use std::collections::BTreeSet;

use oci_spec::runtime::Capability;
use varve_types::{Kind, Printable, container::HostConfig};

use super::Machine;

/// What every container has that asks for nothing.
const DEFAULT: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// All of them, each at its number (capability(7)).
const ALL: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

/// Every capability at its number, as the bits of `/proc/self/status` count them.
pub fn all_capabilities() -> &'static [Capability] {
    &ALL
}

/// Why a container cannot have the capabilities asked for. The messages are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// No such capability.
    #[error("invalid {member}: unknown capability: \"{}\"", Printable(name))]
    Unknown {
        /// `CapAdd` or `CapDrop`.
        member: &'static str,
        /// The name with its prefix.
        name: String,
    },
    /// The machine has not got it to give.
    #[error(
        "invalid {member}: capability not supported by your kernel or not available in the current environment: \"{name}\""
    )]
    Unavailable {
        /// `CapAdd` or `CapDrop`.
        member: &'static str,
        /// The name with its prefix.
        name: String,
    },
}

impl CapabilityError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } => Kind::Invalid,
            Self::Unavailable { .. } => Kind::Unsupported,
        }
    }
}

/// The capabilities of the container's first process.
pub(super) fn capabilities(
    host: &HostConfig,
    machine: &Machine,
) -> Result<Vec<Capability>, CapabilityError> {
    let (adds_all, adds) = read("CapAdd", host.cap_add.as_deref(), machine)?;
    let (drops_all, drops) = read("CapDrop", host.cap_drop.as_deref(), machine)?;
    let without = |from: &[Capability]| -> Vec<Capability> {
        from.iter().copied().filter(|capability| !drops.contains(capability)).collect()
    };
    if host.privileged {
        return Ok(machine.capabilities.clone());
    }
    if adds_all {
        return Ok(without(&machine.capabilities));
    }
    let mut capabilities = if drops_all { Vec::new() } else { without(&DEFAULT) };
    for capability in adds {
        if !capabilities.contains(&capability) {
            capabilities.push(capability);
        }
    }
    Ok(capabilities)
}

/// Writes the lists as docker keeps them: full names, sorted, each once; `ALL` stands for the
/// others, and what is added is not dropped.
pub fn settle_capabilities(
    host: &mut HostConfig,
    machine: &Machine,
) -> Result<(), CapabilityError> {
    let full = |(all, list): (bool, Vec<Capability>)| -> BTreeSet<String> {
        let names = list.iter().map(|capability| format!("CAP_{capability}"));
        if all { BTreeSet::from(["ALL".to_owned()]) } else { names.collect() }
    };
    let adds = full(read("CapAdd", host.cap_add.as_deref(), machine)?);
    let drops = full(read("CapDrop", host.cap_drop.as_deref(), machine)?);
    let drops = drops.into_iter().filter(|name| !adds.contains(name)).collect::<Vec<_>>();
    host.cap_add = (!adds.is_empty()).then(|| adds.into_iter().collect());
    host.cap_drop = (!drops.is_empty()).then_some(drops);
    Ok(())
}

/// Reads a list: whether it names `ALL`, and the others.
fn read(
    member: &'static str,
    names: Option<&[String]>,
    machine: &Machine,
) -> Result<(bool, Vec<Capability>), CapabilityError> {
    let (mut all, mut capabilities) = (false, Vec::new());
    for name in names.unwrap_or_default() {
        let upper = name.trim().to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare == "ALL" {
            all = true;
            continue;
        }
        let full = format!("CAP_{bare}");
        let Some(capability) = ALL.iter().find(|capability| capability.to_string() == bare) else {
            return Err(CapabilityError::Unknown { member, name: full });
        };
        if !machine.capabilities.contains(capability) {
            return Err(CapabilityError::Unavailable { member, name: full });
        }
        capabilities.push(*capability);
    }
    Ok((all, capabilities))
}
