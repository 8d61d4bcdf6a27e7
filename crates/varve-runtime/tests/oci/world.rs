//! A bundle with a small root, a runtime, and what came out of a container.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Write as _},
    os::{fd::OwnedFd, unix::fs::symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, WaitOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use varve_runtime::oci::{
    Created, Delete, Embedded, External, OciError, Process, Runtime, State, Stdio,
};
use varve_testkit::guard;

/// Who executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    Runc,
    Crun,
}

/// A runtime and one container of it, which is gone with this.
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) runtime: Box<dyn Runtime>,
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) directory: TempDir,
}

/// What a process left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) output: String,
    pub(crate) error: String,
}

/// Runs each test once per runtime.
macro_rules! for_each_runtime {
    ($($(#[$note:meta])* fn $name:ident($world:ident) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $(#[$note])*
            fn run(kind: crate::world::Kind) {
                let Some(mut world) = crate::world::World::new(kind) else { return };
                #[allow(unused_mut, clippy::redundant_closure_call)]
                (|$world: &mut crate::world::World| $body)(&mut world);
                world.end();
            }

            #[test]
            fn embedded() {
                run(crate::world::Kind::Embedded);
            }

            #[test]
            fn runc() {
                run(crate::world::Kind::Runc);
            }

            #[test]
            fn crun() {
                run(crate::world::Kind::Crun);
            }
        }
    )*};
}
pub(crate) use for_each_runtime;

static NEXT: AtomicU32 = AtomicU32::new(0);

impl World {
    /// `None` when the machine lacks what it takes.
    #[track_caller]
    pub(crate) fn new(kind: Kind) -> Option<Self> {
        if !guard::root() {
            return None;
        }
        let busybox = guard::tool("busybox")?;
        // Processes that runtimes let go of become ours, so that they can be waited for.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let state = directory.path().join("state");
        let role = env!("CARGO_BIN_EXE_varve-runtime-role");
        let external = |name: &str| -> Option<Box<dyn Runtime>> {
            let program = guard::tool(name)?;
            let found = External::find(program.to_str().unwrap(), "", &state).unwrap();
            Some(Box::new(found.with_program(role)))
        };
        let runtime: Box<dyn Runtime> = match kind {
            Kind::Embedded => Box::new(Embedded::new(&state).with_program(role)),
            Kind::Runc => external("runc")?,
            Kind::Crun => external("crun")?,
        };
        let bundle = directory.path().join("bundle");
        make_root(&bundle.join("rootfs"), &busybox);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("varve-test-{}-{number}", std::process::id());
        let world = Self { kind, runtime, id, bundle, directory };
        world.configure(|_| {});
        Some(world)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.bundle.join("rootfs")
    }

    /// Writes the configuration: docker's, changed.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Value)) {
        let mut config = config(&self.id);
        change(&mut config);
        fs::write(self.bundle.join("config.json"), config.to_string()).unwrap();
    }

    /// Runs a shell line in a new container of this configuration.
    #[track_caller]
    pub(crate) fn shell(&mut self, line: &str) -> Outcome {
        self.shell_with(line, |_| {})
    }

    #[track_caller]
    pub(crate) fn shell_with(&mut self, line: &str, change: impl FnOnce(&mut Value)) -> Outcome {
        let outcome = self.run_with(&["/bin/sh", "-c", line], change).unwrap();
        assert!(outcome.signal.is_none(), "{outcome:?}");
        outcome
    }

    /// Runs a program in a new container.
    pub(crate) fn run_with(
        &mut self,
        arguments: &[&str],
        change: impl FnOnce(&mut Value),
    ) -> Result<Outcome, OciError> {
        self.configure(|config| {
            config["process"]["args"] = json!(arguments);
            change(config);
        });
        let (stdio, streams) = pipes("");
        let created = self.runtime.create(&self.id, &self.bundle, stdio)?;
        self.runtime.start(&self.id)?;
        let outcome = streams.outcome(created.pid);
        self.runtime.delete(&self.id, Delete::Stopped)?;
        Ok(outcome)
    }

    /// Starts a program in a new container and leaves it running, its output thrown away.
    #[track_caller]
    pub(crate) fn start(&mut self, arguments: &[&str]) -> Created {
        self.configure(|config| config["process"]["args"] = json!(arguments));
        let created = self.runtime.create(&self.id, &self.bundle, nothing()).unwrap();
        self.runtime.start(&self.id).unwrap();
        created
    }

    /// Runs a shell line in the running container.
    #[track_caller]
    pub(crate) fn exec(&self, line: &str) -> Outcome {
        self.exec_with(&["/bin/sh", "-c", line], |_| {}).unwrap()
    }

    pub(crate) fn exec_with(
        &self,
        arguments: &[&str],
        change: impl FnOnce(&mut Value),
    ) -> Result<Outcome, OciError> {
        let mut process = config(&self.id)["process"].take();
        process["args"] = json!(arguments);
        change(&mut process);
        let process: Process = serde_json::from_value(process).unwrap();
        let (stdio, streams) = pipes("");
        let started = self.runtime.exec(&self.id, &process, stdio)?;
        Ok(streams.outcome(started.pid))
    }

    pub(crate) fn state(&self) -> State {
        self.runtime.state(&self.id).unwrap()
    }

    /// Removes the container and looks that nothing of it is left.
    pub(crate) fn end(&self) {
        let pid = self.runtime.state(&self.id).ok().and_then(|state| state.pid);
        self.runtime.delete(&self.id, Delete::Force).unwrap();
        if let Some(pid) = pid {
            wait(pid);
        }
        self.nothing_is_left();
    }

    #[track_caller]
    pub(crate) fn nothing_is_left(&self) {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let here = self.directory.path().display().to_string();
        assert!(!table.contains(&here), "mounts are left");
        let groups = Command::new("find")
            .args(["/sys/fs/cgroup", "-type", "d", "-name", &self.id])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&groups.stdout), "", "control groups are left");
        assert!(!self.directory.path().join("state").join(&self.id).exists(), "a state is left");
        assert_eq!(processes_under(&self.root()), Vec::<i32>::new(), "processes are left");
    }
}

/// A test that fails must not leave its container to the others.
impl Drop for World {
    fn drop(&mut self) {
        let pid = self.runtime.state(&self.id).ok().and_then(|state| state.pid);
        if thread::panicking()
            && let Some(pid) = pid.and_then(Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let _ = self.runtime.delete(&self.id, Delete::Force);
        }
    }
}

/// Processes that run a program of this directory.
fn processes_under(root: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let runs_there = |pid: &i32| {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        maps.contains(&root.display().to_string())
    };
    pids.filter(runs_there).collect()
}

fn make_root(root: &Path, busybox: &Path) {
    for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "home/user"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    let applets = [
        "sh", "true", "false", "cat", "echo", "env", "grep", "hostname", "id", "kill", "ln", "ls",
        "mkdir", "mount", "pwd", "rm", "sleep", "stat", "stty", "touch", "tty", "uname",
        "readlink", "dd", "head", "ps", "wc", "tail", "sysctl", "ip", "mknod", "chmod", "find",
        "sort", "tr",
    ];
    for applet in applets {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    let users = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
    fs::write(root.join("etc/passwd"), users).unwrap();
}

/// docker's capabilities.
pub(crate) const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

fn config(id: &str) -> Value {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": kind, "options": options});
    let hard = ["nosuid", "noexec", "nodev"];
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/usr/bin:/bin", "GREETING=hello world"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES,
                             "permitted": CAPABILITIES},
        },
        "root": {"path": "rootfs"},
        "hostname": "sediment",
        "mounts": [
            mount("/proc", "proc", &hard),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666",
                                          "mode=0620", "gid=5"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
            mount("/dev/mqueue", "mqueue", &hard),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777"]),
        ],
        "linux": {
            "cgroupsPath": format!("/varve-test/{id}"),
            "namespaces": [{"type": "mount"}, {"type": "network"}, {"type": "uts"},
                           {"type": "pid"}, {"type": "ipc"}],
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "maskedPaths": ["/proc/version", "/proc/keys", "/proc/nowhere", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

/// The near ends of a process's pipes.
pub(crate) struct Streams {
    output: File,
    error: File,
}

/// Streams of a process that reads `input`.
pub(crate) fn pipes(input: &str) -> (Stdio, Streams) {
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let ((input_end, feed), (output, output_end), (error, error_end)) = (pipe(), pipe(), pipe());
    File::from(feed).write_all(input.as_bytes()).unwrap();
    let stdio = Stdio::Descriptors { input: input_end, output: output_end, error: error_end };
    (stdio, Streams { output: output.into(), error: error.into() })
}

/// Streams to nowhere.
pub(crate) fn nothing() -> Stdio {
    let null =
        || -> OwnedFd { File::options().read(true).write(true).open("/dev/null").unwrap().into() };
    Stdio::Descriptors { input: null(), output: null(), error: null() }
}

impl Streams {
    /// Reads to the end and waits for the process.
    pub(crate) fn outcome(mut self, pid: i32) -> Outcome {
        let error = thread::spawn(move || {
            let mut text = Vec::new();
            self.error.read_to_end(&mut text).unwrap();
            text
        });
        let mut output = Vec::new();
        self.output.read_to_end(&mut output).unwrap();
        let (code, signal) = wait(pid);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome { code, signal, output: text(output), error: text(error.join().unwrap()) }
    }
}

/// How a process ended: its exit code, or the signal.
type End = (Option<i32>, Option<i32>);

/// Ends of processes that were waited for on behalf of others.
static ENDS: Mutex<BTreeMap<i32, End>> = Mutex::new(BTreeMap::new());

/// Waits for a process that is, or is about to become, a child of this one.
pub(crate) fn wait(pid: i32) -> End {
    for _ in 0..5000 {
        if let Some(end) = ENDS.lock().unwrap().remove(&pid).or_else(|| end_of(pid)) {
            return end;
        }
        // The kernel keeps the first process of a namespace until every other one was waited for,
        // also those that a failing runtime left to us.
        for other in ended_in_containers().filter(|other| *other != pid) {
            let mut ends = ENDS.lock().unwrap();
            if let Some(end) = end_of(other) {
                ends.insert(other, end);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("process {pid} does not end");
}

fn end_of(pid: i32) -> Option<End> {
    let (_, status) = rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::NOHANG).ok()??;
    Some((status.exit_status(), status.terminating_signal()))
}

/// Processes that have ended in a process namespace below ours.
fn ended_in_containers() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        field("State:").is_some_and(|state| state.trim().starts_with('Z'))
            && field("NSpid:").is_some_and(|pids| pids.split_whitespace().count() > 1)
    })
}
