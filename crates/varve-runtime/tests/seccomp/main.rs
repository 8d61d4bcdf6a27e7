//! Filters at work: small programs under them, and what the kernel answers.
//!
//! The programs are made here, instruction by instruction: each makes one system call and exits
//! with its error number. So every call can be tried, in every architecture that the kernel runs.

#![cfg(target_arch = "x86_64")]

mod program;

use std::process::Command;

use oci_spec::runtime::{Capability, LinuxSeccomp};
use program::{Call, Mode};
use varve_runtime::seccomp::{Architecture, Facts, Profile, Program, compile};
use varve_testkit::guard;

const EPERM: i32 = 1;
const EIO: i32 = 5;
const EFAULT: i32 = 14;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;
const SIGSYS: i32 = 31;

fn resolved(profile: &Profile, capabilities: &[Capability]) -> LinuxSeccomp {
    let facts = Facts { architecture: "amd64", kernel: (6, 1), capabilities };
    profile.resolve(&facts).unwrap()
}

fn default_filter(capabilities: &[Capability]) -> Vec<Program> {
    let seccomp = resolved(&Profile::default_profile(), capabilities);
    compile(&seccomp, Architecture::X86_64).unwrap()
}

fn custom(json: &str) -> Vec<Program> {
    compile(&resolved(&Profile::parse(json).unwrap(), &[]), Architecture::X86_64).unwrap()
}

/// Runs a program that makes the call, under the filter, and gives its exit code; a signal is
/// negative.
#[track_caller]
fn outcome(filter: &[Program], call: &Call) -> i32 {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    call.write(&path);
    // A filter holds for one thread and what it starts.
    std::thread::scope(|scope| {
        let run = || {
            for program in filter {
                seccompiler::apply_filter(program).unwrap();
            }
            let status = Command::new(&path).status().unwrap();
            use std::os::unix::process::ExitStatusExt as _;
            status.code().unwrap_or_else(|| -status.signal().unwrap())
        };
        scope.spawn(run).join().unwrap()
    })
}

fn native(number: u32, args: &[u64]) -> Call {
    Call::new(Mode::X86_64, number, args)
}

/// Whether the kernel runs i386 programs.
#[track_caller]
fn runs_i386() -> bool {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    Call::new(Mode::X86, SCHED_YIELD_X86, &[]).write(&path);
    let runs = Command::new(&path).status().is_ok_and(|status| status.code() == Some(0));
    guard::found("i386-programs", runs)
}

// Numbers of x86_64.
const SCHED_YIELD: u32 = 24;
const SOCKET: u32 = 41;
const PERSONALITY: u32 = 135;
const UNSHARE: u32 = 272;
const KEYCTL: u32 = 250;
const CLONE3: u32 = 435;
const GETPID: u32 = 39;
/// Newer than every call there is.
const FUTURE: u32 = 9_999;
const AF_VSOCK: u64 = 40;

// Numbers of i386.
const SCHED_YIELD_X86: u32 = 158;
const SOCKETCALL_X86: u32 = 102;
const KEYCTL_X86: u32 = 288;

#[test]
fn without_a_filter_the_calls_of_these_tests_answer_something_else() {
    assert_ne!(outcome(&[], &native(KEYCTL, &[9_999])), EPERM);
    assert_eq!(outcome(&[], &native(CLONE3, &[0, 0])), EINVAL);
    assert_eq!(outcome(&[], &native(PERSONALITY, &[1])), 0);
    assert_eq!(outcome(&[], &native(FUTURE, &[])), ENOSYS);
}

#[test]
fn dockers_profile_allows_and_refuses_as_docker_does() {
    let filter = default_filter(&[]);
    let answer = |call: Call| outcome(&filter, &call);
    assert_eq!(answer(native(SCHED_YIELD, &[])), 0);
    assert_eq!(answer(native(KEYCTL, &[9_999])), EPERM);
    assert_eq!(answer(native(UNSHARE, &[0])), EPERM);
    assert_eq!(answer(native(PERSONALITY, &[8])), 0);
    assert_eq!(answer(native(PERSONALITY, &[1])), EPERM);
}

#[test]
fn clone3_is_not_there_rather_than_forbidden() {
    assert_eq!(outcome(&default_filter(&[]), &native(CLONE3, &[0, 0])), ENOSYS);
}

#[test]
fn a_call_newer_than_the_profile_is_not_there_rather_than_forbidden() {
    assert_eq!(outcome(&default_filter(&[]), &native(FUTURE, &[])), ENOSYS);
}

#[test]
fn a_capability_brings_its_calls() {
    let filter = default_filter(&[Capability::SysAdmin]);
    assert_eq!(outcome(&filter, &native(UNSHARE, &[0])), 0);
    assert_eq!(outcome(&filter, &native(CLONE3, &[0, 0])), EINVAL);
    assert_eq!(outcome(&filter, &native(KEYCTL, &[9_999])), EPERM);
}

#[test]
fn sockets_of_hypervisors_are_refused_whatever_the_upper_half_says() {
    let filter = default_filter(&[]);
    let socket = |family: u64| outcome(&filter, &native(SOCKET, &[family, 1, 0]));
    assert_eq!(socket(AF_VSOCK), EPERM);
    assert_eq!(socket(AF_VSOCK | 1 << 32), EPERM);
    // A descriptor, shown as its negative.
    assert!(socket(1) > 200, "{}", socket(1));
}

#[test]
fn programs_of_i386_run_by_their_own_list() {
    if !runs_i386() {
        return;
    }
    let filter = default_filter(&[]);
    for mode in [Mode::X86, Mode::X86From64] {
        let answer = |number, args: &[u64]| outcome(&filter, &Call::new(mode, number, args));
        assert_eq!(answer(SCHED_YIELD_X86, &[]), 0);
        assert_eq!(answer(SOCKETCALL_X86, &[1, 0]), EFAULT);
        assert_eq!(answer(KEYCTL_X86, &[9_999]), EPERM);
        assert_eq!(answer(FUTURE, &[]), ENOSYS);
    }
}

#[test]
fn an_architecture_without_a_list_gets_no_calls_and_is_not_killed() {
    if !runs_i386() {
        return;
    }
    let filter = custom(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[
            {"names":["execve","exit","exit_group","sched_yield"],"action":"SCMP_ACT_ALLOW"},
            {"names":["brk","arch_prctl","mmap","clone","vfork","wait4","rt_sigprocmask","prctl","seccomp","pipe2","read","close","futex","write","fcntl","poll","sched_getaffinity","sigaltstack","munmap","rt_sigaction","mprotect","madvise","set_robust_list","rseq","gettid","getpid","clone3","pidfd_open","waitid","statx","openat","unlink"],"action":"SCMP_ACT_ALLOW"}]}"#,
    );
    let foreign = Call::new(Mode::X86From64, SCHED_YIELD_X86, &[]);
    assert_eq!(outcome(&filter, &foreign), ENOSYS);
    assert_eq!(outcome(&filter, &native(SCHED_YIELD, &[])), 0);
}

#[test]
fn a_list_of_what_is_refused_is_not_got_round_in_another_architectures_way() {
    if !runs_i386() {
        return;
    }
    let filter = custom(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"sched_yield","action":"SCMP_ACT_ERRNO","errnoRet":5}]}"#,
    );
    assert_eq!(outcome(&filter, &native(SCHED_YIELD, &[])), EIO);
    assert_eq!(outcome(&filter, &Call::new(Mode::X86From64, SCHED_YIELD_X86, &[])), ENOSYS);
    assert_eq!(outcome(&filter, &native(PERSONALITY, &[8])), 0);
}

#[test]
fn calls_in_the_way_of_x32_are_not_there() {
    const X32: u32 = 0x4000_0000;
    assert_eq!(outcome(&default_filter(&[]), &native(X32 | GETPID, &[])), ENOSYS);
}

#[test]
fn a_profile_of_ones_own_may_refuse_single_calls_in_several_ways() {
    let filter = custom(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"name":"sched_yield","action":"SCMP_ACT_ERRNO","errnoRet":5},
            {"names":["keyctl"],"action":"SCMP_ACT_KILL_PROCESS"},
            {"names":["personality"],"action":"SCMP_ACT_ERRNO","errnoRet":22,
             "args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}]}"#,
    );
    assert_eq!(filter.len(), 3);
    assert_eq!(outcome(&filter, &native(SCHED_YIELD, &[])), EIO);
    assert_eq!(outcome(&filter, &native(KEYCTL, &[9_999])), -SIGSYS);
    for persona in [1, 2] {
        assert_eq!(outcome(&filter, &native(PERSONALITY, &[persona])), EINVAL);
    }
    assert_eq!(outcome(&filter, &native(PERSONALITY, &[8])), 0);
}

#[test]
fn a_real_program_runs_under_dockers_profile() {
    let Some(busybox) = guard::tool("busybox") else { return };
    let directory = tempfile::tempdir().unwrap();
    let filter = default_filter(&[]);
    let script =
        "echo a > f && cat f && mkdir d && rm -r d f && (exit 3) | sleep 0; unshare -U true";
    let output = std::thread::scope(|scope| {
        let run = || {
            for program in &filter {
                seccompiler::apply_filter(program).unwrap();
            }
            let mut command = Command::new(busybox);
            command.args(["sh", "-c", script]).current_dir(directory.path()).output().unwrap()
        };
        scope.spawn(run).join().unwrap()
    });
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Operation not permitted"), "{said}");
}

#[test]
fn profiles_that_make_no_sense_are_refused() {
    let refused = |json: &str| {
        let profile = Profile::parse(json).map_err(|error| error.to_string())?;
        let facts = Facts { architecture: "amd64", kernel: (6, 1), capabilities: &[] };
        let seccomp = profile.resolve(&facts).map_err(|error| error.to_string())?;
        compile(&seccomp, Architecture::X86_64).map_err(|error| error.to_string())
    };
    #[track_caller]
    fn says(result: Result<Vec<Program>, String>, expected: &str) {
        let error = result.unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    says(refused("[]"), "Decoding seccomp profile failed: ");
    says(
        refused(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#,
        ),
        "both 'architectures' and 'archMap' are specified",
    );
    says(
        refused(r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_ERRNO"}]}"#),
        "use either 'name' or 'names'",
    );
    says(
        refused(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":9,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
        ),
        "invalid seccomp rule",
    );
    says(
        refused(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#),
        "seccomp action SCMP_ACT_NOTIFY is not supported",
    );
    says(refused(&" ".repeat(5 << 20)), "seccomp profile of 5242880 bytes is larger");
}
