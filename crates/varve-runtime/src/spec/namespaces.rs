//! Which namespaces are the container's own.

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use varve_types::container::{NamespaceMode, NetworkMode};

use super::{Cgroups, Request, SpecError};

/// In docker's order. A namespace that is not named stays the host's. The user namespace is
/// never named: a rootless varve lives in the one that its containers get.
pub(super) fn namespaces(request: &Request) -> Result<Vec<LinuxNamespace>, SpecError> {
    let Request { container, paths, machine, .. } = *request;
    let host = &container.host_config;
    NamespaceMode::userns(&host.userns_mode)?;
    let mut namespaces = vec![namespace(LinuxNamespaceType::Mount, None)];

    match (NetworkMode::of(&host.network_mode), &paths.network_namespace) {
        (NetworkMode::Host, _) => {}
        (NetworkMode::Container(_), None) => return Err(SpecError::Namespace("network")),
        (_, path) => namespaces.push(namespace(LinuxNamespaceType::Network, path.clone())),
    }
    if NamespaceMode::uts(&host.uts_mode)? == NamespaceMode::Private {
        namespaces.push(namespace(LinuxNamespaceType::Uts, None));
    }
    match (NamespaceMode::pid(&host.pid_mode)?, &paths.pid_namespace) {
        (NamespaceMode::Host, _) => {}
        (NamespaceMode::Container(_), None) => return Err(SpecError::Namespace("pid")),
        (NamespaceMode::Container(_), path) => {
            namespaces.push(namespace(LinuxNamespaceType::Pid, path.clone()));
        }
        _ => namespaces.push(namespace(LinuxNamespaceType::Pid, None)),
    }
    match (NamespaceMode::ipc(&host.ipc_mode)?, &paths.ipc_namespace) {
        (NamespaceMode::Host, _) => {}
        (NamespaceMode::Container(_), None) => return Err(SpecError::Namespace("ipc")),
        (NamespaceMode::Container(_), path) => {
            namespaces.push(namespace(LinuxNamespaceType::Ipc, path.clone()));
        }
        _ => namespaces.push(namespace(LinuxNamespaceType::Ipc, None)),
    }
    let own_cgroups = match host.cgroupns_mode.as_str() {
        "" => machine.cgroups == Cgroups::V2 && !host.privileged,
        text => NamespaceMode::cgroup(text)? == NamespaceMode::Private,
    };
    if own_cgroups {
        namespaces.push(namespace(LinuxNamespaceType::Cgroup, None));
    }
    Ok(namespaces)
}

fn namespace(typ: LinuxNamespaceType, path: Option<std::path::PathBuf>) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(typ);
    namespace.set_path(path);
    namespace
}
