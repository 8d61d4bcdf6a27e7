//! Where a verb is tried again and again: a file system in memory with stores on it, a registry, and a
//! machine that can be restarted as far as varve can tell.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use varve_testkit::{Registry, guard};

use crate::{
    frames::Tree,
    overseer::{self, Answer, Asked},
    world::processes,
};

/// What varve asks for which start of the machine this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// How long what was started may take to end.
const END_TIME_MAX: Duration = Duration::from_mins(1);

/// To be made in a mount and process namespace of its own (`alone`).
pub(crate) struct Stage {
    directory: TempDir,
    pub(crate) registry: Registry,
    boots: Cell<u32>,
    places: Cell<u32>,
}

/// A store with its run directory.
pub(crate) struct Place {
    top: PathBuf,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        Self { code: output.status.code(), stdout, stderr }
    }
}

impl Stage {
    /// `None` where a debug build is needed and this is none: only that asks before its calls.
    #[track_caller]
    pub(crate) fn new() -> Option<Self> {
        if !guard::found("debug-build", cfg!(debug_assertions)) {
            return None;
        }
        let directory = TempDir::new().expect("a directory");
        mount(&["-t", "tmpfs", "-o", "mode=755", "tmpfs"], directory.path());
        fs::create_dir(directory.path().join("registry")).expect("a directory");
        let registry = Registry::builder().root(&directory.path().join("registry")).start();
        let stage = Self { directory, registry, boots: Cell::new(0), places: Cell::new(0) };
        stage.restart();
        mount(&["--bind", &stage.text("boot_id")], Path::new(BOOT_ID));
        Some(stage)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, bytes).expect("a file");
        path.display().to_string()
    }

    /// From now on it is another start of the machine.
    pub(crate) fn restart(&self) {
        let boot = self.boots.get() + 1;
        self.boots.set(boot);
        self.write("boot_id", format!("{boot:08x}-0000-4000-8000-000000000000\n").as_bytes());
    }

    /// An empty place.
    pub(crate) fn place(&self) -> Place {
        let number = self.places.get() + 1;
        self.places.set(number);
        let top = self.path(&format!("place-{number}"));
        fs::create_dir(&top).expect("a directory");
        Place { top }
    }

    /// A place with this store.
    pub(crate) fn place_with(&self, store: &Tree) -> Place {
        let place = self.place();
        store.write(&place.store());
        place
    }

    /// A command of varve on a store, ready to be run.
    pub(crate) fn command(&self, place: &Place, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_varve"));
        command
            .args(line)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("VARVE_ROOT", place.store())
            .env("VARVE_RUN", place.top.join("run"))
            .env("VARVE_STORAGE_BACKEND", "directory")
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, place: &Place, line: &[&str]) -> Ran {
        self.command(place, line).output().expect("varve ends").into()
    }

    /// Runs a command that must succeed; returns what it printed.
    #[track_caller]
    pub(crate) fn ok(&self, place: &Place, line: &[&str]) -> String {
        let ran = self.run(place, line);
        assert_eq!(ran.code, Some(0), "{line:?}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Runs a command whose calls, and those of all that it starts, are told to `answer`, and waits until all of them
    /// have ended.
    pub(crate) fn overseen(
        &self,
        command: &mut Command,
        answer: impl FnMut(&Asked) -> Answer + Send,
    ) -> Ran {
        let socket = self.path("calls");
        command.env(overseer::VARIABLE, &socket);
        let programs = || {
            let ran = command.output().expect("varve ends");
            wait_for_end();
            ran.into()
        };
        overseer::oversee(&socket, programs, answer)
    }

    /// A server that is told to `answer` while `clients` do their work, then ends.
    pub(crate) fn overseen_server<T>(
        &self,
        command: &mut Command,
        clients: impl FnOnce(&mut Child) -> T,
        answer: impl FnMut(&Asked) -> Answer + Send,
    ) -> T {
        let socket = self.path("calls");
        command.env(overseer::VARIABLE, &socket);
        let programs = || {
            let mut server = command.spawn().expect("varve starts");
            let came = clients(&mut server);
            let _ = server.kill();
            let _ = server.wait();
            came
        };
        overseer::oversee(&socket, programs, answer)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy", BOOT_ID]).status();
        let _ = Command::new("umount").arg("--lazy").arg(self.directory.path()).status();
    }
}

impl Place {
    pub(crate) fn store(&self) -> PathBuf {
        self.top.join("store")
    }

    /// The names in a directory of the store; none where it is absent.
    pub(crate) fn list(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.store().join(directory)) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        unmount_below(&self.top);
        let _ = fs::remove_dir_all(&self.top);
    }
}

#[track_caller]
pub(crate) fn mount(words: &[&str], place: &Path) {
    let output = Command::new("mount").args(words).arg(place).output().expect("mount starts");
    assert!(output.status.success(), "mount {words:?}: {output:?}");
}

/// Takes away what is mounted below a directory, the last first.
fn unmount_below(top: &Path) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let places: Vec<&str> = table.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    for place in places.into_iter().rev().filter(|place| Path::new(place).starts_with(top)) {
        let _ = Command::new("umount").args(["--lazy", place]).status();
    }
}

/// Waits until no process of varve, nor what it started, is there. In namespaces of one's own all are ours.
#[track_caller]
pub(crate) fn wait_for_end() {
    let until = Instant::now() + END_TIME_MAX;
    loop {
        crate::world::reap();
        let left = processes();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "still there: {left:#?}");
        thread::sleep(Duration::from_millis(2));
    }
}
