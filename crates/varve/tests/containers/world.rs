//! A store with one image of a static busybox, and what the program says when it is used.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use varve_testkit::guard;

/// How long mounts of a container that has ended may take to be gone.
const GONE_TIME_MAX: Duration = Duration::from_secs(20);

/// A store with an image `base:1`, seen by nobody else.
pub(crate) struct World {
    directory: TempDir,
}

impl World {
    /// `None` without a busybox to make the image of.
    pub(crate) fn new() -> Option<Self> {
        let busybox = guard::tool("busybox")?;
        // On a disk, where layers can be mounted from plain files.
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let world = Self { directory };
        let root = world.path("rootfs");
        for name in ["bin", "etc", "srv"] {
            fs::create_dir_all(root.join(name)).expect("a directory");
        }
        fs::copy(busybox, root.join("bin/busybox")).expect("a program");
        for name in ["sh", "httpd", "cat", "rm", "echo"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).expect("a link");
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").expect("a file");
        fs::write(root.join("etc/old"), "old\n").expect("a file");
        fs::write(root.join("srv/index.html"), "from the image\n").expect("a file");
        let tar = world.path("rootfs.tar");
        let packed = Command::new("tar")
            .args(["--owner=0", "--group=0", "-cf"])
            .args([&tar, Path::new("-C"), &root, Path::new(".")])
            .status();
        assert!(packed.expect("tar starts").success());
        world.ok(&["import", "--change=CMD [\"sh\"]", &tar.display().to_string(), "base:1"]);
        Some(world)
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// Runs the program with nothing on its input.
    pub(crate) fn run(&self, line: &[&str]) -> Output {
        self.command(line).output().expect("varve ends")
    }

    /// A command ready to run.
    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_varve"));
        command
            .args(line)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("VARVE_ROOT", self.path("store"))
            .env("VARVE_RUN", self.path("run"))
            .stdin(Stdio::null());
        command
    }

    /// Runs the program, which must end well. Returns its standard output without the last line's
    /// end.
    #[track_caller]
    pub(crate) fn ok(&self, line: &[&str]) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "varve {}: {output:?}", line.join(" "));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// The diff IDs of an image's layers, lowest first.
    pub(crate) fn layers(&self, image: &str) -> Vec<String> {
        let layers = self.ok(&["inspect", "--format={{json .RootFS.Layers}}", image]);
        serde_json::from_str(&layers).expect("JSON")
    }

    /// The names in a layer that was made here, as GNU tar tells them, sorted.
    pub(crate) fn names_in(&self, diff_id: &str) -> Vec<String> {
        let blob = self.path("store/blobs").join(diff_id.replace(':', "/"));
        let output = Command::new("tar").arg("-tf").arg(blob).output().expect("tar starts");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Waits until nothing is mounted below the run directory: what a container with `--rm` had goes
    /// behind its end.
    #[track_caller]
    pub(crate) fn assert_nothing_mounted(&self) {
        let until = Instant::now() + GONE_TIME_MAX;
        while !self.mounts().is_empty() {
            assert!(Instant::now() < until, "{:#?}", self.mounts());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Places below the run directory that something is mounted on.
    fn mounts(&self) -> Vec<String> {
        let run = self.path("run").canonicalize().expect("a directory");
        let table = fs::read_to_string("/proc/self/mountinfo").expect("the kernel's table");
        let places = table.lines().filter_map(|line| line.split(' ').nth(4));
        let ours = places.filter(|place| Path::new(place).starts_with(&run));
        ours.map(str::to_owned).collect()
    }
}
