//! Tests that mount, each in a mount namespace of its own.
//!
//! A test is the test program again, as the first process of new namespaces: what it mounts is
//! seen by nobody else and is gone with it, whatever becomes of it.

use std::{
    env,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use varve_fs::{
    backend::BackendKind,
    mount::table::Table,
    tar::{EntryKind, NewEntry, Writer},
};
use varve_store::{Options, Store};

use crate::made::Layer;

const INSIDE: &str = "VARVE_STORE_TEST_INSIDE";

/// Runs a test by itself. `name` is its full name.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    if env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return body();
    }
    if !may_mount() {
        return;
    }
    let output = namespaces()
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, name)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// `unshare`, which runs what is appended as the first process of new namespaces.
fn namespaces() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]);
    command.arg("--mount-proc");
    command
}

fn may_mount() -> bool {
    let mut try_out = namespaces();
    let may = try_out.arg("true").stdin(Stdio::null()).stderr(Stdio::null()).status();
    let may = may.is_ok_and(|status| status.success());
    if !may {
        skip("mount", "not allowed here");
    }
    may
}

/// Says aloud what is skipped, also to whoever runs all tests.
pub(crate) fn skip(what: &str, why: &str) {
    eprintln!("SKIPPED: {what} is {why}");
    if let Some(list) = env::var_os("VARVE_TEST_SKIPS") {
        let mut list = File::options().append(true).create(true).open(list).unwrap();
        // In one go: other test programs write there too.
        list.write_all(format!("{what}: {why}\n").as_bytes()).unwrap();
    }
}

/// A store with a run directory, both on a disk.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) store: Store,
}

impl std::ops::Deref for Place {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let store = open(directory.path(), None);
        Self { directory, store }
    }

    /// What another process sees that is told to use this backend.
    pub(crate) fn with(&self, backend: BackendKind) -> Store {
        open(self.directory.path(), Some(backend))
    }

    /// What is mounted below the run directory, as paths in the store's; stacked ones twice.
    pub(crate) fn mounted(&self) -> Vec<String> {
        mounted(self.directory.path())
    }

    /// Nothing is mounted, and no holder or place is left.
    #[track_caller]
    pub(crate) fn is_tidy(&self) {
        is_tidy(self.directory.path());
    }
}

pub(crate) fn open(directory: &Path, backend: Option<BackendKind>) -> Store {
    let run = Some(directory.join("run"));
    Store::open_with(&directory.join("store"), Options { run, backend, ..Options::default() })
        .unwrap()
}

pub(crate) fn mounted(directory: &Path) -> Vec<String> {
    let Ok(run) = directory.join("run").canonicalize() else { return Vec::new() };
    let table = Table::read().unwrap();
    let below = |place: &Path| {
        let parts: PathBuf = place.strip_prefix(&run).unwrap().components().skip(1).collect();
        parts.to_str().unwrap().to_owned()
    };
    let mut places: Vec<String> = table.beneath(&run).map(|row| below(&row.place)).collect();
    places.sort();
    places
}

#[track_caller]
pub(crate) fn is_tidy(directory: &Path) {
    let run = directory.join("run");
    assert_eq!(mounted(directory), [""; 0]);
    for store in std::fs::read_dir(&run).into_iter().flatten() {
        for kind in ["layers", "times", "chains", "users", "containers", "images", "processes"] {
            let left = std::fs::read_dir(store.as_ref().unwrap().path().join(kind));
            let left: Vec<_> = left.into_iter().flatten().map(|it| it.unwrap().path()).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

/// What one entry of a tar is.
pub(crate) enum Made<'a> {
    Directory(u32),
    File(&'a [u8]),
    /// A link to a path, hard.
    Link(&'a str),
}

/// A gzipped layer of such entries, with `seconds` as everybody's time.
pub(crate) fn layer(seconds: i64, entries: &[(&str, Made)]) -> Layer {
    let mut writer = Writer::new(Vec::new());
    for (path, made) in entries {
        let (kind, mode, content, target): (_, _, &[u8], &str) = match made {
            Made::Directory(mode) => (EntryKind::Directory, *mode, b"", ""),
            Made::File(content) => (EntryKind::File, 0o644, content, ""),
            Made::Link(target) => (EntryKind::HardLink, 0o644, b"", target),
        };
        let entry = NewEntry {
            path: path.as_bytes(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: varve_fs::tar::Time { seconds, nanoseconds: 0 },
            link_target: target.as_bytes(),
            device: varve_fs::tar::Device::default(),
            xattrs: &[],
            size: content.len() as u64,
        };
        writer.append_bytes(&entry, content).unwrap();
    }
    Layer::gzipped_tar(writer.finish().unwrap())
}
