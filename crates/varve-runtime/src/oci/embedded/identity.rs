//! From a process in its namespaces to the program: limits, filters, capabilities, user, directory.
//!
//! The order is runc's, and matters. A filter needs `CAP_SYS_ADMIN` or `no_new_privs`: without the
//! latter it is installed before capabilities are dropped, with it as late as can be. The program
//! is looked for as the user who will run it.

use std::{
    ffi::CString,
    io::{self, Read as _},
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::{
    fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
    thread::{CapabilitySet, CapabilitySets, Gid, Uid},
};

use super::{Filters, Step, init, rootfs};
use crate::{
    oci::{Capabilities, Process, Rlimit, StartFailure, errno_text},
    sys,
};

/// Most bytes of an image's `/etc/passwd` that are looked at.
const PASSWD_BYTES_MAX: u64 = 1 << 20;

/// By number, from 0.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

const RLIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// A program that can be executed at once.
pub(super) struct Ready {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Ready {
    /// Becomes the program. Returns only when the kernel refused.
    pub(super) fn exec(self) -> io::Error {
        sys::exec(&self.program, &self.arguments, &self.environment)
    }

    /// Its path in the container.
    pub(super) fn program(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }
}

/// Makes this process what it is to be, all but the exec.
pub(super) fn assume(process: &Process, filters: &Filters) -> Step<Ready> {
    let environment = environment(process)?;
    for limit in &process.rlimits {
        set_limit(limit).map_err(init(&format!("set {}", limit.kind)))?;
    }
    own_keyring().map_err(init("join a session keyring"))?;
    set_labels(process)?;
    if process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(init("set no_new_privs"))?;
    } else {
        install(filters)?;
    }
    rustix::process::umask(Mode::from_raw_mode(process.user.umask.unwrap_or(0o022)));
    let wanted = process.capabilities.clone().unwrap_or_default();
    drop_bounding(&wanted).map_err(init("drop capabilities"))?;
    // As root first: the user may not be allowed to pass through, which docker permits.
    let entered = rustix::process::chdir(process.cwd.as_str());
    become_user(process)?;
    set_capabilities(&wanted).map_err(init("set capabilities"))?;
    if entered.is_err() {
        rustix::process::chdir(process.cwd.as_str()).map_err(|error| StartFailure::Cwd {
            cwd: process.cwd.clone(),
            why: errno_text(&error.into()),
        })?;
    }
    check_directory()?;
    let program = find(process)?;
    let arguments = process.args.iter().map(|text| c_string(text)).collect::<Step<_>>()?;
    if process.no_new_privileges {
        install(filters)?;
    }
    Ok(Ready { program, arguments, environment })
}

fn install(filters: &Filters) -> Step<()> {
    filters
        .iter()
        .try_for_each(|filter| sys::install_filter(filter))
        .map_err(init("install the seccomp filter"))
}

fn c_string(text: &str) -> Step<CString> {
    CString::new(text).map_err(|_| StartFailure::Init(format!("{text:?} holds a zero byte")))
}

/// The environment asked for, with `HOME` from the image's user database when it is not there.
fn environment(process: &Process) -> Step<Vec<CString>> {
    let mut all: Vec<String> = process.env.clone();
    if !all.iter().any(|one| one.starts_with("HOME=")) {
        let home = home(process.user.uid).filter(|home| !home.is_empty());
        all.push(format!("HOME={}", home.unwrap_or_else(|| "/".to_owned())));
    }
    all.iter().map(|text| c_string(text)).collect()
}

/// The user's home, out of `/etc/passwd` of this process's root: a regular file, not too long.
fn home(uid: u32) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let how = ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(CWD, "/etc/passwd", flags, Mode::empty(), how).ok()?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode);
    if kind != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(PASSWD_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut rows = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let uid = uid.to_string();
    let row = rows.find(|row| row.get(2) == Some(&uid.as_str()))?;
    row.get(5).map(|home| (*home).to_owned())
}

/// Sets a limit. A machine that refuses to raise it keeps the program from nothing else: it is
/// lowered to what is allowed.
fn set_limit(limit: &Rlimit) -> io::Result<()> {
    let Some(resource) = RLIMITS.iter().position(|name| *name == limit.kind) else {
        return Err(io::Error::other("there is no such limit"));
    };
    let resource = resource as u32;
    match sys::limit_resource(resource, limit.soft, limit.hard) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let allowed = sys::hard_limit(resource)?;
            sys::limit_resource(resource, limit.soft.min(allowed), limit.hard.min(allowed))
        }
        other => other,
    }
}

fn own_keyring() -> io::Result<()> {
    match sys::new_session_keyring() {
        // Not in this kernel, or a filter around us does not let it through.
        Err(error)
            if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::EACCES)) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Names the labels that the program gets, through a process file system that is surely one.
fn set_labels(process: &Process) -> Step<()> {
    let profile = process.apparmor_profile.as_deref().filter(|name| !name.is_empty());
    let label = process.selinux_label.as_deref().filter(|label| !label.is_empty());
    if profile.is_none() && label.is_none() {
        return Ok(());
    }
    let proc = rootfs::own_proc().map_err(init("open /proc"))?;
    if let Some(profile) = profile {
        let text = format!("exec {profile}");
        write_proc(&proc, "self/attr/apparmor/exec", &text)
            .or_else(|_| write_proc(&proc, "self/attr/exec", &text))
            .map_err(init(&format!("apply apparmor profile {profile}")))?;
    }
    if let Some(label) = label {
        write_proc(&proc, "self/attr/exec", label)
            .map_err(init(&format!("apply label {label}")))?;
    }
    Ok(())
}

/// Writes to a file of a process file system, and to nothing that is mounted over it.
pub(super) fn write_proc(proc: &OwnedFd, path: &str, text: &str) -> io::Result<()> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(proc.as_fd(), path, flags, Mode::empty(), how)?;
    rustix::io::write(&file, text.as_bytes())?;
    Ok(())
}

fn set(names: &[String]) -> CapabilitySet {
    let bit = |name: &String| CAPABILITIES.iter().position(|known| known == name);
    let bits = names.iter().filter_map(bit).fold(0_u64, |all, bit| all | (1 << bit));
    CapabilitySet::from_bits_retain(bits)
}

fn drop_bounding(wanted: &Capabilities) -> io::Result<()> {
    let keep = set(&wanted.bounding).bits();
    for bit in 0..64_u32 {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::capability_is_in_bounding_set(one) {
            Ok(true) if keep & (1 << bit) == 0 => {
                rustix::thread::remove_capability_from_bounding_set(one)?;
            }
            Ok(_) => {}
            // Past the last one that this kernel has.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn become_user(process: &Process) -> Step<()> {
    let user = &process.user;
    rustix::thread::set_keep_capabilities(true).map_err(init("keep capabilities"))?;
    let groups: Vec<Gid> = user.additional_gids.iter().map(|gid| Gid::from_raw(*gid)).collect();
    match rustix::thread::set_thread_groups(&groups) {
        Err(Errno::PERM) if groups_are_denied() => {}
        other => other.map_err(init("setgroups"))?,
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(init("setgid"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(init("setuid"))?;
    rustix::thread::set_keep_capabilities(false).map_err(init("keep capabilities"))
}

/// In a user namespace of one user, groups cannot be changed and need not.
fn groups_are_denied() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}

/// Sets the capabilities. What this process does not have itself, it cannot give.
fn set_capabilities(wanted: &Capabilities) -> io::Result<()> {
    let own = rustix::thread::capabilities(None)?.permitted;
    let sets = CapabilitySets {
        effective: set(&wanted.effective) & own,
        permitted: set(&wanted.permitted) & own,
        inheritable: set(&wanted.inheritable) & own,
    };
    rustix::thread::set_capabilities(None, sets)?;
    rustix::thread::clear_ambient_capability_set()?;
    for bit in 0..CAPABILITIES.len() {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if (set(&wanted.ambient) & own).contains(one) {
            rustix::thread::configure_capability_in_ambient_set(one, true)?;
        }
    }
    Ok(())
}

/// A working directory reached through a handle of the host would be a way out of the container.
fn check_directory() -> Step<()> {
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) if path.as_bytes().starts_with(b"/") => Ok(()),
        // It was removed, or has no name in this root.
        Ok(_) | Err(Errno::NOENT) => Err(StartFailure::CwdOutside),
        Err(error) => Err(init("find out the working directory")(error)),
    }
}

/// Finds the program as this user may execute it.
fn find(process: &Process) -> Step<CString> {
    let Some(name) = process.args.first() else {
        return Err(StartFailure::Init("args must not be empty".to_owned()));
    };
    if name.contains('/') {
        return match executable(name) {
            Ok(()) => c_string(name),
            Err(Errno::ISDIR) => Err(StartFailure::IsDirectory(name.clone())),
            Err(Errno::ACCESS | Errno::PERM) => Err(StartFailure::NotExecutable(name.clone())),
            Err(_) => Err(StartFailure::NoSuchFile(name.clone())),
        };
    }
    let path = process.env.iter().rev().find_map(|one| one.strip_prefix("PATH="));
    for directory in path.unwrap_or_default().split(':').filter(|_| !name.is_empty()) {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = format!("{}/{name}", directory.trim_end_matches('/'));
        if executable(&candidate).is_ok() {
            return c_string(&candidate);
        }
    }
    Err(StartFailure::NotInPath(name.clone()))
}

fn executable(path: &str) -> Result<(), Errno> {
    let status = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}
