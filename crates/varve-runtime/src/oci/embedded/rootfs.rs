//! A container's file systems: from a directory of the host to the root of a mount namespace.
//!
//! In this order: the host's mounts stop reporting to us, the root is put on itself, the
//! configuration's mounts, devices, the terminal; paths that are to be hidden or read-only become
//! so; at last the root becomes *the* root. Names of the image are resolved beneath the root
//! ([`place`](super::place)), and mounts go on handles.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FileType, Mode, OFlags},
    mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount},
};

use super::{
    Step, devices, init,
    mounts::{self, Bind, Options},
    place::{self, Links, Make},
};
use crate::{
    cgroup::{Cgroup, Version},
    oci::{
        ConsoleSize, StartFailure,
        config::{Config, Mount},
        errno_text,
        terminal::{self, Pair},
    },
    sys::{self, MountAttributes},
};

/// What the namespaces' first process needs to know to make its file systems.
pub(super) struct Plan<'a> {
    pub(super) config: &'a Config,
    pub(super) bundle: &'a Path,
    pub(super) cgroup: &'a Cgroup,
}

/// Files that programs like lxcfs put over the kernel's own; nothing else may go over them.
const OVER_PROC: [&str; 9] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
];

/// Makes the file systems and makes their root this process's. Returns the container's terminal,
/// when it is to have one.
pub(super) fn enter(plan: &Plan<'_>) -> Step<Option<Pair>> {
    let propagation = plan.config.linux.rootfs_propagation.as_deref().unwrap_or("rslave");
    let (flags, shared) = match propagation {
        "shared" => (MountPropagationFlags::SHARED, true),
        "rshared" => (MountPropagationFlags::SHARED | MountPropagationFlags::REC, true),
        "private" => (MountPropagationFlags::PRIVATE, false),
        "rprivate" => (MountPropagationFlags::PRIVATE | MountPropagationFlags::REC, false),
        "slave" => (MountPropagationFlags::DOWNSTREAM, false),
        _ => (MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC, false),
    };
    mount_change("/", flags).map_err(init("change the propagation of mounts"))?;
    let path = plan.bundle.join(&plan.config.root.path);
    if shared {
        // What the root is mounted in must not carry our mounts to the host.
        let private = MountPropagationFlags::PRIVATE;
        let _ = path.ancestors().find(|above| mount_change(*above, private).is_ok());
    }
    let root = put_on_itself(&path).map_err(init(&format!("mount the root {}", path.display())))?;
    for mount in &plan.config.mounts {
        mount_one(plan, &root, mount).map_err(|error| StartFailure::Mount {
            source_path: mount.source.clone().unwrap_or_default(),
            destination: mount.destination.clone(),
            why: errno_text(&error),
        })?;
    }
    devices::make(plan.config, &root)?;
    let process = plan.config.process.as_ref();
    let terminal = match process.filter(|process| process.terminal) {
        Some(process) => Some(make_console(&root, process.console_size)?),
        None => None,
    };
    protect(plan.config, &root)?;
    make_root(&root).map_err(init("pivot_root"))?;
    Ok(terminal)
}

/// Opens a terminal and puts it on `/dev/console`. A link there would lead elsewhere; it is not
/// followed.
fn make_console(root: &OwnedFd, size: Option<ConsoleSize>) -> Step<Pair> {
    let pair = terminal::open(root, size).map_err(init("open a terminal"))?;
    let put = |place| mounts::put(mounts::copy_handle(&pair.slave, Bind::Alone)?, place);
    place::open_or_make(root, "/dev/console", Make::File, Links::Refuse)
        .and_then(put)
        .map_err(init("mount /dev/console"))?;
    Ok(pair)
}

fn put_on_itself(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let below = rustix::fs::open(path, flags, Mode::empty())?;
    let root = mounts::copy_handle(&below, Bind::Recursive)?;
    let private = MountAttributes { propagation: libc::MS_PRIVATE, ..Default::default() };
    sys::set_mount_attributes(root.as_fd(), private, false)?;
    mounts::put(&root, &below)?;
    Ok(root)
}

fn mount_one(plan: &Plan<'_>, root: &OwnedFd, mount: &Mount) -> io::Result<()> {
    let mut options = Options::parse(&mount.options);
    let kind = mount.kind.as_deref().unwrap_or("bind");
    if kind == "bind" || options.bind.is_some() {
        return bind(plan, root, mount, &options);
    }
    if kind.starts_with("cgroup") {
        return mount_cgroups(plan, root, &mount.destination, &options);
    }
    // A link in the image must not decide where the kernel's own files are seen.
    let own = matches!(kind, "proc" | "sysfs");
    let links = if own { Links::Refuse } else { Links::Follow };
    let place = place::open_or_make(root, &mount.destination, Make::Directory, links)?;
    refuse_over_proc(&place, &mount.destination)?;
    let label = plan.config.linux.mount_label.as_deref().filter(|label| !label.is_empty());
    if let Some(label) = label.filter(|_| !own) {
        options.data.push(format!("context={label}"));
    }
    let late = mount.destination.trim_end_matches('/') == "/dev";
    let attributes = if late { options.set & !libc::MOUNT_ATTR_RDONLY } else { options.set };
    let made = match mounts::make(kind, mount.source.as_deref(), &options.data, attributes) {
        // Not ours to mount when the network is another's: show the host's, read-only.
        Err(error) if kind == "sysfs" && error.kind() == io::ErrorKind::PermissionDenied => {
            let copy = mounts::copy(Path::new("/sys"), Bind::Recursive)?;
            let attributes = MountAttributes { set: options.set, ..Default::default() };
            sys::set_mount_attributes(copy.as_fd(), attributes, true)?;
            copy
        }
        other => other?,
    };
    mounts::put(&made, &place)?;
    let rest = Options { set: 0, clear: 0, ..options };
    mounts::set_attributes(&made, &rest)
}

fn bind(plan: &Plan<'_>, root: &OwnedFd, mount: &Mount, options: &Options) -> io::Result<()> {
    let source: PathBuf = plan.bundle.join(mount.source.as_deref().unwrap_or_default());
    let copy = mounts::copy(&source, options.bind.unwrap_or(Bind::Alone))?;
    let make = match place::kind(&copy)? {
        FileType::Directory => Make::Directory,
        _ => Make::File,
    };
    let place = place::open_or_make(root, &mount.destination, make, Links::Follow)?;
    refuse_over_proc(&place, &mount.destination)?;
    let private = MountAttributes { propagation: libc::MS_PRIVATE, ..Default::default() };
    if (options.propagation, options.propagation_below) == (0, 0) {
        sys::set_mount_attributes(copy.as_fd(), private, true)?;
    }
    mounts::set_attributes(&copy, options)?;
    mounts::put(&copy, &place)
}

/// Nothing may be put over a file of the process file system, wherever links lead: what is written
/// to it later would go somewhere else.
fn refuse_over_proc(place: &OwnedFd, destination: &str) -> io::Result<()> {
    if place::is_procfs(place)? && !OVER_PROC.contains(&destination.trim_end_matches('/')) {
        let text = format!("{destination:?} is inside /proc");
        return Err(io::Error::other(text));
    }
    Ok(())
}

/// Shows a container its own groups, read-only unless asked otherwise: on version 1 the file
/// system itself takes no notice of `ro`, so the mount has to.
fn mount_cgroups(
    plan: &Plan<'_>,
    root: &OwnedFd,
    destination: &str,
    options: &Options,
) -> io::Result<()> {
    let place = place::open_or_make(root, destination, Make::Directory, Links::Refuse)?;
    let attributes = MountAttributes { set: options.set, ..Default::default() };
    let copy = |directory: &Path| -> io::Result<OwnedFd> {
        let copy = mounts::copy(directory, Bind::Recursive)?;
        sys::set_mount_attributes(copy.as_fd(), attributes, true)?;
        Ok(copy)
    };
    let all: Vec<_> = plan.cgroup.directories().collect();
    if let [(directory, hierarchy)] = all.as_slice()
        && hierarchy.version == Version::V2
    {
        return mounts::put(copy(directory)?, &place);
    }
    let data = ["mode=755".to_owned(), "size=64k".to_owned()];
    let writable = options.set & !libc::MOUNT_ATTR_RDONLY;
    let base = mounts::make("tmpfs", Some("cgroup"), &data, writable)?;
    mounts::put(&base, &place)?;
    for (directory, hierarchy) in all {
        let Some(name) = hierarchy.mount.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let below = place::open_or_make(&base, name, Make::Directory, Links::Refuse)?;
        mounts::put(copy(directory)?, &below)?;
        let is_alias = |alias: &&String| *alias != name && !alias.starts_with("name=");
        for alias in hierarchy.controllers.iter().filter(is_alias) {
            let _ = rustix::fs::symlinkat(name, &base, alias.as_str());
        }
    }
    sys::set_mount_attributes(base.as_fd(), attributes, false)
}

/// Makes `root` the root of this mount namespace and lets go of the old one.
fn make_root(root: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty())?;
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    // The old root now lies over the new one. It must not tell the host that it goes; what is
    // mounted in the new one keeps the propagation that was asked for.
    rustix::process::fchdir(&old)?;
    mount_change(".", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}

/// Hides and locks what the configuration names. Files are hidden with the container's `/dev/null`, as
/// runc does it, or with the host's where that is something else.
fn protect(config: &Config, root: &OwnedFd) -> Step<()> {
    let own = place::open(root, "/dev/null", Links::Refuse).and_then(null_device);
    let null = own.or_else(|_| host_null()).map_err(init("open /dev/null"))?;
    for mount in &config.mounts {
        let options = Options::parse(&mount.options);
        if mount.destination.trim_end_matches('/') == "/dev"
            && options.set & libc::MOUNT_ATTR_RDONLY != 0
        {
            let lock = |dev| mounts::set_attributes(dev, &options);
            let dev = place::open(root, "/dev", Links::Refuse);
            dev.and_then(lock).map_err(init("make /dev read-only"))?;
        }
    }
    for path in &config.linux.readonly_paths {
        match place::open(root, path, Links::Follow) {
            Err(error) if mounts::is_missing(&error) => {}
            other => other
                .and_then(mounts::make_read_only)
                .map_err(init(&format!("make {path} read-only")))?,
        }
    }
    for path in &config.linux.masked_paths {
        match place::open(root, path, Links::Follow) {
            Err(error) if mounts::is_missing(&error) => {}
            other => other
                .and_then(|place| mask(&place, &null))
                .map_err(init(&format!("mask {path}")))?,
        }
    }
    if config.root.readonly {
        let read_only = MountAttributes { set: libc::MOUNT_ATTR_RDONLY, ..Default::default() };
        sys::set_mount_attributes(root.as_fd(), read_only, false)
            .map_err(init("make the root read-only"))?;
    }
    Ok(())
}

fn mask(place: &OwnedFd, null: &OwnedFd) -> io::Result<()> {
    if place::kind(place)? == FileType::Directory {
        let data = ["size=4k".to_owned(), "mode=755".to_owned()];
        let empty = mounts::make("tmpfs", Some("tmpfs"), &data, libc::MOUNT_ATTR_RDONLY)?;
        mounts::put(empty, place)
    } else {
        mounts::put(mounts::copy_handle(null, Bind::Alone)?, place)
    }
}

fn host_null() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    null_device(rustix::fs::open("/dev/null", flags, Mode::empty())?)
}

/// Makes sure that what was opened is the null device. What is mounted is this very handle.
fn null_device(handle: OwnedFd) -> io::Result<OwnedFd> {
    let status = rustix::fs::fstat(&handle)?;
    let is_device = FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice;
    if is_device && status.st_rdev == rustix::fs::makedev(1, 3) {
        Ok(handle)
    } else {
        Err(io::Error::other("/dev/null is not the null device"))
    }
}

/// A process file system of this process's own, which nobody can have put anything over.
pub(super) fn own_proc() -> io::Result<OwnedFd> {
    let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
    if let Ok(own) = mounts::make("proc", Some("proc"), &[], attributes) {
        return Ok(own);
    }
    // Where only part of it may be seen the kernel makes no other. Then the visible one, checked.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let visible = rustix::fs::open("/proc", flags, Mode::empty())?;
    if place::is_procfs(&visible)? {
        Ok(visible)
    } else {
        Err(io::Error::other("/proc is not the process file system"))
    }
}
