//! Verifying a whole store.
//!
//! What processes that died leave behind (arrivals, leases, trash, content that nothing reaches)
//! is in order: the next sweep takes it. Wrong is what lies: content that is not what its name or
//! its record says, and names that reach what is not there.

mod cache;
mod containers;
pub(crate) mod images;
mod layers;
mod tree;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use varve_types::{ContainerId, Descriptor, DiffId, Digest, Printable, container::VolumeName};

use crate::{
    Error, Hold, Names, Result, Store,
    error::cannot,
    lease::Pin,
    store::{MARKER_DIRECTORIES, check_layout},
    sweep::{entries, listed},
    table_stamp::{self, Stamped},
};

use images::{Needed, User};

/// Threads that hash; more do not help a disk.
const THREADS_MAX: usize = 4;

/// Something that is wrong in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file or directory, relative to the store.
    pub path: PathBuf,
    /// What is wrong with it, for people.
    pub problem: String,
    /// The names of the images that it affects.
    pub affects: Vec<String>,
    /// What it is, for whoever mends it.
    pub cause: Cause,
}

/// What is wrong, in the order in which it is mended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// What makes the directory a store: files and directories that always are the same.
    Layout,
    /// The image table.
    Table,
    /// A blob that is missing or not what its name says.
    Blob(BadBlob),
    /// A blob that is what its name says, and of no use to those who name it.
    Useless(Digest),
    /// An indexed layer.
    Layer(DiffId),
    /// Something that is found out or made again when it is needed: its path in the store.
    Derived(PathBuf),
    /// A container's record.
    Container(ContainerId),
    /// The file that gives a container its name.
    ContainerName(ContainerId),
    /// A volume's record.
    Volume(VolumeName),
    /// A record that nothing follows from, and without which its owner begins anew.
    Record,
    /// Something that nobody knows: where it is.
    Stray(PathBuf),
}

/// A blob that is missing or damaged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BadBlob {
    /// Its name.
    pub digest: Digest,
    /// The size in bytes that it should have, where that is known.
    pub size_bytes: Option<u64>,
    /// Whether it is a manifest or an index.
    pub is_document: bool,
    /// Repositories that may have it.
    pub sources: Vec<String>,
    /// Whether anything needs it.
    pub is_needed: bool,
}

impl Store {
    /// Verifies layout, digests, sizes and references of everything. Changes nothing, and does
    /// not hinder others: a lease keeps what is there while it is being looked at.
    pub fn check(&self) -> Result<Vec<Finding>> {
        let mut check = Check { store: self, findings: BTreeSet::new(), needed: HashMap::new() };
        if !self.root().exists() {
            return Ok(Vec::new());
        }
        check.layout()?;
        let (names, _hold) = match self.hold_everything(check.findings.is_empty()) {
            Ok(held) => held,
            Err(Error::NotAStore { reason, .. }) => {
                check.found("index.json", reason, Cause::Table);
                (Names::default(), None)
            }
            Err(error) => return Err(error),
        };
        for row in &names.rows {
            check.row(row)?;
        }
        for entry in &names.others {
            if let Some(digest) = entry.digest.as_ref().and_then(|it| it.0.parse().ok()) {
                let name = entry.annotations.ref_name.as_ref();
                let name = name.map_or("<none>", |name| &*name.0);
                let target = Descriptor::new("", digest, entry.size);
                let user = User::named(Printable(name).to_string());
                check.reach(&target, &user, &mut HashSet::new())?;
            }
        }
        check.containers()?;
        check.blobs()?;
        check.layers(&names.rows)?;
        check.chains()?;
        check.cache()?;
        Ok(check.findings.into_iter().collect())
    }

    /// Reads the image table and keeps all content, so that nothing goes while it is looked at. In a
    /// store whose layout is not `sound` nothing can be kept.
    fn hold_everything(&self, sound: bool) -> Result<(Names, Option<Hold>)> {
        if !sound {
            return Ok((self.names()?, None));
        }
        let mut hold = self.hold()?;
        let everything = || {
            let blobs = existing(listed(&self.root().join("blobs/sha256")))?;
            let blobs = blobs.into_iter().map(Pin::Blob);
            let layers = existing(listed(&self.root().join("varve/layers")))?;
            let layers = layers.into_iter().map(|digest| Pin::Layer(DiffId(digest)));
            let times = existing(listed(&self.root().join("varve/times")))?;
            Ok(blobs.chain(layers).chain(times.into_iter().map(Pin::Times)).collect())
        };
        let names = hold.look(|| self.names(), everything)?;
        Ok((names, Some(hold)))
    }
}

struct Check<'a> {
    store: &'a Store,
    findings: BTreeSet<Finding>,
    /// What is known of the blobs that something reaches.
    needed: HashMap<Digest, Needed>,
}

impl Check<'_> {
    fn found(&mut self, path: impl AsRef<Path>, problem: impl Into<String>, cause: Cause) {
        self.found_for(path, problem, Vec::new(), cause);
    }

    fn found_for(
        &mut self,
        path: impl AsRef<Path>,
        problem: impl Into<String>,
        affects: Vec<String>,
        cause: Cause,
    ) {
        let (path, problem) = (path.as_ref().to_owned(), problem.into());
        self.findings.insert(Finding { path, problem, affects, cause });
    }

    /// Finds something that does not belong where it is, by its path in the store.
    fn stray(&mut self, path: impl AsRef<Path>, problem: &str) {
        let there = self.store.root().join(path.as_ref());
        self.found(path, problem, Cause::Stray(there));
    }

    fn layout(&mut self) -> Result<()> {
        let root = self.store.root().to_owned();
        let known = ["oci-layout", "index.json", "blobs", "varve", "lost+found"];
        self.strays("", &known)?;
        self.strays("blobs", &["sha256"])?;
        self.strays("varve/probe", &["lock", "tried"])?;
        self.strays(
            "varve",
            &[
                "format",
                "lock",
                "gate",
                "index.lock",
                "index.json.new",
                "ingest",
                "layers",
                "cache",
                "cache-mounts",
                "chains",
                "times",
                "containers",
                "containers.lock",
                "names",
                "networks",
                "probe",
                "steps",
                "steps.lock",
                "volumes",
                "leases",
                "lost",
                "table.json",
                "table.json.new",
                "trash",
                "reserve",
            ],
        )?;
        if self.store.is_made() {
            for directory in MARKER_DIRECTORIES {
                if !root.join(directory).is_dir() {
                    self.found(directory, "it is missing", Cause::Layout);
                }
            }
        }
        match fs::read(root.join("oci-layout")) {
            Ok(bytes) => {
                if let Err(Error::NotAStore { reason, .. }) = check_layout(&root, &bytes) {
                    self.found("oci-layout", reason, Cause::Layout);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.store.is_made() {
                    self.found("oci-layout", "it is missing", Cause::Layout);
                }
            }
            Err(source) => return Err(cannot("read", &root.join("oci-layout"))(source)),
        }
        self.table()
    }

    /// Looks at what does not depend on the rows of the table.
    fn table(&mut self) -> Result<()> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            schema_version: u32,
            media_type: Option<String>,
        }
        let Ok(text) = self.store.read_table_bytes() else { return Ok(()) };
        if let Ok(head) = serde_json::from_slice::<Head>(&text) {
            if head.schema_version != 2 {
                self.found("index.json", "schemaVersion is not 2", Cause::Table);
            }
            if head.media_type.is_some_and(|it| it != varve_types::media_type::OCI_INDEX) {
                let problem = "its media type is not that of an image index";
                self.found("index.json", problem, Cause::Table);
            }
        }
        if self.store.is_made()
            && let Stamped::Wrong { .. } = table_stamp::judge(self.store.root(), &text)?
        {
            let problem = "it is not as it was written, though nobody wrote it";
            self.found("index.json", problem, Cause::Table);
        }
        Ok(())
    }

    /// Finds entries that nobody knows.
    fn strays(&mut self, directory: &str, known: &[&str]) -> Result<()> {
        let path = self.store.root().join(directory);
        let there = match entries(&path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(());
            }
            other => other?,
        };
        for (name, _) in there {
            let name = name.to_string_lossy().into_owned();
            // Left by a process that died while the store was made, or wrote a small file.
            if !known.contains(&name.as_str()) && !name.starts_with('.') {
                self.stray(Path::new(directory).join(&name), "nothing of this name belongs here");
            }
        }
        Ok(())
    }
}

/// A directory that is missing has no entries.
fn existing<T>(entries: Result<Vec<T>>) -> Result<Vec<T>> {
    match entries {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

/// Looks at all of `items` on a few threads and returns what was found.
fn in_parallel<T: Sync, F: Send>(
    items: &[T],
    look: impl Fn(&T) -> Result<Option<F>> + Sync,
) -> Result<Vec<F>> {
    let next = AtomicUsize::new(0);
    let found: Mutex<Result<Vec<F>>> = Mutex::new(Ok(Vec::new()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads.min(THREADS_MAX).min(items.len()) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = look(item);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    match (result, found.as_mut()) {
                        (Ok(Some(one)), Ok(all)) => all.push(one),
                        (Err(error), Ok(_)) => *found = Err(error),
                        _ => {}
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}
