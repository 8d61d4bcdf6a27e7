//! Verifying a whole store.
//!
//! What processes that died leave behind (arrivals, leases, trash, content that nothing reaches)
//! is in order: the next sweep takes it. Wrong is what lies: content that is not what its name or
//! its record says, and names that reach what is not there.

mod cache;
mod containers;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use varve_types::{Descriptor, DiffId, Digest, Hasher, ManifestKind, Printable};

use crate::{
    Error, Hold, LayerRecord, Names, Result, Store, chain,
    error::cannot,
    index,
    layers::is_tar_of,
    lease::Pin,
    names::Row,
    ready, stamp,
    sweep::{entries, listed},
};

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
}

impl Store {
    /// Verifies layout, digests, sizes and references of everything. Changes nothing, and does
    /// not hinder others: a lease keeps what is there while it is being looked at.
    pub fn check(&self) -> Result<Vec<Finding>> {
        let mut check = Check { store: self, findings: BTreeSet::new(), users: HashMap::new() };
        if !self.root().exists() {
            return Ok(Vec::new());
        }
        check.layout()?;
        let (names, _hold) = match self.hold_everything() {
            Ok(held) => held,
            Err(Error::NotAStore { reason, .. }) => {
                check.found("index.json", reason);
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
                check.reach(&target, &Printable(name).to_string(), &mut HashSet::new())?;
            }
        }
        check.containers()?;
        check.blobs()?;
        check.layers(&names.rows)?;
        check.chains()?;
        check.cache()?;
        Ok(check.findings.into_iter().collect())
    }

    /// Reads the image table and keeps all content, so that nothing goes while it is looked at.
    fn hold_everything(&self) -> Result<(Names, Option<Hold>)> {
        let mut hold = self.hold()?;
        let everything = || {
            let blobs = listed(&self.root().join("blobs/sha256"))?.into_iter().map(Pin::Blob);
            let layers = listed(&self.root().join("varve/layers"))?;
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
    /// Which names reach a blob.
    users: HashMap<Digest, BTreeSet<String>>,
}

impl Check<'_> {
    fn found(&mut self, path: impl AsRef<Path>, problem: impl Into<String>) {
        self.found_for(path, problem, Vec::new());
    }

    fn found_for(
        &mut self,
        path: impl AsRef<Path>,
        problem: impl Into<String>,
        affects: Vec<String>,
    ) {
        let (path, problem) = (path.as_ref().to_owned(), problem.into());
        self.findings.insert(Finding { path, problem, affects });
    }

    fn layout(&mut self) -> Result<()> {
        let root = self.store.root().to_owned();
        let known = ["oci-layout", "index.json", "blobs", "varve", "lost+found"];
        self.strays("", &known)?;
        self.strays("blobs", &["sha256"])?;
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
                "trash",
                "reserve",
            ],
        )?;
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Head {
            schema_version: u32,
            media_type: Option<String>,
        }
        match fs::read(root.join("oci-layout")) {
            Ok(bytes) => {
                if let Err(Error::NotAStore { reason, .. }) =
                    crate::store::check_layout(&root, &bytes)
                {
                    self.found("oci-layout", reason);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.store.is_made() {
                    self.found("oci-layout", "it is missing");
                }
            }
            Err(source) => return Err(cannot("read", &root.join("oci-layout"))(source)),
        }
        if let Ok(text) = self.store.read_table()
            && let Ok(head) = serde_json::from_str::<Head>(&text)
        {
            if head.schema_version != 2 {
                self.found("index.json", "schemaVersion is not 2");
            }
            if head.media_type.is_some_and(|it| it != varve_types::media_type::OCI_INDEX) {
                self.found("index.json", "its media type is not that of an image index");
            }
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
                self.found(Path::new(directory).join(&name), "nothing of this name belongs here");
            }
        }
        Ok(())
    }

    fn row(&mut self, row: &Row) -> Result<()> {
        let name = shown(row);
        let mut configs = HashSet::new();
        self.reach(&row.target, &name, &mut configs)?;
        if !configs.is_empty() && !configs.contains(&row.image.0) {
            let problem = format!("the image of {name} is not the config of its manifest");
            self.found_for("index.json", problem, vec![name.clone()]);
        }
        if let Some(index) = row.index {
            self.present(&index, None, &name)?;
        }
        Ok(())
    }

    /// Follows everything that a target reaches and finds what is missing.
    fn reach(
        &mut self,
        target: &Descriptor,
        name: &str,
        configs: &mut HashSet<Digest>,
    ) -> Result<()> {
        let mut seen = HashSet::new();
        let mut pending = vec![(target.clone(), true)];
        while let Some((descriptor, is_manifest)) = pending.pop() {
            if !seen.insert(descriptor.digest) {
                continue;
            }
            if !self.present(&descriptor.digest, Some(descriptor.size), name)? || !is_manifest {
                continue;
            }
            match self.store.manifest(&descriptor.digest) {
                Ok(ManifestKind::Manifest(manifest)) => {
                    configs.insert(manifest.config.digest);
                    pending.push((manifest.config.clone(), false));
                    pending.extend(manifest.layers.iter().map(|layer| (layer.clone(), false)));
                }
                Ok(ManifestKind::Index(index)) => {
                    pending.extend(index.manifests.iter().map(|child| (child.clone(), true)));
                }
                // Found by hashing all blobs.
                Err(Error::Damaged(_)) => {}
                Err(Error::Document { reason, .. }) => {
                    self.found_for(blob_path(&descriptor.digest), reason, vec![name.to_owned()]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn present(&mut self, digest: &Digest, size: Option<u64>, name: &str) -> Result<bool> {
        self.users.entry(*digest).or_default().insert(name.to_owned());
        match (self.store.blob_size(digest)?, size) {
            (None, _) => {
                self.found_for(blob_path(digest), "it is missing", vec![name.to_owned()]);
                Ok(false)
            }
            (Some(actual), Some(expected)) if actual != expected => {
                let problem = format!("it has {actual} bytes, and should have {expected}");
                self.found_for(blob_path(digest), problem, vec![name.to_owned()]);
                Ok(true)
            }
            (Some(_), _) => Ok(true),
        }
    }

    fn affected(&self, blob: &Digest) -> Vec<String> {
        self.users.get(blob).map(|names| names.iter().cloned().collect()).unwrap_or_default()
    }

    fn blobs(&mut self) -> Result<()> {
        let directory = self.store.root().join("blobs/sha256");
        let mut blobs = Vec::new();
        for (name, _) in existing(entries(&directory))? {
            if let Some(digest) = name.to_str().and_then(|name| Digest::from_hex(name).ok()) {
                blobs.push(digest);
            } else {
                let path = Path::new("blobs/sha256").join(&name);
                self.found(path, "its name is not a digest");
            }
        }
        let damaged = in_parallel(&blobs, |digest| {
            let path = self.store.blob_path(digest);
            match File::open(&path) {
                Ok(mut file) => {
                    let mut hasher = Hasher::new();
                    io::copy(&mut file, &mut hasher).map_err(cannot("read", &path))?;
                    Ok((hasher.finish() != *digest).then_some(*digest))
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(cannot("open", &path)(source)),
            }
        })?;
        for digest in damaged {
            let affects = self.affected(&digest);
            self.found_for(blob_path(&digest), "its bytes do not hash to its name", affects);
        }
        Ok(())
    }

    fn chains(&mut self) -> Result<()> {
        for (name, path) in existing(entries(&self.store.root().join("varve/chains")))? {
            let problem = match name.to_str().and_then(|name| Digest::from_hex(name).ok()) {
                Some(_) => chain_problem(&path)?,
                None => Some("its name is not a digest".to_owned()),
            };
            if let Some(problem) = problem {
                self.found(Path::new("varve/chains").join(&name), problem);
            }
        }
        Ok(())
    }

    fn layers(&mut self, rows: &[Row]) -> Result<()> {
        let directory = self.store.root().join("varve/layers");
        let mut layers = Vec::new();
        for (name, _) in existing(entries(&directory))? {
            if let Some(digest) = name.to_str().and_then(|name| Digest::from_hex(name).ok()) {
                layers.push(DiffId(digest));
            } else {
                let path = Path::new("varve/layers").join(&name);
                self.found(path, "its name is not a digest");
            }
        }
        let wrong = in_parallel(&layers, |diff_id| {
            let problem = layer_problem(self.store, diff_id)?;
            Ok(problem.map(|problem| (*diff_id, problem)))
        })?;
        if wrong.is_empty() {
            return Ok(());
        }
        let users = layer_users(self.store, rows);
        for (diff_id, problem) in wrong {
            let path = Path::new("varve/layers").join(diff_id.0.hex());
            let affects = users.get(&diff_id).cloned().unwrap_or_default();
            self.found_for(path, problem, affects.into_iter().collect());
        }
        Ok(())
    }
}

/// What is wrong with an indexed layer. One that an earlier run of the machine did not sync is
/// not wrong yet, whatever is in it: its first use finds out.
fn layer_problem(store: &Store, diff_id: &DiffId) -> Result<Option<String>> {
    let directory = store.layer_path(diff_id);
    for (name, _) in existing(entries(&directory))? {
        let name = name.to_string_lossy().into_owned();
        let known = [
            "layer.tar",
            index::FILE_NAME,
            stamp::FILE_NAME,
            ready::TREE,
            ready::TREE_NOTE,
            "record.json",
            "compressed.json",
        ];
        if !known.contains(&name.as_str()) && !name.starts_with('.') {
            return Ok(Some(format!("it holds {}, which does not belong there", Printable(&name))));
        }
    }
    let record = fs::read(directory.join("record.json")).ok();
    let record = record.and_then(|bytes| serde_json::from_slice::<LayerRecord>(&bytes).ok());
    let Some(record) = record else {
        // A power loss leaves such a record; it is as good as none.
        return Ok(None);
    };
    if record.boot.is_some() && record.boot.as_deref() != store.boot() {
        return Ok(None);
    }
    if record.summary.diff_id != *diff_id {
        return Ok(Some("its record is that of another layer".to_owned()));
    }
    let tar = directory.join("layer.tar");
    // Beside extracted files it may be left out.
    let is_left_out = ready::tree_marks(&directory).is_some() && !tar.exists();
    if !is_left_out && !is_tar_of(&tar, diff_id).map_err(cannot("read", &tar))? {
        return Ok(Some("layer.tar does not hash to the diff ID".to_owned()));
    }
    let path = directory.join(index::FILE_NAME);
    let Some(expected) = record.index else { return Ok(None) };
    let problem = match index::open_if(&path, expected).map_err(cannot("read", &path))? {
        Some(_) => None,
        None if path.exists() => Some("index.erofs is not the one that its record names"),
        None => Some("index.erofs is missing"),
    };
    Ok(problem.map(str::to_owned))
}

/// What is wrong with what is known of a stack. A record that makes no sense is as good as none.
fn chain_problem(directory: &Path) -> Result<Option<String>> {
    for (name, _) in existing(entries(directory))? {
        let name = name.to_string_lossy().into_owned();
        if ![chain::RECORD, chain::MEND, chain::MEND_TREE].contains(&name.as_str()) {
            return Ok(Some(format!("it holds {}, which does not belong there", Printable(&name))));
        }
    }
    let Some(record) = chain::read(&directory.join(chain::RECORD))? else { return Ok(None) };
    let path = directory.join(chain::MEND);
    let Some(expected) = record.mend else { return Ok(None) };
    let whole = index::open_if(&path, expected).map_err(cannot("read", &path))?.is_some();
    Ok((!whole).then(|| format!("{} is not the one that its record names", chain::MEND)))
}

/// Which names use a layer.
fn layer_users(store: &Store, rows: &[Row]) -> BTreeMap<DiffId, BTreeSet<String>> {
    let mut users: BTreeMap<DiffId, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let Ok(config) = store.config(&row.image) else { continue };
        for diff_id in config.diff_ids() {
            users.entry(*diff_id).or_default().insert(shown(row));
        }
    }
    users
}

fn shown(row: &Row) -> String {
    row.reference.as_ref().map_or_else(|| row.image.0.short(), varve_types::Reference::familiar)
}

fn blob_path(digest: &Digest) -> PathBuf {
    Path::new("blobs/sha256").join(digest.hex())
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
