//! A store with one image of a static busybox, a project to build, and what is left over.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use varve_testkit::guard;

const APPLETS: &str = "sh cat cp cut date df echo false grep hostname id ls mkdir mv rm sed sleep \
                       stat tail test touch true wc";

/// How long mounts of a container that has ended may take to be gone.
const GONE_TIME_MAX: Duration = Duration::from_secs(20);

/// A user with a store, in which there is the image `base:1`, and an empty project.
pub(crate) struct World {
    directory: TempDir,
    /// The group that the groups of programs are made in.
    groups: String,
}

impl World {
    /// `None` without a busybox to make the image of.
    #[track_caller]
    pub(crate) fn new() -> Option<Self> {
        let busybox = guard::tool("busybox")?;
        let world = Self::empty();
        let root = world.path("rootfs");
        for name in ["bin", "etc", "tmp"] {
            fs::create_dir_all(root.join(name)).expect("a directory");
        }
        fs::copy(busybox, root.join("bin/busybox")).expect("a program");
        for name in APPLETS.split_whitespace() {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).expect("a link");
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").expect("a file");
        let tar = world.path("rootfs.tar");
        let packed = Command::new("tar")
            .args(["--owner=0", "--group=0", "-cf"])
            .args([&tar, Path::new("-C"), &root, Path::new(".")])
            .status();
        assert!(packed.expect("tar starts").success());
        world.import("base:1");
        Some(world)
    }

    /// A user whose store has no image.
    pub(crate) fn empty() -> Self {
        // On a disk, where layers can be mounted from plain files.
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let name = directory.path().file_name().expect("a name").to_string_lossy().into_owned();
        let groups = format!("varve-builds{}", name.replace('.', "-"));
        let world = Self { directory, groups };
        fs::create_dir(world.path("project")).expect("a directory");
        world
    }

    /// The image of busybox once more, made now.
    pub(crate) fn import(&self, name: &str) {
        let tar = self.path("rootfs.tar");
        self.ok(&["import", "--change=CMD [\"sh\"]", &tar.display().to_string(), name]);
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    /// Writes a file of the project, with its parents.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path("project").join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, text).expect("a file");
        path
    }

    /// A command ready to run, in the project, with nothing on its input.
    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_varve"));
        command
            .args(line)
            .current_dir(self.path("project"))
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

    /// A build of the project, whose programs have no network.
    pub(crate) fn build(&self, flags: &[&str]) -> Command {
        let line = ["build", "--network=none", "--progress=plain", "--cgroup-parent", &self.groups];
        self.command(&[&line[..], flags, &["."]].concat())
    }

    /// Builds the project, which must succeed; returns what was told.
    #[track_caller]
    pub(crate) fn built(&self, flags: &[&str]) -> String {
        let output = self.build(flags).output().expect("varve ends");
        assert!(output.status.success(), "{flags:?}\n{}", said(&output));
        said(&output)
    }

    /// Builds the project, which must fail; returns what was told and the code.
    #[track_caller]
    pub(crate) fn fails(&self, flags: &[&str]) -> (String, Option<i32>) {
        let output = self.build(flags).output().expect("varve ends");
        assert!(!output.status.success(), "{flags:?}\n{}", said(&output));
        (said(&output), output.status.code())
    }

    /// Runs the program, which must end well. Returns its standard output without the last line's
    /// end.
    #[track_caller]
    pub(crate) fn ok(&self, line: &[&str]) -> String {
        let output = self.command(line).output().expect("varve ends");
        assert!(output.status.success(), "varve {}\n{}", line.join(" "), said(&output));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// What a container of an image says.
    #[track_caller]
    pub(crate) fn run(&self, image: &str, command: &[&str]) -> String {
        self.ok(&[&["run", "--rm", "--network=none", image], command].concat())
    }

    /// The ID of an image.
    #[track_caller]
    pub(crate) fn id(&self, image: &str) -> String {
        self.ok(&["inspect", "--format={{.Id}}", image])
    }

    /// The names of all images, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let rows = self.ok(&["images", "--format={{.Repository}}:{{.Tag}}"]);
        let mut names: Vec<String> = rows.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// What is mounted below the world's directory.
    fn mounts(&self) -> Vec<String> {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("the kernel's table");
        let places = table.lines().filter_map(|line| line.split(' ').nth(4));
        let at = self.path("").canonicalize().expect("a directory");
        places.filter(|place| Path::new(place).starts_with(&at)).map(str::to_owned).collect()
    }

    /// Nothing of a program of a build is left, after a command that looks. Only in namespaces of
    /// one's own is all that is there our own.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let until = Instant::now() + GONE_TIME_MAX;
        // What a container with `--rm` had goes behind its end.
        while !self.mounts().is_empty() {
            assert!(Instant::now() < until, "{:#?}", self.mounts());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(entries(&self.path("store/varve/steps")), [""; 0]);
        assert_eq!(entries(&self.path("run/steps")), [""; 0]);
        assert_eq!(groups(Path::new("/sys/fs/cgroup"), &self.groups), [""; 0]);
        self.ok(&["system", "check"]);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The parent of the groups is the user's to make and to take away.
        for hierarchy in [".", "memory", "pids", "cpu", "cpu,cpuacct", "devices", "freezer"] {
            let _ = fs::remove_dir(Path::new("/sys/fs/cgroup").join(hierarchy).join(&self.groups));
        }
    }
}

/// What a program said on both streams.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Sets the modification time, in seconds.
pub(crate) fn set_time(path: &Path, seconds: u64) {
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    fs::File::open(path).and_then(|file| file.set_modified(time)).expect("a time");
}

fn entries(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.map(|it| it.expect("an entry").path().display().to_string()).collect()
}

/// Groups below the one called `name`, in every hierarchy.
fn groups(root: &Path, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for hierarchy in [root.to_owned()].into_iter().chain(entries(root).iter().map(PathBuf::from)) {
        for group in entries(&hierarchy.join(name)) {
            if Path::new(&group).is_dir() {
                found.push(group);
            }
        }
    }
    found
}
