//! The store itself: opening it, making it, its paths and its locks.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use varve_fs::{
    backend::{BackendKind, Probed},
    durable::{self, Pending},
    lock::FileLock,
};
use varve_types::{DiffId, Digest};

use crate::{Error, Lease, Result, error::cannot, mounts::Run};

/// The newest format of what lies under `varve/` that this code knows.
pub const FORMAT: u32 = 1;

/// The content of `oci-layout` (image-spec, image-layout.md).
pub(crate) const OCI_LAYOUT: &str = "{\"imageLayoutVersion\":\"1.0.0\"}";
const OCI_LAYOUT_VERSION: &str = "1.0.0";
/// What an empty image table looks like.
pub(crate) const EMPTY_INDEX: &str = "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[\n]}\n";

/// Directories that every store has.
pub(crate) const MARKER_DIRECTORIES: [&str; 5] =
    ["varve/ingest", "varve/layers", "varve/leases", "varve/trash", "blobs/sha256"];

/// Directories: who may read images is who owns the store.
pub(crate) const DIRECTORY_MODE: u32 = 0o700;
/// Our own files under `varve/`.
pub(crate) const PRIVATE_MODE: u32 = 0o600;
/// Blobs and indexed layers never change.
pub(crate) const BLOB_MODE: u32 = 0o444;
/// The files that belong to the OCI layout.
pub(crate) const LAYOUT_MODE: u32 = 0o644;

/// An open store. Cheap to clone, usable from many threads.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// What is chosen when a store is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where run directories are; `None`: `/run/varve`.
    pub run: Option<PathBuf>,
    /// How layers are shown; `None`: in the best way that works.
    pub backend: Option<BackendKind>,
    /// Bytes of disk that all cache mounts of builds together may take; `None`: 10 GB, or a tenth of
    /// a smaller disk.
    pub cache_mounts_size_bytes_max: Option<u64>,
    /// Has somebody call [`Store::keep_trash_empty`] on the store in a directory, behind this
    /// process and perhaps after it; `None`: what is removed is freed before the call returns.
    pub emptier: Option<fn(&Path) -> io::Result<()>>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    options: Options,
    /// How layers are shown, once that was asked.
    backend: OnceLock<Probed>,
    /// Whether all directories are there. Only the first writing call makes them.
    made: AtomicBool,
    boot: Option<String>,
    /// The run directory, once that was made.
    run: OnceLock<Run>,
}

/// Proof that the store is held so that no sweep runs. Held for moments only.
#[derive(Debug)]
pub(crate) struct Publishing {
    _lock: FileLock,
}

/// Proof that nobody publishes and nobody else sweeps.
#[derive(Debug)]
pub(crate) struct Sweeping {
    _lock: FileLock,
}

impl Store {
    /// Opens the store in `root`. Where the directory is absent or empty, the store is empty, and
    /// is made by the first call that writes: commands that only read work on a machine (or for a
    /// user) that has none. A directory that is an OCI layout made by another tool is adopted;
    /// anything else is refused.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with(root, Options::default())
    }

    /// Opens the store in `root` with choices of the caller's.
    pub fn open_with(root: &Path, options: Options) -> Result<Self> {
        let made = match fs::read_to_string(root.join("varve/format")) {
            Ok(text) => {
                check_format(root, &text)?;
                true
            }
            Err(error) if is_absent(&error) => {
                check_adoptable(root)?;
                false
            }
            Err(source) => return Err(cannot("read", &root.join("varve/format"))(source)),
        };
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let boot = boot.ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let (made, backend) = (AtomicBool::new(made), OnceLock::new());
        let (root, run) = (root.to_owned(), OnceLock::new());
        let shared = Shared { root, options, backend, made, boot, run };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    /// The run directory of this process, when it was asked for before.
    pub(crate) fn known_run(&self) -> &OnceLock<Run> {
        &self.shared.run
    }

    /// What was chosen when the store was opened.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    pub(crate) fn probed(&self) -> &OnceLock<Probed> {
        &self.shared.backend
    }

    /// Where the run directories of stores are.
    pub(crate) fn run_root(&self) -> &Path {
        self.options().run.as_deref().unwrap_or(Path::new("/run/varve"))
    }

    /// Takes a lease: what is stored under it survives every sweep until it is dropped.
    pub fn lease(&self) -> Result<Lease> {
        self.make()?;
        self.make_room()?;
        Lease::take(self)
    }

    /// Makes what is missing of the store's directories and files. Several processes may do this
    /// at once, and each step may be the last one before a crash.
    pub(crate) fn make(&self) -> Result<()> {
        if self.is_made() {
            return Ok(());
        }
        let root = self.root();
        check_adoptable(root)?;
        for directory in MARKER_DIRECTORIES {
            let path = root.join(directory);
            durable::create_directories(&path, DIRECTORY_MODE).map_err(cannot("create", &path))?;
        }
        write_once(&root.join("index.json"), EMPTY_INDEX.as_bytes(), LAYOUT_MODE)?;
        write_once(&root.join("oci-layout"), OCI_LAYOUT.as_bytes(), LAYOUT_MODE)?;
        write_once(&root.join("varve/format"), format!("{FORMAT}\n").as_bytes(), LAYOUT_MODE)?;
        self.shared.made.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether the store has been made, by us or by another process since. A store that has not is
    /// empty, or an OCI layout of another tool that was only read so far.
    pub(crate) fn is_made(&self) -> bool {
        if !self.shared.made.load(Ordering::Acquire) && self.root().join("varve/format").exists() {
            self.shared.made.store(true, Ordering::Release);
        }
        self.shared.made.load(Ordering::Acquire)
    }

    /// What tells this run of the machine from others; `None` where the kernel does not say.
    pub(crate) fn boot(&self) -> Option<&str> {
        self.shared.boot.as_deref()
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root().join("blobs/sha256").join(digest.hex())
    }

    pub(crate) fn layer_path(&self, diff_id: &DiffId) -> PathBuf {
        self.root().join("varve/layers").join(diff_id.0.hex())
    }

    pub(crate) fn ingest_path(&self, name: &str) -> PathBuf {
        self.root().join("varve/ingest").join(name)
    }

    /// Keeps sweeps away for a moment, to publish something. Whoever waits to sweep has its turn
    /// first: without the gate, a stream of publishers could keep it waiting for ever.
    pub(crate) fn publishing(&self) -> Result<Publishing> {
        let (gate, path) = (self.root().join("varve/gate"), self.root().join("varve/lock"));
        let _turn = FileLock::shared(&gate).map_err(cannot("lock", &gate))?;
        let lock = FileLock::shared(&path).map_err(cannot("lock", &path))?;
        Ok(Publishing { _lock: lock })
    }

    /// Keeps everybody who publishes away, to mark and unlink.
    pub(crate) fn sweeping(&self) -> Result<Sweeping> {
        let (gate, path) = (self.root().join("varve/gate"), self.root().join("varve/lock"));
        let _turn = FileLock::exclusive(&gate).map_err(cannot("lock", &gate))?;
        let lock = FileLock::exclusive(&path).map_err(cannot("lock", &path))?;
        Ok(Sweeping { _lock: lock })
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn check_format(root: &Path, text: &str) -> Result<()> {
    match text.trim().parse::<u32>() {
        Ok(FORMAT) => Ok(()),
        _ => Err(Error::Format {
            path: root.to_owned(),
            found: text.trim().chars().take(20).collect(),
            known: FORMAT,
        }),
    }
}

/// Whether a directory without `varve/format` may become a store: it is absent or empty, it is an
/// OCI layout, or it holds only what an interrupted [`Store::make`] leaves.
fn check_adoptable(root: &Path) -> Result<()> {
    let refuse = |reason: String| Err(Error::NotAStore { path: root.to_owned(), reason });
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return refuse("it is not a directory".to_owned());
        }
        Err(source) => return Err(cannot("read", root)(source)),
    };
    // All names first: what another process makes of the directory in the meantime is then found
    // in the file below, and not among the names.
    let entries: Vec<_> = entries.collect();
    let path = root.join("oci-layout");
    match fs::read(&path) {
        Ok(bytes) => return check_layout(root, &bytes),
        Err(error) if is_absent(&error) => {}
        Err(source) => return Err(cannot("read", &path)(source)),
    }
    for entry in entries {
        let name = entry.map_err(cannot("read", root))?.file_name();
        let name = name.to_string_lossy();
        let ours = matches!(name.as_ref(), "varve" | "blobs" | "index.json" | "lost+found")
            || name.starts_with(".index.json.")
            || name.starts_with(".oci-layout.");
        if !ours {
            let shown = varve_types::Printable(&name);
            return refuse(format!("it holds other things, such as {shown}"));
        }
    }
    Ok(())
}

pub(crate) fn check_layout(root: &Path, bytes: &[u8]) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Layout {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let reason = match serde_json::from_slice::<Layout>(bytes) {
        Ok(layout) if layout.version == OCI_LAYOUT_VERSION => return Ok(()),
        Ok(layout) => {
            let shown = layout.version.chars().take(20).collect::<String>();
            format!("image layout version {} is not known", varve_types::Printable(&shown))
        }
        Err(error) => format!("oci-layout is not valid: {error}"),
    };
    Err(Error::NotAStore { path: root.to_owned(), reason })
}

/// Writes a file unless it is there.
fn write_once(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut pending = Pending::create(path, mode).map_err(cannot("create", path))?;
    pending.write_all(bytes).map_err(cannot("write", path))?;
    pending.commit_new().map_err(cannot("create", path))?;
    Ok(())
}
