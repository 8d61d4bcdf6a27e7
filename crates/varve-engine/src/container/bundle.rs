//! What a container needs before its first process: its root mounted, its files written, its user
//! known, and the runtime's configuration.
//!
//! ```text
//! <run directory>/containers/<id>/rootfs     layers, base and upper, mounted
//! <run directory>/bundles/<id>/config.json   for the runtime; beside it the monitor's socket
//! varve/containers/<id>/{hosts,hostname,resolv.conf,docker-init}
//! ```

use std::path::{Path, PathBuf};

use varve_fs::{durable, mount::Upper, root::Root};
use varve_runtime::{
    apparmor,
    attach::Refused,
    cgroup, files,
    network::Netns,
    probe, selinux,
    spec::{self, Spec},
    users::{self, ResolvedUser},
};
use varve_store::{Holder, Snapshot};
use varve_types::container::{Container, ContainerId, NamespaceMode, NetworkMode, start_exit_code};

use super::workdir;
use crate::{Engine, Result, network::ConnectedContainer};

/// Where containers' bundles are, in the run directory.
pub(super) const BUNDLES: &str = "bundles";

/// What was made ready.
pub(crate) struct Bundle {
    /// Its directory.
    pub(crate) path: PathBuf,
    /// What its `config.json` says.
    pub(crate) spec: Spec,
    /// Its network namespace, unless it shares another container's or the runtime makes it.
    pub(crate) netns: Option<Netns>,
    /// What of its networks does not work on this machine.
    pub(crate) warnings: Vec<String>,
}

impl Engine {
    /// Who holds a container's mounts.
    pub(crate) fn holder(id: &ContainerId) -> Holder {
        Holder::Container(id.to_string())
    }

    /// The directory of a container's runtime configuration and its monitor's socket, which is made
    /// with the bundle: who only looks for a container that goes leaves nothing behind.
    pub(crate) fn bundle_path(&self, id: &ContainerId) -> Result<PathBuf> {
        Ok(self.store.run_directory(BUNDLES)?.join(id.to_string()))
    }

    /// Mounts a container's root, or finds it mounted.
    pub(crate) fn mount_container(&self, container: &Container) -> Result<PathBuf> {
        let directory = self.store.container_path(&container.id);
        let layers: Vec<_> = container.layers.iter().chain(&container.base).copied().collect();
        let upper = Upper {
            directory: directory.join("upper"),
            work: directory.join("work"),
            is_fleeting: container.host_config.auto_remove,
        };
        let holder = Self::holder(&container.id);
        let request = Snapshot { holder: &holder, layers: &layers, upper: Some(upper) };
        Ok(self.store.mount(&request)?.path)
    }

    /// Makes a container's bundle. What was made stays when this fails; it is released with the
    /// rest.
    pub(crate) fn make_bundle(
        &self,
        container: &Container,
        connected: Option<ConnectedContainer>,
    ) -> Result<Bundle, Refused> {
        let rootfs = self.mount_container(container).map_err(refused)?;
        let root = Root::open(&rootfs).map_err(|error| refused_text(&error))?;
        let user = users::resolve(
            &root,
            &container.config.user,
            container.host_config.group_add.as_deref().unwrap_or_default(),
        )
        .map_err(|error| refused_text(&error))?;
        if !container.config.working_dir.is_empty() {
            workdir::make(&root, &container.config.working_dir).map_err(start_refused)?;
        }
        self.fill_volumes(container, &rootfs).map_err(refused)?;
        let relabelled = selinux::relabelled(&container.mounts, &container.mount_label);
        for (mount, label) in relabelled.map_err(|error| refused_text(&error))? {
            selinux::write(mount.source.as_ref(), &label).map_err(|error| refused_text(&error))?;
        }
        let path = self.bundle_path(&container.id).map_err(refused)?;
        durable::create_directory(&path, 0o700).map_err(|error| refused_text(&error))?;
        let paths = self.write_files(container, connected.as_ref()).map_err(refused)?;
        let paths = spec::Paths { rootfs, ..self.joined(container, paths).map_err(refused)? };
        let parted = self.mount_parts(container)?;
        let spec = make_spec(&parted, &user, &paths)?;
        let json = serde_json::to_vec(&spec).map_err(|error| refused_text(&error))?;
        let config = path.join("config.json");
        durable::replace_unsynced(&config, &json, 0o600).map_err(|error| refused_text(&error))?;
        let (netns, warnings) = connected.map_or_else(Default::default, |connected| {
            (connected.netns, connected.attached.warnings)
        });
        Ok(Bundle { path, spec, netns, warnings })
    }

    /// Writes what the container sees as its `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.
    fn write_files(
        &self,
        container: &Container,
        connected: Option<&ConnectedContainer>,
    ) -> Result<spec::Paths> {
        let mut paths = spec::Paths::default();
        // Who shares another's namespace shares its files.
        let Some(ConnectedContainer { netns, attached }) = connected else { return Ok(paths) };
        let directory = self.store.container_path(&container.id);
        let hostname = files::hostname(&container.hostname());
        let texts = [
            ("hosts", &attached.hosts, &mut paths.hosts),
            ("hostname", &hostname, &mut paths.hostname),
            ("resolv.conf", &attached.resolv_conf, &mut paths.resolv_conf),
        ];
        for (name, text, place) in texts {
            let path = directory.join(name);
            durable::replace_unsynced(&path, text.as_bytes(), 0o644).map_err(|source| {
                varve_store::Error::Io { action: "write", path: path.clone(), source }
            })?;
            *place = Some(path);
        }
        paths.network_namespace = netns.as_ref().map(Netns::path);
        Ok(paths)
    }

    /// Where the namespaces are that the container shares with others.
    fn joined(&self, container: &Container, mut paths: spec::Paths) -> Result<spec::Paths> {
        let host = &container.host_config;
        let of = |name: &str, kind: &str| -> Result<PathBuf> {
            let pid = self.running_pid(name)?;
            Ok(PathBuf::from(format!("/proc/{pid}/{kind}")))
        };
        if let NetworkMode::Container(name) = NetworkMode::of(&host.network_mode) {
            paths.network_namespace = Some(of(&name, "ns/net")?);
            // Both have one name and one set of hosts.
            let other = self.store.container_path(&self.container(&name)?.id);
            paths.hosts = Some(other.join("hosts"));
            paths.hostname = Some(other.join("hostname"));
            paths.resolv_conf = Some(other.join("resolv.conf"));
        }
        match NamespaceMode::ipc(&host.ipc_mode) {
            Ok(NamespaceMode::Container(name)) => {
                paths.ipc_namespace = Some(of(&name, "ns/ipc")?);
                paths.shm = Some(of(&name, "root/dev/shm")?);
            }
            Ok(NamespaceMode::Host) => paths.shm = Some("/dev/shm".into()),
            _ => {}
        }
        if let Ok(NamespaceMode::Container(name)) = NamespaceMode::pid(&host.pid_mode) {
            paths.pid_namespace = Some(of(&name, "ns/pid")?);
        }
        let parent = host.cgroup_parent.trim_matches('/');
        let parent = if parent.is_empty() { "varve" } else { parent };
        paths.cgroup = format!("/{parent}/{}", container.id);
        if host.init == Some(true) {
            paths.init = init(&self.store.container_path(&container.id))?;
        }
        let uname = rustix::system::uname();
        paths.host_name = uname.nodename().to_string_lossy().into_owned();
        Ok(paths)
    }
}

/// The program for `--init`: ours, written beside the container's other files.
fn init(directory: &Path) -> Result<Option<PathBuf>> {
    if varve_init::PROGRAM.is_empty() {
        return Ok(find_init());
    }
    let path = directory.join("docker-init");
    durable::replace_unsynced(&path, varve_init::PROGRAM, 0o755)
        .map_err(|source| varve_store::Error::Io { action: "write", path: path.clone(), source })?;
    Ok(Some(path))
}

/// An installed program that reaps what nobody waits for, for architectures that ours is not
/// written for.
fn find_init() -> Option<PathBuf> {
    const PLACES: [&str; 6] = [
        "/usr/bin/docker-init",
        "/usr/libexec/docker/docker-init",
        "/usr/bin/tini-static",
        "/usr/bin/catatonit",
        "/usr/libexec/podman/catatonit",
        "/usr/bin/tini",
    ];
    PLACES.iter().map(PathBuf::from).find(|path| path.is_file())
}

fn make_spec(
    container: &Container,
    user: &ResolvedUser,
    paths: &spec::Paths,
) -> Result<Spec, Refused> {
    let host = &container.host_config;
    if host.init == Some(true) && paths.init.is_none() {
        let text =
            "docker-init, tini or catatonit is needed for --init here, and none is installed";
        return Err(start_refused(text.to_owned()));
    }
    let machine = probe::machine(cgroups(), host.privileged);
    let mut devices = Vec::new();
    for mapping in &host.devices {
        let found = probe::devices(mapping).map_err(|error| refused_text(&error))?;
        devices.extend(found);
    }
    if machine.apparmor && container.app_armor_profile == apparmor::DEFAULT_PROFILE {
        apparmor::load_default().map_err(|error| {
            let profile = apparmor::DEFAULT_PROFILE;
            let text = format!(
                "AppArmor enabled on system but the {profile} profile could not be loaded: {error}"
            );
            start_refused(text)
        })?;
    }
    let request = spec::Request { container, machine: &machine, user, paths, devices: &devices };
    spec::spec(&request).map_err(|error| refused_text(&error))
}

/// This machine's control groups. Where the table of mounts cannot be read, there are none.
pub(crate) fn cgroups() -> cgroup::Machine {
    cgroup::Machine::detect().unwrap_or_default()
}

/// An error of the engine on the way to a running container, in Docker's words.
pub(crate) fn refused(error: crate::Error) -> Refused {
    refused_text(&error)
}

fn refused_text(error: &dyn std::error::Error) -> Refused {
    let text = whole_text(error);
    start_refused(text)
}

/// An error with its causes, in one line.
pub(crate) fn whole_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = match error.downcast_ref::<std::io::Error>() {
            Some(error) => crate::error::go_io_text(error),
            None => error.to_string(),
        };
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// A start that failed, with the exit code that Docker's client finds in the text.
pub(crate) fn start_refused(message: String) -> Refused {
    let exit_code = start_exit_code(&message).into();
    Refused { message, exit_code }
}
