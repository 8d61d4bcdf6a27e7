//! docker's default profile, as a table.
//!
//! From the list that docker publishes (engine 26.1): what is not named is refused with EPERM.

use super::profile::{Filter, Profile, Rule};
use oci_spec::runtime::{LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Sockets of virtual machine hosts, which a container could reach its host's hypervisor with.
const AF_VSOCK: u64 = 40;

/// `clone` with none of the flags that make namespaces.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// What every process may do.
const ALLOWED: &str = "\
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown \
    chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime \
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect \
    copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old \
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit \
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir \
    fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr \
    flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 \
    fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv \
    futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid geteuid32 \
    getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid \
    getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit \
    get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid \
    gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init inotify_init1 \
    inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents \
    io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule \
    landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat \
    listen listxattr llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise \
    map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat \
    mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive \
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap msgctl msgget \
    msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat \
    _newselect open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc \
    pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 \
    process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead \
    readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages \
    removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction \
    rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait \
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam \
    sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval \
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam \
    sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop \
    semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 \
    setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority \
    setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 \
    setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid \
    setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 \
    sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statx \
    symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create \
    timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 \
    timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times \
    tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat utime utimensat \
    utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

/// What more is allowed to those who have a capability. The names of one are in one row.
const WITH_CAPABILITY: &[(&str, &str)] = &[
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount \
         mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname \
         sethostname setns syslog umount umount2 unshare",
    ),
];

/// The same, for the rules that come after those about `clone`.
const WITH_CAPABILITY_TOO: &[(&str, &str)] = &[
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module init_module finit_module"),
    ("CAP_SYS_PACCT", "acct"),
    (
        "CAP_SYS_PTRACE",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// What only some architectures have.
const WITH_ARCHITECTURE: &[(&[&str], &str)] = &[
    (&["ppc64le"], "sync_file_range2 swapcontext"),
    (
        &["arm", "arm64"],
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    (&["amd64", "x32"], "arch_prctl"),
    (&["amd64", "x32", "x86"], "modify_ldt"),
    (&["s390", "s390x"], "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"),
    (&["riscv64"], "riscv_flush_icache"),
];

impl Profile {
    /// docker's default profile.
    pub fn default_profile() -> Self {
        let mut rules = vec![Rule::allow(ALLOWED)];
        // Before 4.8 a traced process could leave its filter.
        let since = Filter { min_kernel: Some("4.8".to_owned()), ..Filter::default() };
        let tracing = Rule::allow("process_vm_readv process_vm_writev ptrace");
        rules.push(tracing.included(since));
        let other_socket = argument(0, LinuxSeccompOperator::ScmpCmpNe, AF_VSOCK);
        rules.push(Rule::allow("socket").when(other_socket));
        for personality in [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff] {
            let equal = argument(0, LinuxSeccompOperator::ScmpCmpEq, personality);
            rules.push(Rule::allow("personality").when(equal));
        }
        for (architectures, names) in WITH_ARCHITECTURE {
            rules.push(Rule::allow(names).included(Filter::architectures(architectures)));
        }
        rules.extend(with_capability(WITH_CAPABILITY));
        rules.extend(clone_rules());
        rules.extend(with_capability(WITH_CAPABILITY_TOO));
        Self::new(LinuxSeccompAction::ScmpActErrno, Some(EPERM), rules)
    }
}

fn with_capability(table: &'static [(&str, &str)]) -> impl Iterator<Item = Rule> {
    table
        .iter()
        .map(|(capability, names)| Rule::allow(names).included(Filter::capability(capability)))
}

/// Who is not CAP_SYS_ADMIN makes processes, but no namespaces. What `clone3` asks for lies in
/// memory, where a filter cannot look: libraries fall back to `clone` when it is not there. s390
/// has the arguments of `clone` in another order.
fn clone_rules() -> [Rule; 3] {
    let plain = |index| argument(index, LinuxSeccompOperator::ScmpCmpMaskedEq, NEW_NAMESPACES);
    let admin = || Filter::capability("CAP_SYS_ADMIN");
    let s390 = || Filter::architectures(&["s390", "s390x"]);
    let admin_or_s390 = Filter { arches: s390().arches, ..admin() };
    [
        Rule::allow("clone").when(plain(0)).excluded(admin_or_s390),
        Rule::allow("clone").when(plain(1)).included(s390()).excluded(admin()),
        Rule::refuse("clone3", ENOSYS).excluded(admin()),
    ]
}

fn argument(index: usize, op: LinuxSeccompOperator, value: u64) -> LinuxSeccompArg {
    let argument = oci_spec::runtime::LinuxSeccompArgBuilder::default();
    argument.index(index).op(op).value(value).build().unwrap_or_default()
}
