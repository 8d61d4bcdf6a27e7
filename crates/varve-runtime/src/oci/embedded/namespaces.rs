//! Namespaces of a container: which are made, which are entered, and what they need at first.

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd as _,
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::{Step, identity, init, rootfs};
use crate::{
    oci::config::{Config, IdMapping, NamespaceKind},
    sys,
};

/// The kernel's flag of a kind.
pub(super) fn flag(kind: NamespaceKind) -> libc::c_int {
    match kind {
        NamespaceKind::Pid => libc::CLONE_NEWPID,
        NamespaceKind::Network => libc::CLONE_NEWNET,
        NamespaceKind::Mount => libc::CLONE_NEWNS,
        NamespaceKind::Ipc => libc::CLONE_NEWIPC,
        NamespaceKind::Uts => libc::CLONE_NEWUTS,
        NamespaceKind::User => libc::CLONE_NEWUSER,
        NamespaceKind::Cgroup => libc::CLONE_NEWCGROUP,
    }
}

/// The flags of those that the first process is born into. A cgroup namespace begins where its
/// maker is, so it is made later, in the container's group.
pub(super) fn born_into(config: &Config) -> libc::c_int {
    let namespaces = config.linux.namespaces.iter();
    let new = namespaces.filter(|one| one.path.is_none() && one.kind != NamespaceKind::Cgroup);
    new.fold(0, |flags, namespace| flags | flag(namespace.kind))
}

/// Whether a process of ours has to enter some itself before the first process is made. It can do
/// nothing else afterwards.
pub(super) fn need_own_process(config: &Config) -> bool {
    let pid = config.namespace(NamespaceKind::Pid);
    config.is_new(NamespaceKind::User) || pid.is_some_and(|namespace| namespace.path.is_some())
}

/// Enters what must be entered before the first process is made: a process namespace, which only
/// children are in, and with a new user namespace all others, which that has no rights over.
pub(super) fn enter_before(config: &Config) -> io::Result<()> {
    enter(config, |kind| kind == NamespaceKind::Pid || config.is_new(NamespaceKind::User))
}

/// Enters the rest, in the first process.
pub(super) fn enter_inside(config: &Config) -> io::Result<()> {
    enter(config, |kind| kind != NamespaceKind::Pid && !config.is_new(NamespaceKind::User))
}

fn enter(config: &Config, chosen: impl Fn(NamespaceKind) -> bool) -> io::Result<()> {
    for namespace in &config.linux.namespaces {
        if let Some(path) = namespace.path.as_ref().filter(|_| chosen(namespace.kind)) {
            sys::enter_namespaces(File::open(path)?.as_fd(), flag(namespace.kind))?;
        }
    }
    Ok(())
}

/// Writes the maps of a new user namespace.
pub(super) fn write_maps(pid: i32, config: &Config) -> io::Result<()> {
    let text = |maps: &[IdMapping]| -> String {
        let row = |map: &IdMapping| format!("{} {} {}\n", map.container_id, map.host_id, map.size);
        maps.iter().map(row).collect()
    };
    fs::write(format!("/proc/{pid}/uid_map"), text(&config.linux.uid_mappings))?;
    fs::write(format!("/proc/{pid}/gid_map"), text(&config.linux.gid_mappings))
}

/// Host name, domain name and kernel parameters.
pub(super) fn set_up(config: &Config) -> Step<()> {
    if let Some(name) = config.hostname.as_deref().filter(|name| !name.is_empty()) {
        rustix::system::sethostname(name.as_bytes()).map_err(init("sethostname"))?;
    }
    if let Some(name) = config.domainname.as_deref().filter(|name| !name.is_empty()) {
        rustix::system::setdomainname(name.as_bytes()).map_err(init("setdomainname"))?;
    }
    if config.linux.sysctl.is_empty() {
        return Ok(());
    }
    let proc = rootfs::own_proc().map_err(init("open /proc"))?;
    for (key, value) in &config.linux.sysctl {
        let file = format!("sys/{}", key.replace('.', "/"));
        identity::write_proc(&proc, &file, value).map_err(init(&format!("open /proc/{file}")))?;
    }
    Ok(())
}

/// Brings up the loopback device of a new network namespace, as runc does.
pub(super) fn bring_up_loopback() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const UP: u32 = 1;
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None, // Protocol 0 of netlink is routes and links.
    )?;
    // A header of 16 bytes; then family, kind, index of the device, flags, which flags to change.
    let mut message = Vec::with_capacity(32);
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([0; 4]);
    message.extend(1_u32.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    message.extend(UP.to_ne_bytes());
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0_u8; 128];
    let (length, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    // The answer is a header and an error number, 0 or negative.
    match answer.get(16..20).filter(|_| length >= 20).and_then(|bytes| bytes.try_into().ok()) {
        Some(bytes) => match i32::from_ne_bytes(bytes) {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(-code)),
        },
        None => Err(io::Error::other("the kernel's answer is too short")),
    }
}
