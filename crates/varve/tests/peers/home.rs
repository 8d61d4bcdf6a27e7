//! A user: a home directory, a store, the built program.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use varve_testkit::guard;

use crate::disk::Disk;

/// A user of `varve`, with nothing in common with any other.
#[derive(Debug)]
pub(crate) struct Home {
    directory: TempDir,
    store: PathBuf,
    /// The store as commands are told it.
    root: PathBuf,
    /// Words before each command.
    entry: Vec<String>,
    environment: Vec<(String, String)>,
}

/// How a program ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            // A signal is shown as its negative number would be: never equal to an exit code.
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let store = directory.path().join("store");
        let root = store.clone();
        Self { directory, store, root, entry: Vec::new(), environment: Vec::new() }
    }

    /// With the store elsewhere.
    pub(crate) fn with_store(store: &Path) -> Self {
        Self { store: store.to_owned(), root: store.to_owned(), ..Self::new() }
    }

    /// With the store on a disk. Root sees it from outside; an ordinary user goes to it.
    pub(crate) fn on(disk: &Disk) -> Self {
        let store = disk.path().join("store");
        if guard::is_root() {
            return Self { root: store.clone(), store, ..Self::new() };
        }
        let root = disk.path_inside().join("store");
        Self { store, root, entry: disk.entry(), ..Self::new() }
    }

    /// With another variable in the environment of every command.
    pub(crate) fn with_environment(mut self, name: &str, value: &Path) -> Self {
        self.environment.push((name.to_owned(), value.display().to_string()));
        self
    }

    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    /// A path in the home directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A path in the home directory, as text for a command line.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file into the home directory, with its parents.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, bytes).expect("a file");
        path
    }

    /// A command of `varve`, ready to be changed and run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.entry.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_varve")]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        self.at_home(&mut command)
            .env("VARVE_ROOT", &self.root)
            .env("VARVE_RUN", self.directory.path().join("run"))
            .args(arguments);
        command
    }

    /// Puts any program into this home.
    pub(crate) fn at_home<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.directory.path())
            .env("XDG_RUNTIME_DIR", self.directory.path())
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
    }

    /// Runs a command of `varve`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().expect("varve starts").into()
    }

    /// Runs a command of `varve` that must succeed; returns its standard output without the
    /// newline at its end.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        let (stdout, stderr) = (&ran.stdout, &ran.stderr);
        assert_eq!(ran.code, 0, "varve {}\n{stdout}{stderr}", arguments.join(" "));
        stdout.trim_end().to_owned()
    }

    /// Runs a command of `varve` that must fail with docker's exit code for a failed command;
    /// returns its standard error.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        let (stdout, stderr) = (ran.stdout, ran.stderr);
        assert_eq!(ran.code, 1, "varve {}\n{stdout}{stderr}", arguments.join(" "));
        stderr
    }

    /// Runs a command of `varve` with something on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("varve starts");
        let mut stdin = child.stdin.take().expect("standard input");
        std::thread::scope(|scope| {
            // A command that does not read everything has closed it: fine.
            scope.spawn(move || drop(stdin.write_all(input)));
            child.wait_with_output().expect("varve ends").into()
        })
    }

    /// What `inspect` says about an image.
    #[track_caller]
    pub(crate) fn inspect(&self, image: &str) -> Value {
        let text = self.ok(&["image", "inspect", image]);
        let mut all: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        all.remove(0)
    }

    /// The ID of an image.
    #[track_caller]
    pub(crate) fn id(&self, image: &str) -> String {
        self.inspect(image)["Id"].as_str().expect("an ID").to_owned()
    }

    /// The `RepoDigests` of an image, sorted.
    #[track_caller]
    pub(crate) fn repo_digests(&self, image: &str) -> Vec<String> {
        let mut digests = texts(&self.inspect(image)["RepoDigests"]);
        digests.sort();
        digests
    }

    /// The diff IDs of an image.
    #[track_caller]
    pub(crate) fn diff_ids(&self, image: &str) -> Vec<String> {
        texts(&self.inspect(image)["RootFS"]["Layers"])
    }

    /// A blob of the store.
    #[track_caller]
    pub(crate) fn blob(&self, digest: &str) -> Vec<u8> {
        let hex = digest.strip_prefix("sha256:").expect("a digest");
        let path = self.store.join("blobs/sha256").join(hex);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The digests of all blobs of the store, sorted.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.store.join("blobs/sha256")) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The store must be sound.
    #[track_caller]
    pub(crate) fn check(&self) {
        let said = self.run(&["system", "check"]);
        assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    }

    /// The rows of `images`, as `name:tag id`, sorted.
    #[track_caller]
    pub(crate) fn images(&self) -> Vec<String> {
        let format = "{{.Repository}}:{{.Tag}} {{.ID}}";
        let text = self.ok(&["images", "--no-trunc", "--format", format]);
        let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
        rows.sort();
        rows
    }
}

/// The texts of a JSON array; nothing for what is none.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.map(|item| item.as_str().expect("a text").to_owned()).collect()
}
