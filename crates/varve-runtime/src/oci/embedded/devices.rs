//! Device files of a container's `/dev`, and the links that programs expect beside them.

use std::{io, os::fd::OwnedFd};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid},
    io::Errno,
};

use super::{
    Step, init,
    mounts::{self, Bind},
    place::{self, Links, Make},
};
use crate::oci::config::{Config, Device};

/// Those that every container has: name, major, minor.
const STANDARD: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

/// Makes the devices, unless the configuration brings a `/dev` of the host.
pub(super) fn make(config: &Config, root: &OwnedFd) -> Step<()> {
    let theirs = config.mounts.iter().any(|mount| {
        mount.destination.trim_end_matches('/') == "/dev"
            && (mount.kind.as_deref() == Some("bind")
                || mount.options.iter().any(|option| option == "bind" || option == "rbind"))
    });
    if theirs {
        return Ok(());
    }
    let before = rustix::process::umask(Mode::empty());
    let made = make_all(config, root);
    rustix::process::umask(before);
    made
}

fn make_all(config: &Config, root: &OwnedFd) -> Step<()> {
    let standard = STANDARD.map(|(path, major, minor)| Device {
        kind: "c".to_owned(),
        path: path.to_owned(),
        major,
        minor,
        file_mode: Some(0o666),
        uid: 0,
        gid: 0,
    });
    let asked = |device: &&Device| config.linux.devices.iter().any(|one| one.path == device.path);
    let standard = standard.iter().filter(|device| !asked(device));
    // It becomes a link to the container's own terminals below; where devices of the host can only be
    // shown, not made, it could not be removed for that.
    let has_terminals = config.mounts.iter().any(|mount| mount.destination == "/dev/pts");
    let own = |device: &&Device| has_terminals && device.path == "/dev/ptmx";
    for device in standard.chain(&config.linux.devices).filter(|device| !own(device)) {
        make_one(root, device).map_err(init(&format!("make device {}", device.path)))?;
    }
    let dev = place::open_or_make(root, "/dev", Make::Directory, Links::Refuse)
        .map_err(init("open /dev"))?;
    for (target, name) in LINKS {
        match rustix::fs::symlinkat(target, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(init(&format!("make /dev/{name}"))(error)),
        }
    }
    // The container's own terminals, not the host's.
    if place::open(&dev, "pts", Links::Refuse).is_ok() {
        match rustix::fs::unlinkat(&dev, "ptmx", AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(init("remove /dev/ptmx")(error)),
        }
        rustix::fs::symlinkat("pts/ptmx", &dev, "ptmx").map_err(init("make /dev/ptmx"))?;
    }
    Ok(())
}

fn make_one(root: &OwnedFd, device: &Device) -> io::Result<()> {
    let kind = match device.kind.as_str() {
        "b" => FileType::BlockDevice,
        "c" | "u" => FileType::CharacterDevice,
        "p" => FileType::Fifo,
        other => return Err(io::Error::other(format!("{other:?} is no kind of device"))),
    };
    let number = rustix::fs::makedev(device.major, device.minor);
    let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777);
    let (parent, name) = place::parent_of(root, &device.path)?;
    match rustix::fs::mknodat(&parent, name.as_str(), kind, mode, number) {
        Ok(()) => {
            let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            Ok(rustix::fs::chownat(&parent, name.as_str(), Some(uid), Some(gid), flags)?)
        }
        // The image brought one: it must be the same.
        Err(Errno::EXIST) => expect(&parent, &name, kind, number).map(drop),
        // In a user namespace devices cannot be made; the host's can be shown.
        Err(Errno::PERM) => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let host = rustix::fs::open(device.path.as_str(), flags, Mode::empty())?;
            check(&host, kind, number)?;
            let place = place::open_or_make(&parent, &name, Make::File, Links::Refuse)?;
            mounts::put(mounts::copy_handle(&host, Bind::Alone)?, place)
        }
        Err(error) => Err(error.into()),
    }
}

fn expect(parent: &OwnedFd, name: &str, kind: FileType, number: u64) -> io::Result<OwnedFd> {
    let there = place::open(parent, name, Links::Refuse)?;
    check(&there, kind, number)?;
    Ok(there)
}

fn check(handle: &OwnedFd, kind: FileType, number: u64) -> io::Result<()> {
    let status = rustix::fs::fstat(handle)?;
    let same_kind = FileType::from_raw_mode(status.st_mode) == kind;
    if same_kind && (kind == FileType::Fifo || status.st_rdev == number) {
        Ok(())
    } else {
        Err(io::Error::other("something else is in its place"))
    }
}
