//! Directories that a store might lie in, and layers in them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::mount::{MountFlags, MountPropagationFlags};
use varve_fs::{
    backend::{Backend, BackendKind, Directory, LayerFiles, Probed, Uppers, probe},
    erofs::{self, BlockSize},
    extract::Source,
    mount::{InUse, Marks, Mount, Overlay, Upper, table::Table, unmount},
    stack::Stack,
};

use crate::{
    kernel::{self, skip},
    made::Layer,
};

const INSIDE: &str = "VARVE_TEST_IN_MOUNT_NAMESPACE";

/// Runs a test in a mount namespace of its own: calls this program again for the test of this
/// name alone. Returns whether we are inside; outside all is done, or skipped.
#[track_caller]
pub(crate) fn is_inside(test: &str, unshare: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !kernel::is_root() || !kernel::may_mount_overlays() {
        return false;
    }
    let output = Command::new("unshare")
        .args(unshare)
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", test])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("test result: ok. 1 passed"), "no test is named {test}: {said}");
    for line in said.lines().filter(|line| line.contains("SKIPPED")) {
        eprintln!("{line}");
    }
    false
}

/// A directory on some kind of file system, empty at first.
pub(crate) struct Store {
    pub(crate) on: &'static str,
    pub(crate) path: PathBuf,
    /// A directory on a file system on which uppers may lie.
    pub(crate) elsewhere: PathBuf,
}

/// One of each kind; unmounted in the end.
pub(crate) struct Stores {
    pub(crate) all: Vec<Store>,
    base: tempfile::TempDir,
}

impl Stores {
    /// In a mount namespace of our own only.
    pub(crate) fn new() -> Self {
        // The file system that cargo builds on, for `/tmp` may be a tmpfs.
        let base = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = |name: &str| {
            let path = base.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let (tmpfs, overlay) = (path("tmpfs"), path("overlay"));
        rustix::mount::mount("tmpfs", &tmpfs, "tmpfs", MountFlags::empty(), None).unwrap();
        let upper = Upper { directory: path("upper"), work: path("work"), is_fleeting: false };
        let lowers = vec![path("lower")];
        let below = Overlay { lowers, upper: Some(upper), marks: Marks::Trusted, context: None };
        Mount::Overlay(below).mount(&overlay).unwrap();
        fs::create_dir(tmpfs.join("elsewhere")).unwrap();
        let elsewhere = tmpfs.join("elsewhere");
        let stores = [("disk", path("disk")), ("tmpfs", tmpfs), ("overlayfs", overlay)];
        let all = stores.map(|(on, path)| Store { on, path, elsewhere: elsewhere.clone() });
        Self { all: all.into(), base }
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        for row in Table::read().unwrap().beneath(self.base.path()) {
            let _ = unmount(&row.place, InUse::Detached);
        }
    }
}

impl Store {
    /// Whether a backend must work here; says aloud when the machine is what it lacks.
    pub(crate) fn allows(&self, kind: BackendKind) -> bool {
        match kind {
            BackendKind::Erofs => self.on == "disk" && has_erofs_from_files(&self.path),
            BackendKind::ErofsLoop => has_loop_devices(),
            BackendKind::Directory => true,
        }
    }

    pub(crate) fn probed(&self, kind: BackendKind) -> Probed {
        probe(&self.path.join("probe"), Some(kind)).unwrap()
    }

    /// A place for an upper that works with what was found.
    fn place_for_upper(&self, uppers: Uppers) -> PathBuf {
        match uppers {
            Uppers::Here => self.path.join("upper"),
            Uppers::Elsewhere => self.elsewhere.join("upper"),
        }
    }
}

/// Runs a test with every backend on every store where it must work.
#[track_caller]
pub(crate) fn with_each(test: &str, run: impl Fn(&Bench)) {
    if !is_inside(test, &[]) {
        return;
    }
    let stores = Stores::new();
    for store in &stores.all {
        for kind in BackendKind::ALL.into_iter().filter(|kind| store.allows(*kind)) {
            let probed = store.probed(kind);
            let bench = Bench { store, backend: probed.backend(), uppers: probed.uppers };
            eprintln!("{kind} on {}", store.on);
            run(&bench);
            bench.clear();
        }
    }
    // What user namespaces use; root may too.
    for marks in [Marks::User, Marks::UserAttributes] {
        let backend = Box::new(Directory { marks });
        let bench = Bench { store: &stores.all[0], backend, uppers: Uppers::Here };
        eprintln!("directory with {marks:?}");
        run(&bench);
        bench.clear();
    }
}

fn has_erofs_from_files(path: &Path) -> bool {
    match probe(&path.join("probe"), Some(BackendKind::Erofs)) {
        Ok(_) => true,
        Err(error) if error.kind() == varve_types::Kind::Unsupported => {
            skip("erofs", "not mounted from plain files here");
            false
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// Whether there are loop devices for us; says aloud when not.
pub(crate) fn has_loop_devices() -> bool {
    let control = File::options().read(true).write(true).open("/dev/loop-control");
    if let Err(error) = &control {
        skip("loop-devices", &error.to_string());
    }
    control.is_ok()
}

/// The loop devices that show files below a directory.
pub(crate) fn loop_devices_of(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block").unwrap() {
        let file = entry.unwrap().path().join("loop/backing_file");
        if let Ok(text) = fs::read_to_string(&file)
            && Path::new(text.trim_end()).starts_with(directory)
        {
            found.push(text.trim_end().into());
        }
    }
    found
}

/// A backend with a store.
pub(crate) struct Bench<'a> {
    pub(crate) store: &'a Store,
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) uppers: Uppers,
}

/// A layer in a store, that is attached.
pub(crate) struct Laid {
    directory: PathBuf,
    has_tar: bool,
    /// Where it is seen.
    pub(crate) lower: PathBuf,
}

impl Laid {
    pub(crate) fn paths(&self) -> [PathBuf; 4] {
        ["index.erofs", "layer.tar", "tree", "place"].map(|name| self.directory.join(name))
    }

    pub(crate) fn with_files<T>(&self, run: impl FnOnce(&LayerFiles) -> T) -> T {
        let [index, tar, tree, _] = &self.paths();
        run(&LayerFiles { index, tar: self.has_tar.then_some(tar), tree })
    }
}

impl Bench<'_> {
    pub(crate) fn name(&self) -> String {
        format!("{} on {}", self.backend.kind(), self.store.on)
    }

    /// Puts a layer into the store and attaches it.
    pub(crate) fn lay(&self, name: &str, layer: &Layer) -> Laid {
        let mut index = Vec::new();
        let to_write = erofs::Layer {
            tree: &layer.tree,
            diff_id: layer.summary.diff_id,
            tar_size_bytes: layer.summary.tar_size_bytes,
            block_size: BlockSize::Tar,
        };
        erofs::write_index(to_write, &layer.tar, &mut index).unwrap();
        self.put(name, &index, Some(&layer.tar), Source::Layer(&layer.tree, &layer.tar))
    }

    /// Puts what mends a stack into the store and attaches it.
    pub(crate) fn lay_mend(&self, mend: &Stack, tars: &[File]) -> Laid {
        let mut index = Vec::new();
        let digest = varve_types::Digest::of(b"mend");
        let tar_of = |id| -> &dyn erofs::ReadAt { &tars[mend.layer(id)] };
        erofs::write_whole(mend.tree(), digest, &tar_of, &mut index).unwrap();
        self.put("mend", &index, None, Source::Stack(mend, tars))
    }

    fn put(&self, name: &str, index: &[u8], tar: Option<&File>, source: Source) -> Laid {
        let directory = self.store.path.join(name);
        let mut laid = Laid { lower: PathBuf::new(), directory, has_tar: tar.is_some() };
        let [index_path, tar_path, _, place] = laid.paths();
        fs::create_dir_all(&place).unwrap();
        fs::write(index_path, index).unwrap();
        if let Some(tar) = tar {
            let mut from = tar.try_clone().unwrap();
            std::io::Seek::rewind(&mut from).unwrap();
            std::io::copy(&mut from, &mut File::create(tar_path).unwrap()).unwrap();
        }
        laid.with_files(|files| self.backend.prepare(files, source, 3)).unwrap();
        laid.lower = self.attach(&laid);
        laid
    }

    fn attach(&self, laid: &Laid) -> PathBuf {
        let [.., place] = laid.paths();
        laid.with_files(|files| self.backend.attach(files, &place)).unwrap()
    }

    /// Detaches a layer and takes away all that the backend made of it.
    pub(crate) fn take_away(&self, laid: &Laid) {
        let [index, tar, tree, place] = laid.paths();
        let trash = self.store.path.join("trash");
        fs::create_dir_all(&trash).unwrap();
        self.backend.detach(&place, InUse::Refused).unwrap();
        laid.with_files(|files| self.backend.remove(files, &trash)).unwrap();
        assert!(!tree.exists(), "{}", self.name());
        assert_eq!(fs::read_dir(&trash).unwrap().count(), 0, "{}", self.name());
        // Nothing else is there, and nothing is in use.
        fs::remove_dir(&place).unwrap();
        fs::remove_file(index).unwrap();
        if laid.has_tar {
            fs::remove_file(tar).unwrap();
        }
        fs::remove_dir(&laid.directory).unwrap();
    }

    /// Mounts lowers, the lowest first, one upon the other.
    pub(crate) fn merge(&self, lowers: &[&Laid], is_writable: bool) -> Merged {
        let place = self.store.path.join("merged");
        fs::create_dir_all(&place).unwrap();
        let upper = is_writable.then(|| {
            let path = self.store.place_for_upper(self.uppers);
            let (directory, work) = (path.join("files"), path.join("work"));
            fs::create_dir_all(&directory).unwrap();
            fs::create_dir_all(&work).unwrap();
            Upper { directory, work, is_fleeting: false }
        });
        let mut paths: Vec<PathBuf> = lowers.iter().map(|laid| laid.lower.clone()).collect();
        if paths.len() == 1 && !is_writable {
            let empty = self.store.path.join("empty");
            fs::create_dir_all(&empty).unwrap();
            paths.insert(0, empty);
        }
        let marks = self.backend.marks();
        let overlay = Overlay { lowers: paths, upper: upper.clone(), marks, context: None };
        Mount::Overlay(overlay).mount(&place).unwrap();
        Merged { place, upper: upper.map(|upper| upper.directory) }
    }

    /// After everything was taken away, that it was: the last word of each test.
    fn clear(&self) {
        let table = Table::read().unwrap();
        let is_left = |row: &&varve_fs::mount::table::Row| row.place != self.store.path;
        let path = &self.store.path;
        assert_eq!(table.beneath(path).filter(is_left).count(), 0, "{} mounts", self.name());
        assert_eq!(loop_devices_of(path), [""; 0].map(PathBuf::from), "{}", self.name());
        for name in ["merged", "empty", "trash", "upper"] {
            let _ = fs::remove_dir_all(path.join(name));
            let _ = fs::remove_dir_all(self.store.elsewhere.join(name));
        }
        let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.filter(|name| name != "elsewhere").collect();
        assert!(names.is_empty(), "{names:?} left by {}", self.name());
    }
}

/// An overlay, until it goes.
pub(crate) struct Merged {
    pub(crate) place: PathBuf,
    pub(crate) upper: Option<PathBuf>,
}

impl Drop for Merged {
    fn drop(&mut self) {
        unmount(&self.place, InUse::Refused).unwrap();
    }
}

/// No mount of this process's is anybody else's business.
#[test]
fn namespace_is_private() {
    if is_inside("store::namespace_is_private", &[]) {
        let all = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", all).unwrap();
        let stores = Stores::new();
        assert_eq!(stores.all.len(), 3);
    }
}
