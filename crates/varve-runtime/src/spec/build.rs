//! The spec of a program that a build runs: as docker's builder has it, which is a container with
//! little of its own. It has docker's default capabilities, filter and hidden paths, the host name
//! `buildkitsandbox`, no terminal, and an environment of what the Dockerfile says.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci_spec::runtime::{Mount, Spec};
use varve_types::{
    Container, ContainerId, Digest, ImageId, Platform,
    container::{ContainerConfig, ContainerName, HostConfig, NameError, Ulimit},
};

use super::{
    Machine, Paths, Request, SpecError,
    mounts::{mount, parents_first},
    process, spec,
};
use crate::users::ResolvedUser;

/// The host name in a build.
pub const HOSTNAME: &str = "buildkitsandbox";

/// All that the spec of a build's program follows from.
#[derive(Debug, Clone)]
pub struct BuildRequest<'a> {
    /// Program and arguments.
    pub arguments: &'a [String],
    /// `NAME=value`; of several with one name the last counts. `PATH` and `HOME` are added where
    /// they are missing.
    pub environment: &'a [String],
    /// Its directory, absolute.
    pub directory: &'a str,
    /// Who runs it.
    pub user: &'a ResolvedUser,
    /// What is mounted for it.
    pub mounts: &'a [BuildMount],
    /// Its network.
    pub network: BuildNetwork,
    /// Whether it may do what the machine's root may (`--security=insecure`).
    pub insecure: bool,
    /// AppArmor's profile, where there is one.
    pub apparmor_profile: &'a str,
    /// Limits of processes.
    pub ulimits: &'a [Ulimit],
    /// Bytes of `/dev/shm`; `None`: as many as containers have.
    pub shm_size_bytes: Option<i64>,
    /// What all of its processes may use.
    pub limits: &'a BuildLimits,
    /// Its root, mounted.
    pub rootfs: &'a Path,
    /// Files that are shown as `/etc/hosts` and `/etc/resolv.conf`.
    pub hosts: &'a Path,
    /// See above.
    pub resolv_conf: &'a Path,
    /// Its cgroup, such as `/varve/<id>`.
    pub cgroup: &'a str,
    /// What the machine can do.
    pub machine: &'a Machine,
}

/// What processes of a build may use of the machine; 0 and the empty text are no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildLimits {
    /// Bytes of memory.
    pub memory_bytes: i64,
    /// Bytes of memory and swap together, -1 for any number of them.
    pub memory_swap_bytes: i64,
    /// Weight of processors.
    pub cpu_shares: i64,
    /// Microseconds in which `cpu_quota` counts.
    pub cpu_period: i64,
    /// Microseconds.
    pub cpu_quota: i64,
    /// Processors, such as `0-1`.
    pub cpuset_cpus: String,
    /// Memory nodes.
    pub cpuset_mems: String,
}

/// The network of a build's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildNetwork {
    /// Loopback only.
    None,
    /// The machine's.
    Host,
    /// A namespace that was made for it.
    Namespace(PathBuf),
}

/// Something that is mounted for a build's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildMount {
    /// A file or directory of the host.
    Bind {
        /// Where it is on the host.
        source: PathBuf,
        /// Where it is shown.
        target: String,
        /// Whether it cannot be written.
        read_only: bool,
    },
    /// A file of the builder's: a secret, or a socket. It cannot be changed, and nothing is
    /// executed from it.
    File {
        /// Where it is on the host.
        source: PathBuf,
        /// Where it is shown.
        target: String,
    },
    /// A file system in memory.
    Tmpfs {
        /// Where it is shown.
        target: String,
        /// Bytes that it may hold; `None`: as the kernel likes.
        size_bytes: Option<i64>,
    },
}

/// Makes the spec.
pub fn build_spec(request: &BuildRequest<'_>) -> Result<Spec, SpecError> {
    let container = record(request).map_err(|_| SpecError::Namespace("host name"))?;
    let network_namespace = match &request.network {
        BuildNetwork::Namespace(path) => Some(path.clone()),
        BuildNetwork::None | BuildNetwork::Host => None,
    };
    let paths = Paths {
        rootfs: request.rootfs.to_owned(),
        cgroup: request.cgroup.to_owned(),
        network_namespace,
        ..Paths::default()
    };
    let mut spec = spec(&Request {
        container: &container,
        machine: request.machine,
        user: request.user,
        paths: &paths,
        devices: &[],
    })?;
    if let Some(process) = spec.process_mut() {
        let home = &request.user.home;
        let environment = process::environment_of(None, false, request.environment, home);
        process.set_env(Some(environment));
    }
    let mut own: Vec<Mount> =
        [("/etc/hosts", request.hosts), ("/etc/resolv.conf", request.resolv_conf)]
            .into_iter()
            .map(|(target, source)| file(target, source))
            .collect();
    own.extend(request.mounts.iter().map(mount_of));
    parents_first(&mut own);
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    mounts.extend(own);
    spec.set_mounts(Some(mounts));
    Ok(spec)
}

/// The program as a container: one that was never created, and of which nothing is kept.
fn record(request: &BuildRequest<'_>) -> Result<Container, NameError> {
    let arguments = request.arguments.to_vec();
    let (path, args) = match arguments.split_first() {
        Some((path, args)) => (path.clone(), args.to_vec()),
        None => (String::new(), Vec::new()),
    };
    let network_mode = match request.network {
        BuildNetwork::None => "none",
        BuildNetwork::Host => "host",
        BuildNetwork::Namespace(_) => "bridge",
    };
    let config = ContainerConfig {
        hostname: HOSTNAME.to_owned(),
        cmd: Some(arguments),
        working_dir: request.directory.to_owned(),
        ..ContainerConfig::default()
    };
    let limits = request.limits;
    let plain = HostConfig::default();
    let host_config = HostConfig {
        network_mode: network_mode.to_owned(),
        // A sandbox of the host's network has a name of its own all the same.
        uts_mode: String::new(),
        privileged: request.insecure,
        shm_size: request.shm_size_bytes.filter(|size| *size > 0).unwrap_or(plain.shm_size),
        ulimits: request.ulimits.to_vec(),
        memory: limits.memory_bytes,
        memory_swap: limits.memory_swap_bytes,
        cpu_shares: limits.cpu_shares,
        cpu_period: limits.cpu_period,
        cpu_quota: limits.cpu_quota,
        cpuset_cpus: limits.cpuset_cpus.clone(),
        cpuset_mems: limits.cpuset_mems.clone(),
        ..plain
    };
    Ok(Container {
        id: ContainerId::from_random([0; 32]),
        name: HOSTNAME.parse::<ContainerName>()?,
        created: Timestamp::UNIX_EPOCH,
        image_id: ImageId(Digest::of(b"")),
        manifest: Digest::of(b""),
        image: String::new(),
        platform: Platform::host(),
        path,
        args,
        config,
        host_config,
        networks: std::collections::BTreeMap::new(),
        mounts: Vec::new(),
        layers: Vec::new(),
        base: None,
        mount_label: String::new(),
        process_label: String::new(),
        app_armor_profile: if request.insecure {
            String::new()
        } else {
            request.apparmor_profile.to_owned()
        },
    })
}

fn mount_of(wanted: &BuildMount) -> Mount {
    match wanted {
        BuildMount::Bind { source, target, read_only } => {
            let options: &[&str] = if *read_only { &["rbind", "ro"] } else { &["rbind"] };
            mount(target, "bind", source, options)
        }
        BuildMount::File { source, target } => file(target, source),
        BuildMount::Tmpfs { target, size_bytes } => {
            let mut options = vec!["nosuid".to_owned()];
            options.extend(size_bytes.map(|size| format!("size={size}")));
            mount(target, "tmpfs", "tmpfs", &options)
        }
    }
}

fn file(target: &str, source: &Path) -> Mount {
    mount(target, "bind", source, &["bind", "ro", "nosuid", "nodev", "noexec"])
}
