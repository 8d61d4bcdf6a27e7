//! What is mounted, in order.

use std::path::Path;

use oci_spec::runtime::Mount;
use varve_types::{
    Container,
    container::{MountKind, MountPoint, NamespaceMode, NetworkMode, Propagation},
};

use super::{Cgroups, Request, SpecError, process};

/// The defaults that the user did not put something else over, then what was asked for: parents
/// before children, otherwise in the order given.
pub(super) fn mounts(request: &Request) -> Result<Vec<Mount>, SpecError> {
    let host = &request.container.host_config;
    let mut asked = Vec::new();
    for (destination, options) in &host.tmpfs {
        asked.push(mount(destination, "tmpfs", "tmpfs", &tmpfs_options(options)?));
    }
    for point in &request.container.mounts {
        asked.push(asked_for(point, request)?);
    }
    let covered = |path: &str| {
        asked.iter().any(|mount| {
            let over = mount.destination();
            over == Path::new(path) || (over == Path::new("/dev") && path.starts_with("/dev/"))
        })
    };
    let mut defaults = kernel_mounts(request);
    defaults.extend(shm(request)?);
    defaults.retain(|mount| !covered(&mount.destination().to_string_lossy()));
    if host.readonly_rootfs {
        make_read_only(&mut defaults);
    }
    if process::runs_init(request) {
        let source = request.paths.init.as_deref().unwrap_or(Path::new(""));
        defaults.push(mount(process::INIT_PATH, "bind", source, &["bind", "ro"]));
    }
    asked.extend(network_files(request).into_iter().filter(|file| {
        !request.container.mounts.iter().any(|m| Path::new(&m.destination) == file.destination())
    }));
    parents_first(&mut asked);
    defaults.extend(asked);
    Ok(defaults)
}

/// Puts mounts in an order in which none hides another that was asked for.
pub(super) fn parents_first(mounts: &mut [Mount]) {
    mounts.sort_by_key(|mount| mount.destination().components().count());
}

/// Mounts made on the host later are to be seen in the container: then its whole root must take
/// them too.
pub(super) fn rootfs_propagation(container: &Container) -> Option<&'static str> {
    let any = |wanted: &[Propagation]| {
        let mut given = container.mounts.iter().filter_map(|mount| mount.propagation);
        given.any(|propagation| wanted.contains(&propagation))
    };
    if any(&[Propagation::Shared, Propagation::Rshared]) {
        Some("rshared")
    } else if any(&[Propagation::Slave, Propagation::Rslave]) {
        Some("rslave")
    } else {
        None
    }
}

/// The kernel's file systems.
fn kernel_mounts(request: &Request) -> Vec<Mount> {
    let machine = request.machine;
    let host = &request.container.host_config;
    let safe = ["nosuid", "noexec", "nodev"];
    let mut terminals = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if machine.has_tty_group {
        terminals.push("gid=5");
    }
    let dev = ["nosuid", "strictatime", "mode=755", "size=65536k"];
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &safe),
        mount("/dev", "tmpfs", "tmpfs", &dev),
        mount("/dev/pts", "devpts", "devpts", &terminals),
        sysfs(request),
    ];
    if machine.cgroups != Cgroups::None {
        let options: &[&str] = if host.privileged {
            &["nosuid", "noexec", "nodev"]
        } else {
            &["ro", "nosuid", "noexec", "nodev"]
        };
        mounts.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", options));
    }
    mounts.push(mount("/dev/mqueue", "mqueue", "mqueue", &safe));
    mounts
}

/// In a user namespace `sysfs` can be mounted only by who owns the network namespace; with the
/// host's network the host's mount is shown instead.
fn sysfs(request: &Request) -> Mount {
    let host = &request.container.host_config;
    let mut options = vec!["nosuid", "noexec", "nodev"];
    if !host.privileged {
        options.push("ro");
    }
    let network = NetworkMode::of(&host.network_mode);
    if request.machine.rootless && network == NetworkMode::Host {
        options.insert(0, "rbind");
        // What is mounted in it, such as the user's own control groups, is not the container's.
        if !host.privileged && request.machine.recursive_read_only {
            options.push("rro");
        }
        return mount("/sys", "bind", "/sys", &options);
    }
    mount("/sys", "sysfs", "sysfs", &options)
}

fn shm(request: &Request) -> Result<Option<Mount>, SpecError> {
    let host = &request.container.host_config;
    if NamespaceMode::ipc(&host.ipc_mode)? == NamespaceMode::None {
        return Ok(None);
    }
    if let Some(directory) = &request.paths.shm {
        return Ok(Some(mount("/dev/shm", "bind", directory, &["rbind", "rprivate"])));
    }
    let size = format!("size={}", host.shm_size);
    let options = ["nosuid", "noexec", "nodev", "mode=1777", &size];
    Ok(Some(mount("/dev/shm", "tmpfs", "shm", &options)))
}

/// With `--read-only` also what of the kernel's file systems could be written, but for those
/// that programs need to write.
fn make_read_only(mounts: &mut [Mount]) {
    const WRITTEN: [&str; 5] = ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"];
    for mount in mounts {
        if WRITTEN.iter().any(|path| Path::new(path) == mount.destination()) {
            continue;
        }
        let mut options = mount.options().clone().unwrap_or_default();
        if !options.iter().any(|option| option == "ro") {
            options.push("ro".to_owned());
        }
        mount.set_options(Some(options));
    }
}

/// The files that name hosts; a read-only container may not write them either.
fn network_files(request: &Request) -> Vec<Mount> {
    let paths = request.paths;
    let files = [
        ("/etc/resolv.conf", &paths.resolv_conf),
        ("/etc/hostname", &paths.hostname),
        ("/etc/hosts", &paths.hosts),
    ];
    let mut options = vec!["rbind"];
    if request.container.host_config.readonly_rootfs {
        options.push(if request.machine.recursive_read_only { "rro" } else { "ro" });
    }
    options.push("rprivate");
    let present = files.into_iter().filter_map(|(inside, path)| Some((inside, path.as_ref()?)));
    present.map(|(inside, path)| mount(inside, "bind", path, &options)).collect()
}

fn asked_for(point: &MountPoint, request: &Request) -> Result<Mount, SpecError> {
    if point.kind == MountKind::Tmpfs {
        let options = tmpfs_options(&point.tmpfs_options)?;
        return Ok(mount(&point.destination, "tmpfs", "tmpfs", &options));
    }
    let mut options = vec![if point.non_recursive { "bind" } else { "rbind" }];
    if !point.rw {
        let able = request.machine.recursive_read_only;
        if point.read_only_force_recursive && !able {
            return Err(SpecError::RecursiveReadOnly(point.destination.clone()));
        }
        let recursive = able && !point.read_only_non_recursive && !point.non_recursive;
        options.push(if recursive { "rro" } else { "ro" });
    }
    options.extend(point.propagation.map(Propagation::as_str));
    Ok(mount(&point.destination, "bind", &point.source, &options))
}

/// Options of `--tmpfs` on top of docker's own. Of options that exclude each other the last
/// counts, and stands where it was written.
fn tmpfs_options(asked: &str) -> Result<Vec<String>, SpecError> {
    const DEFAULT: [&str; 4] = ["noexec", "nosuid", "nodev", "rprivate"];
    let all = DEFAULT.into_iter().chain(asked.split(',').filter(|option| !option.is_empty()));
    let mut options: Vec<(&str, String)> = Vec::new();
    for option in all {
        let group = option_group(option).ok_or(SpecError::TmpfsOption(option.to_owned()))?;
        options.retain(|(old, _)| *old != group);
        options.push((group, option.to_owned()));
    }
    Ok(options.into_iter().map(|(_, option)| option).collect())
}

/// What an option is about: options about the same exclude each other.
fn option_group(option: &str) -> Option<&str> {
    Some(match option {
        "ro" | "rw" => "rw",
        "exec" | "noexec" => "exec",
        "suid" | "nosuid" => "suid",
        "dev" | "nodev" => "dev",
        "sync" | "async" => "sync",
        "dirsync" => "dirsync",
        "atime" | "noatime" => "atime",
        "diratime" | "nodiratime" => "diratime",
        "relatime" | "norelatime" => "relatime",
        "strictatime" | "nostrictatime" => "strictatime",
        "mand" | "nomand" => "mand",
        "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" | "unbindable"
        | "runbindable" => "propagation",
        _ => match option.split_once('=')? {
            (name @ ("size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol"), _) => {
                name
            }
            _ => return None,
        },
    })
}

pub(super) fn mount<S: AsRef<str>>(
    destination: &str,
    typ: &str,
    source: impl AsRef<Path>,
    options: &[S],
) -> Mount {
    let mut mount = Mount::default();
    mount.set_destination(destination.into());
    mount.set_typ(Some(typ.to_owned()));
    mount.set_source(Some(source.as_ref().to_owned()));
    let options = options.iter().map(|option| option.as_ref().to_owned()).collect();
    mount.set_options(Some(options));
    mount
}
