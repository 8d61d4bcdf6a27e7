//! From a container's record and facts about the machine to the OCI runtime spec. Pure: nothing
//! here looks at the machine; the same [`Request`] gives the same spec.
//!
//! ```text
//! process       who, what, where: environment, user, capabilities, limits
//! capabilities  docker's default set, `--cap-add`, `--cap-drop`, `--privileged`
//! mounts        the kernel's file systems, what was asked for, /etc/hosts and its like
//! namespaces    own, the host's, or another container's
//! limits        what is asked for against the machine, and what follows
//! resources     cgroup limits and device rules
//! security      `--security-opt`
//! machine       what the machine can do
//! build         the same for a program that a build runs
//! ```
//!
//! Docker's own specs, recorded, are the tests (`tests/spec`).

use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceCgroup, LinuxSeccomp, RootBuilder};
pub use oci_spec::runtime::{Process, Spec};
use varve_types::{
    Container, Kind, Printable,
    container::{ModeError, NamespaceMode, NetworkMode},
};

mod build;
mod capabilities;
mod exec;
mod limits;
mod machine;
mod mounts;
mod namespaces;
mod process;
mod resources;
mod security;

pub use build::{BuildLimits, BuildMount, BuildNetwork, BuildRequest, HOSTNAME, build_spec};
pub use capabilities::{CapabilityError, all_capabilities, settle_capabilities};
pub use exec::{ExecRequest, exec_process};
pub use limits::{LimitError, settle_limits};
pub use machine::{Cgroups, Controls, HostDevice, Machine, ResourceLimit};
pub use process::replace_or_append;
pub use resources::cgroup_limits;
pub use security::{SecurityError, SecurityOptions};

use crate::{seccomp, users::ResolvedUser};

/// The version of the runtime spec that docker's engine writes.
const OCI_VERSION: &str = "1.2.0";

/// All that the spec of one container follows from.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// What was asked for.
    pub container: &'a Container,
    /// What the machine can do.
    pub machine: &'a Machine,
    /// Who runs the command, as the container's own files say.
    pub user: &'a ResolvedUser,
    /// Where things are.
    pub paths: &'a Paths,
    /// The devices asked for with `--device`, as found on the host, with their permissions.
    pub devices: &'a [(HostDevice, String)],
}

/// Where things are on the host.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    /// The root file system, mounted.
    pub rootfs: PathBuf,
    /// The container's `/etc/resolv.conf`, `/etc/hostname` and `/etc/hosts`; `None` leaves the
    /// image's.
    pub resolv_conf: Option<PathBuf>,
    /// See above.
    pub hostname: Option<PathBuf>,
    /// See above.
    pub hosts: Option<PathBuf>,
    /// A directory to show as `/dev/shm`: with `--ipc shareable`, `host`, or another
    /// container's. `None` mounts one of its own.
    pub shm: Option<PathBuf>,
    /// The program for `--init`.
    pub init: Option<PathBuf>,
    /// The container's cgroup, such as `/varve/<id>`.
    pub cgroup: String,
    /// A network namespace to enter: made for the container, or that of another.
    pub network_namespace: Option<PathBuf>,
    /// That of the other container with `--ipc container:…`.
    pub ipc_namespace: Option<PathBuf>,
    /// That of the other container with `--pid container:…`.
    pub pid_namespace: Option<PathBuf>,
    /// The name of the host, which a container with the host's network or UTS namespace has.
    pub host_name: String,
}

/// Why there is no spec. The messages are docker's where docker has one.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A capability that there is not.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// A namespace mode that there is not.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// `--security-opt`
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// The profile given with `--security-opt seccomp=…`.
    #[error(transparent)]
    Seccomp(#[from] seccomp::ProfileError),
    /// The namespace of another container was asked for and nobody said where it is.
    #[error("the {0} namespace to join is not known")]
    Namespace(&'static str),
    /// An option of a mount in memory.
    #[error("invalid tmpfs option [{:?}]", Printable(.0).to_string())]
    TmpfsOption(String),
    /// A mount whose submounts cannot be made read-only, though that was demanded.
    #[error("mount {}: recursively read-only mounts are not supported by the kernel", Printable(.0))]
    RecursiveReadOnly(String),
    /// A `--device-cgroup-rule` that is none.
    #[error("invalid device cgroup rule format: '{}'", Printable(.0))]
    DeviceRule(String),
    /// A `--ulimit` of a kind that the runtime does not know.
    #[error("invalid ulimit type: {}", Printable(.0))]
    Ulimit(String),
}

impl SpecError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Capability(error) => error.kind(),
            Self::Mode(error) => error.kind(),
            Self::Security(error) => error.kind(),
            Self::Seccomp(error) => error.kind(),
            Self::Namespace(_) => Kind::Internal,
            Self::RecursiveReadOnly(_) => Kind::Unsupported,
            Self::TmpfsOption(_) | Self::DeviceRule(_) | Self::Ulimit(_) => Kind::Invalid,
        }
    }
}

/// Makes the spec.
pub fn spec(request: &Request) -> Result<Spec, SpecError> {
    let security = SecurityOptions::parse(request.container.host_config.security_opt.as_deref())?;
    let host = &request.container.host_config;
    let capabilities = capabilities::capabilities(host, request.machine)?;
    let mut root = RootBuilder::default().path(&request.paths.rootfs).build().unwrap_or_default();
    root.set_readonly(host.readonly_rootfs.then_some(true));
    let mut spec = Spec::default();
    spec.set_version(OCI_VERSION.to_owned());
    spec.set_process(Some(process::process(request, &security, &capabilities)?));
    spec.set_root(Some(root));
    spec.set_mounts(Some(mounts::mounts(request)?));
    let own_name = NamespaceMode::uts(&host.uts_mode)? == NamespaceMode::Private;
    spec.set_hostname(own_name.then(|| process::full_hostname(request)));
    let annotations = host.annotations.clone();
    spec.set_annotations((!annotations.is_empty()).then(|| annotations.into_iter().collect()));
    spec.set_linux(Some(linux(request, &security, &capabilities)?));
    Ok(spec)
}

fn linux(
    request: &Request,
    security: &SecurityOptions,
    capabilities: &[oci_spec::runtime::Capability],
) -> Result<Linux, SpecError> {
    let Request { container, machine, .. } = *request;
    let host = &container.host_config;
    let mut linux = Linux::default();
    linux.set_namespaces(Some(namespaces::namespaces(request)?));
    linux.set_sysctl(sysctls(request));
    linux.set_resources(resources::resources(request)?);
    let in_cgroup = machine.cgroups != Cgroups::None;
    linux.set_cgroups_path(in_cgroup.then(|| request.paths.cgroup.clone().into()));
    linux.set_devices(devices(request));
    linux.set_seccomp(seccomp_filter(request, security, capabilities)?);
    // With `--privileged` nothing is hidden, whatever the record says.
    let paths = |paths: &Option<Vec<String>>| paths.clone().filter(|_| !host.privileged);
    linux.set_masked_paths(paths(&host.masked_paths));
    linux.set_readonly_paths(paths(&host.readonly_paths));
    linux.set_mount_label(
        (!container.mount_label.is_empty()).then(|| container.mount_label.clone()),
    );
    linux.set_rootfs_propagation(mounts::rootfs_propagation(container).map(str::to_owned));
    Ok(linux)
}

/// The devices to make, besides the ones that every runtime makes.
fn devices(request: &Request) -> Option<Vec<LinuxDevice>> {
    let asked = request.devices.iter().map(|(device, _)| device.to_oci());
    let all: Vec<LinuxDevice> = if request.container.host_config.privileged {
        request.machine.devices.iter().map(HostDevice::to_oci).chain(asked).collect()
    } else {
        asked.collect()
    };
    (!all.is_empty()).then_some(all)
}

fn seccomp_filter(
    request: &Request,
    security: &SecurityOptions,
    capabilities: &[oci_spec::runtime::Capability],
) -> Result<Option<LinuxSeccomp>, SpecError> {
    let machine = request.machine;
    let profile = match security.seccomp.as_deref() {
        _ if !machine.seccomp => return Ok(None),
        Some("unconfined") => return Ok(None),
        None | Some("builtin") if request.container.host_config.privileged => return Ok(None),
        None | Some("builtin") => seccomp::Profile::default_profile(),
        Some(json) => seccomp::Profile::parse(json)?,
    };
    let facts = seccomp::Facts {
        architecture: &machine.architecture,
        kernel: machine.kernel,
        capabilities,
    };
    Ok(Some(profile.resolve(&facts)?))
}

/// Settings of the kernel for the container's own namespaces.
fn sysctls(request: &Request) -> Option<std::collections::HashMap<String, String>> {
    let Request { container, machine, .. } = *request;
    let host = &container.host_config;
    let mut sysctls = std::collections::HashMap::new();
    let network = NetworkMode::of(&host.network_mode);
    if !matches!(network, NetworkMode::Host | NetworkMode::Container(_)) {
        let name = "net.ipv4.ip_unprivileged_port_start";
        sysctls.insert(name.to_owned(), "0".to_owned());
        if !machine.rootless {
            let name = "net.ipv4.ping_group_range";
            sysctls.insert(name.to_owned(), "0 2147483647".to_owned());
        }
    }
    if !container.config.domainname.is_empty() && host.uts_mode.is_empty() {
        let name = container.config.domainname.clone();
        sysctls.insert("kernel.domainname".to_owned(), name);
    }
    sysctls.extend(host.sysctls.iter().map(|(name, value)| (name.clone(), value.clone())));
    (!sysctls.is_empty()).then_some(sysctls)
}

/// One rule about devices.
fn device_rule(
    allow: bool,
    typ: Option<oci_spec::runtime::LinuxDeviceType>,
    numbers: (Option<i64>, Option<i64>),
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow);
    rule.set_typ(typ);
    rule.set_major(numbers.0);
    rule.set_minor(numbers.1);
    rule.set_access(Some(access.to_owned()));
    rule
}
