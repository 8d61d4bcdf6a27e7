//! A store with one image, and what is left over.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use varve_testkit::guard;

/// How long what was killed may take to be gone.
const GONE_TIME_MAX: Duration = Duration::from_secs(20);

/// A store with an image `busybox`, seen by nobody else.
pub(crate) struct World {
    directory: TempDir,
    parent: String,
}

impl World {
    /// `None` without a busybox to make the image of.
    pub(crate) fn new() -> Option<Self> {
        let program = guard::tool("busybox")?;
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let name = directory.path().file_name().expect("a name").to_string_lossy().into_owned();
        let parent = format!("varve-torture{}", name.replace('.', "-"));
        let world = Self { directory, parent };
        let bin = world.path("rootfs/bin");
        fs::create_dir_all(&bin).expect("a directory");
        fs::copy(program, bin.join("busybox")).expect("a program");
        for name in ["sh", "sleep", "true", "cat", "echo"] {
            std::os::unix::fs::symlink("busybox", bin.join(name)).expect("a link");
        }
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(world.path("rootfs")).args(["-cf", "-", "."]);
        let mut tar = tar.stdout(Stdio::piped()).spawn().expect("tar starts");
        let mut import = world.command(&["import", "-", "busybox"]);
        import.stdin(tar.stdout.take().expect("an output"));
        assert!(import.output().expect("varve ends").status.success());
        assert!(tar.wait().expect("tar ends").success());
        // What the machine can do is found out: a probe that is killed is put in order by the next
        // one, which not every command makes.
        let ran = world.container(&["run", "--rm"], &["true"]).output().expect("varve ends");
        assert!(ran.status.success(), "{}", said(&ran));
        Some(world)
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// A command, ready to run.
    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_varve"));
        command
            .args(line)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("VARVE_ROOT", self.path("store"))
            .env("VARVE_RUN", self.path("run"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A `run`, `create` … of the image with no network, its cgroups where they are found again.
    pub(crate) fn container(&self, verb: &[&str], command: &[&str]) -> Command {
        self.container_in("none", verb, command)
    }

    /// The same with a network.
    pub(crate) fn container_in(&self, network: &str, verb: &[&str], command: &[&str]) -> Command {
        let options = ["--network", network, "--cgroup-parent", &self.parent, "busybox"];
        self.command(&[verb, &options, command].concat())
    }

    pub(crate) fn run(&self, line: &[&str]) -> Output {
        self.command(line).output().expect("varve ends")
    }

    /// Runs a command that must succeed; returns the lines that it printed.
    #[track_caller]
    pub(crate) fn lines(&self, line: &[&str]) -> Vec<String> {
        lines(line, self.run(line))
    }

    /// Takes all containers away by the commands for it.
    #[track_caller]
    pub(crate) fn remove_all(&self) {
        let all = self.lines(&["ps", "--all", "--quiet", "--no-trunc"]);
        if !all.is_empty() {
            let line = [&["rm", "--force"][..], &texts(&all)].concat();
            // One that just goes with its end is not named.
            assert!(self.lines(&line).iter().all(|id| all.contains(id)));
        }
        assert_eq!(self.lines(&["ps", "--all", "--quiet"]), [""; 0]);
    }

    /// What is left of containers on the machine, when none is there any more.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        left.extend(processes().into_iter().map(|(pid, line)| format!("process {pid}: {line}")));
        left.extend(self.mounts(""));
        left.extend(self.cgroups().iter().map(|path| format!("cgroup {}", path.display())));
        for place in ["containers", "names", "leases", "trash", "ingest"] {
            left.extend(files(&self.path("store/varve").join(place)));
        }
        for run in entries(&self.path("run")).into_iter().filter(|path| path.is_dir()) {
            for place in ["runtime", "bundles", "users", "containers", "layers", "chains"] {
                left.extend(files(&run.join(place)));
            }
            for network in entries(&run.join("networks")) {
                left.extend(files(&network.join("sandboxes")));
            }
        }
        left
    }

    /// What is left of networks, where the test has a network namespace of its own.
    pub(crate) fn network_leftovers(&self) -> Vec<String> {
        let mut left = self.interfaces_and_names();
        if let Some(nft) = guard::tool("nft") {
            let tables = Command::new(nft).args(["list", "tables"]).output().expect("nft ends");
            let tables = String::from_utf8(tables.stdout).expect("UTF-8");
            left.extend(tables.lines().filter(|line| line.contains(" v")).map(str::to_owned));
        }
        left
    }

    /// The same without rules.
    pub(crate) fn interfaces_and_names(&self) -> Vec<String> {
        let interfaces = fs::read_to_string("/proc/self/net/dev").expect("the kernel's table");
        let names = interfaces.lines().skip(2).filter_map(|line| line.split(':').next());
        let ours = names.map(str::trim).filter(|name| name.starts_with('v'));
        let mut left: Vec<String> = ours.map(|name| format!("interface {name}")).collect();
        for run in entries(&self.path("run")) {
            for network in entries(&run.join("networks")) {
                left.extend(files(&network.join("names")));
            }
        }
        left
    }

    /// Waits until nothing is left over.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self, when: &str) {
        self.assert_nothing_left_of(Self::leftovers, when);
    }

    /// The same of what `leftovers` looks for.
    #[track_caller]
    pub(crate) fn assert_nothing_left_of(&self, leftovers: fn(&Self) -> Vec<String>, when: &str) {
        let until = Instant::now() + GONE_TIME_MAX;
        loop {
            reap();
            let left = leftovers(self);
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < until, "{when}: left over: {left:#?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the containers' monitors have written down.
    pub(crate) fn states(&self) -> Vec<String> {
        let containers = entries(&self.path("store/varve/containers")).into_iter();
        let states = containers.map(|path| {
            let state = fs::read_to_string(path.join("state.json"));
            format!("{} {state:?}", path.display())
        });
        states.collect()
    }

    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        let checked = self.run(&["system", "check"]);
        assert!(checked.status.success(), "{}", said(&checked));
    }

    /// The places below `what` of the run directory where something is mounted.
    pub(crate) fn mounts(&self, what: &str) -> Vec<String> {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("the kernel's table");
        let ours = self.directory.path().to_str().expect("UTF-8");
        let places = table.lines().filter_map(|line| line.split(' ').nth(4));
        let ours = places.filter(|place| place.starts_with(ours) && place.contains(what));
        ours.map(|place| format!("mount {place}")).collect()
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let top = Path::new("/sys/fs/cgroup");
        let hierarchies = entries(top).into_iter().chain([top.to_owned()]);
        hierarchies
            .flat_map(|hierarchy| entries(&hierarchy.join(&self.parent)))
            .filter(|path| path.is_dir())
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for (pid, _) in processes() {
            kill(pid);
        }
        let top = Path::new("/sys/fs/cgroup");
        for hierarchy in entries(top).into_iter().chain([top.to_owned()]) {
            let parent = hierarchy.join(&self.parent);
            // Where the test has failed there are some of containers.
            for group in entries(&parent).into_iter().filter(|path| path.is_dir()) {
                let _ = fs::remove_dir(group);
            }
            let _ = fs::remove_dir(parent);
        }
    }
}

/// What a command printed, by lines; it must have succeeded.
#[track_caller]
pub(crate) fn lines(what: &[&str], output: Output) -> Vec<String> {
    assert!(output.status.success(), "{what:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}: {}{}", output.status, text(&output.stdout), text(&output.stderr))
}

pub(crate) fn texts(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

/// The living processes of this namespace but ourselves, with their command lines.
pub(crate) fn processes() -> Vec<(u32, String)> {
    let me = std::process::id();
    let pids = entries(Path::new("/proc"));
    let pids = pids.iter().filter_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != me)
        .filter_map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            // A dead one that nobody waited for has none.
            (!line.is_empty()).then_some((pid, line))
        })
        .collect()
}

/// The monitors that are there.
pub(crate) fn monitors() -> Vec<u32> {
    let all = processes().into_iter();
    all.filter(|(_, line)| line.contains("--varve-monitor")).map(|(pid, _)| pid).collect()
}

/// Kills a process, unless it has ended.
pub(crate) fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
}

/// Kills a process and waits until it is dead: one that just waits for the disk takes its time.
pub(crate) fn end(pid: u32) {
    use rustix::{
        event::{PollFd, PollFlags, poll},
        process::{Pid, PidfdFlags, pidfd_open},
    };
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(Ok(handle)) = number.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { return };
    kill(pid);
    poll(&mut [PollFd::new(&handle, PollFlags::IN)], None).expect("its end");
}

/// Ends a command at once and waits for it.
pub(crate) fn cut_off(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Waits for what became ours because its parent ended: we are the first process here.
pub(crate) fn reap() {
    let options = rustix::process::WaitOptions::NOHANG;
    while let Ok(Some(_)) = rustix::process::wait(options) {}
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Vec::new(),
        Err(error) => panic!("{}: {error}", directory.display()),
    }
}

fn files(directory: &Path) -> Vec<String> {
    entries(directory).iter().map(|path| format!("file {}", path.display())).collect()
}
