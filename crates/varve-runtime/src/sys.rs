//! The system calls that no safe library offers: the only file of this crate with `unsafe`.
//!
//! Those that copy the process want it to have one thread; [`is_single_threaded`] tells.
#![allow(unsafe_code)]

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString},
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use rustix::process::Signal;

/// Signals of which the C library keeps two for itself (32 and 33) go up to this one.
pub(crate) const SIGNAL_MAX: i32 = 64;

/// Closes every descriptor from 3 on, except `kept`.
///
/// For a process that was just executed and has opened nothing but `kept`: what else is open was
/// left open by whoever started it (a pipe of a shell, say), and would stay open as long as it runs.
pub(crate) fn close_inherited(kept: &[RawFd]) -> io::Result<()> {
    let mut open = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        open.extend(number);
    }
    // The descriptor that listed the others is closed again by now.
    for number in open.into_iter().filter(|number| *number > 2 && !kept.contains(number)) {
        if fs::read_link(format!("/proc/self/fd/{number}")).is_ok() {
            // SAFETY: the number is open, it is not one of `kept`, and nothing else in this
            // process owns a descriptor yet; that is the contract of this function.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
    Ok(())
}

/// Sends a signal by number, real-time ones too, to the process that `pidfd` stands for.
pub(crate) fn send_signal(pidfd: impl AsFd, number: i32) -> io::Result<()> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let signal = match Signal::from_named_raw(number) {
        Some(signal) => signal,
        // SAFETY: the number is a real-time signal that the C library does not use itself, and it
        // is only sent to another process.
        None if (34..=SIGNAL_MAX).contains(&number) => unsafe {
            Signal::from_raw_unchecked(number)
        },
        None => return Err(invalid()),
    };
    Ok(rustix::process::pidfd_send_signal(pidfd, signal)?)
}

/// One instruction of a seccomp filter (classic BPF), as the kernel lays it out.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Operation.
    pub(crate) code: u16,
    /// How many to skip when a comparison holds.
    pub(crate) jt: u8,
    /// How many to skip when it does not.
    pub(crate) jf: u8,
    /// Operand.
    pub(crate) k: u32,
}

impl From<&seccompiler::sock_filter> for Instruction {
    fn from(one: &seccompiler::sock_filter) -> Self {
        Self { code: one.code, jt: one.jt, jf: one.jf, k: one.k }
    }
}

/// One instruction of an extended BPF program.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BpfInstruction {
    pub(crate) code: u8,
    /// Destination in the low four bits, source in the high four.
    pub(crate) registers: u8,
    pub(crate) offset: i16,
    pub(crate) immediate: i32,
}

/// Which process a call returned in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Parent { child: i32 },
    Child,
}

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Whether this process has one thread, so that it may copy itself and enter namespaces.
pub(crate) fn is_single_threaded() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// Says that this process has one thread. Asked for before namespaces are entered: in another one,
/// `/proc` shows other processes.
pub(crate) struct SingleThread(());

impl SingleThread {
    /// Refused with `EBUSY` when there are more: what they held locked would stay so in a copy.
    pub(crate) fn prove() -> io::Result<Self> {
        if is_single_threaded() {
            Ok(Self(()))
        } else {
            Err(io::Error::from_raw_os_error(libc::EBUSY))
        }
    }
}

/// Copies this process, as `fork`, with new namespaces (`CLONE_NEW…`). With `sibling` the copy
/// becomes a child of this process's parent. With `group`, a directory of control groups of version
/// 2, it is born there (Linux 5.7; refused before).
pub(crate) fn copy_process(
    _: &SingleThread,
    namespaces: libc::c_int,
    sibling: bool,
    group: Option<BorrowedFd<'_>>,
) -> io::Result<Side> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    // The structure as it was before it had a place for groups.
    const SIZE_WITHOUT_GROUP: usize = size_of::<[u64; 8]>();
    let parent = if sibling { libc::CLONE_PARENT } else { 0 };
    let flags = (namespaces | parent) as u32;
    let signal = if sibling { 0 } else { libc::SIGCHLD as u64 };
    // flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid and its
    // size, cgroup
    let mut arguments: [u64; 11] = [u64::from(flags), 0, 0, 0, signal, 0, 0, 0, 0, 0, 0];
    let mut size = SIZE_WITHOUT_GROUP;
    if let Some(group) = group {
        arguments[0] |= CLONE_INTO_CGROUP;
        arguments[10] = group.as_raw_fd() as u64;
        size = size_of_val(&arguments);
    }
    // SAFETY: no stack and no CLONE_VM: the copy has its own memory, and as there is one thread no
    // lock is held in it. The array is no shorter than the size that is named.
    let mut result = unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size) };
    let is_unknown = io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS);
    if result < 0 && is_unknown && group.is_none() {
        let flags = libc::c_long::from(flags as i32) | libc::c_long::from(libc::SIGCHLD);
        // SAFETY: as above; this older call is what filters that refuse clone3 let through.
        result = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    }
    match checked(result)? {
        0 => Ok(Side::Child),
        child => Ok(Side::Parent { child: child as i32 }),
    }
}

/// Ends this process without running what the copied memory registered for its end.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process; nothing after it runs.
    unsafe { libc::_exit(code) }
}

/// Replaces the program. Returns only when that failed.
pub(crate) fn exec(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end with a null pointer and outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Attributes of a mount: `MOUNT_ATTR_…` to set and to clear, and a propagation (`MS_…`, or 0).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MountAttributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
    pub(crate) user_namespace: u64,
}

/// Changes the mount that `mount` is the root of, and with `recursive` those beneath it.
pub(crate) fn set_mount_attributes(
    mount: BorrowedFd<'_>,
    attributes: MountAttributes,
    recursive: bool,
) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: path and structure outlive the call, and the size is the structure's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    checked(result).map(drop)
}

/// Installs a seccomp filter for this process and what it will run.
pub(crate) fn install_filter(program: &[Instruction]) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const Instruction,
    }
    let length =
        u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = Program { length, instructions: program.as_ptr() };
    let set_filter: libc::c_ulong = libc::SECCOMP_SET_MODE_FILTER.into();
    // SAFETY: the structure and what it points at outlive the call; the kernel checks the program.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, set_filter, 0, &raw const program) };
    checked(result).map(drop)
}

/// Gives this process a session keyring of its own, so that it does not share the caller's.
pub(crate) fn new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    let anonymous = ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for an anonymous keyring.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) };
    checked(result).map(drop)
}

/// Closes every descriptor but the three standard ones and `kept`. For a copy of a process that is
/// about to run something else: whoever owns the others must never look at them again.
pub(crate) fn close_all_but(kept: &mut [RawFd]) -> io::Result<()> {
    kept.sort_unstable();
    let mut first: libc::c_uint = 3;
    for end in kept.iter().map(|fd| *fd as libc::c_uint).chain([libc::c_uint::MAX]) {
        if end > first {
            let last = if end == libc::c_uint::MAX { end } else { end - 1 };
            // SAFETY: the caller's copy of the process uses none of these any more.
            checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
        }
        first = first.max(end.saturating_add(1));
    }
    Ok(())
}

/// Gives every signal its usual effect and lets all through: what a program expects at its start.
/// (Rust programs ignore `SIGPIPE`, which would be handed on.)
pub(crate) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: no handler of ours is involved; what cannot be changed is refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: the set is initialised by the first call and outlives the second.
    unsafe {
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// Has this thread, and those that it starts from now on, hear of no wish to end. Gives what it
/// heard of before, for [`hear_endings`].
pub(crate) fn hold_endings() -> io::Result<libc::sigset_t> {
    // SAFETY: both sets are plain numbers that outlive the calls; the first is emptied before use.
    unsafe {
        let mut held = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut held);
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            libc::sigaddset(&raw mut held, signal);
        }
        match libc::pthread_sigmask(libc::SIG_BLOCK, &raw const held, &raw mut before) {
            0 => Ok(before),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Has this thread hear again of what it heard of before [`hold_endings`].
pub(crate) fn hear_endings(before: &libc::sigset_t) {
    // SAFETY: the set is one that the kernel gave, and outlives the call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::from_ref(before), ptr::null_mut()) };
}

/// Puts a limit on a resource of this process.
pub(crate) fn limit_resource(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the structure outlives the call; pid 0 is this process.
    let result = unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, ptr::null::<u8>())
    };
    checked(result).map(drop)
}

/// The hard limit of a resource of this process.
pub(crate) fn hard_limit(resource: u32) -> io::Result<u64> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes the structure, which outlives the call.
    let result = unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, resource, ptr::null::<u8>(), &raw mut limit)
    };
    checked(result).map(|_| limit.rlim_max)
}

/// Loads a device program and attaches it to a cgroup of version 2.
pub(crate) fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: &[BpfInstruction],
) -> io::Result<()> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_PROG_ATTACH: libc::c_int = 8;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    const BPF_CGROUP_DEVICE: u32 = 6;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
    }
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
        replaced: u32,
    }
    let load = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the structure and the program outlive the call; the kernel verifies the program.
    let loaded = checked(unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<Load>())
    })?;
    // SAFETY: a descriptor that the kernel just made for us.
    let loaded = unsafe { OwnedFd::from_raw_fd(loaded as RawFd) };
    let attach = Attach {
        target: cgroup.as_raw_fd() as u32,
        program: loaded.as_raw_fd() as u32,
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
        replaced: 0,
    };
    // SAFETY: the structure outlives the call; both descriptors are open.
    checked(unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attach, size_of::<Attach>())
    })
    .map(drop)
}

/// Enters a namespace of the given kind (`CLONE_NEW…`), or those of a process by its pidfd.
pub(crate) fn enter_namespaces(handle: BorrowedFd<'_>, kinds: libc::c_int) -> io::Result<()> {
    // SAFETY: changes what the calling process sees; memory is not touched.
    let result = unsafe { libc::syscall(libc::SYS_setns, handle.as_raw_fd(), kinds) };
    checked(result).map(drop)
}

/// Gives this process new namespaces (`CLONE_NEW…`) in place of those it is in.
pub(crate) fn unshare(namespaces: libc::c_int) -> io::Result<()> {
    // SAFETY: changes what the calling process sees; memory and descriptors stay as they are.
    checked(unsafe { libc::syscall(libc::SYS_unshare, namespaces) }).map(drop)
}

/// Standard input, output and error of this process, which are always open in a container's.
pub(crate) fn standard_streams() -> [BorrowedFd<'static>; 3] {
    // SAFETY: nothing in a container's process closes these numbers, it only puts others there.
    [0, 1, 2].map(|number| unsafe { BorrowedFd::borrow_raw(number) })
}
