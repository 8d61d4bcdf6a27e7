//! Mark and sweep.
//!
//! Marking reads rows, manifests and configs; what is not reached is moved or unlinked while the
//! store is held exclusively, and large files are freed after it was let go.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use varve_fs::{durable, lock::FileLock};
use varve_types::{DiffId, Digest, ManifestKind, limits};

use crate::{
    Error, Names, Result, Store, arrival, chain,
    error::cannot,
    lease::{self, Pin},
    mark, mounts,
    stamp::TarStamp,
    store::Sweeping,
    table::Entry,
    trash::Trash,
};

/// What a sweep removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// Indexed layers, with Docker's size in bytes of each.
    pub layers: Vec<(DiffId, u64)>,
    /// Bytes of disk freed.
    pub freed_bytes: u64,
}

/// What no root reaches.
#[derive(Debug, Default)]
pub(crate) struct Doomed {
    blobs: Vec<Digest>,
    layers: Vec<(DiffId, u64)>,
    /// What is known of stacks of which a layer goes.
    chains: Vec<PathBuf>,
    /// Second indexes.
    times: Vec<Digest>,
}

/// A thing that roots reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    /// A manifest or index: whatever it points at is reached too.
    Manifest(Digest),
    /// An image config: its layers are reached too.
    Config(Digest),
    Blob(Digest),
    /// An indexed layer; where its tar is left out, the blob that it is made from is reached too.
    Layer(DiffId),
    /// A second index of a layer.
    Times(Digest),
}

impl Pin {
    pub(crate) fn node(self) -> Node {
        match self {
            Self::Blob(digest) => Node::Blob(digest),
            Self::Layer(diff_id) => Node::Layer(diff_id),
            Self::Times(digest) => Node::Times(digest),
        }
    }
}

impl Store {
    /// Removes everything that no name, container, cache record or live lease reaches.
    pub fn sweep(&self) -> Result<Swept> {
        if !self.is_made() {
            return Ok(Swept::default());
        }
        let sweeping = self.sweeping()?;
        let doomed = {
            let _lock = self.lock_table()?;
            let names = self.parse_names(&self.read_table()?)?;
            self.doomed(&names, &sweeping)?
        };
        self.remove(doomed, sweeping)
    }

    /// Removes what is left of transfers that no process works on, also those that could be
    /// resumed. Returns the bytes freed.
    pub fn sweep_ingests(&self) -> Result<u64> {
        if !self.is_made() {
            return Ok(0);
        }
        self.remove_ingests(|_| true)
    }

    /// Finds what may go. The image table must be locked, so that rows and leases agree.
    pub(crate) fn doomed(&self, names: &Names, sweeping: &Sweeping) -> Result<Doomed> {
        let pins = lease::pinned(self, sweeping)?;
        let containers = match self.container_roots() {
            Err(Error::Record { .. } | Error::Limit { .. }) => return Ok(Doomed::default()),
            other => other?,
        };
        let pinned = pins.into_iter().map(Pin::node);
        let cached = self.cache_roots()?;
        let roots = roots(names).into_iter().chain(containers).chain(pinned).chain(cached);
        let mut reached = match mark::reached(roots, |node| self.points_at(node)) {
            // Nobody knows what a damaged manifest points at; in doubt everything stays, until
            // it is mended or its names are removed.
            Err(Error::Damaged(_)) => return Ok(Doomed::default()),
            other => other?,
        };
        // After the leases: whoever mounts has one until its holder's file is written.
        let held = self.held_layers(|image| {
            reached.contains(&Node::Config(image.0)) || reached.contains(&Node::Blob(image.0))
        })?;
        let held = mark::reached(held, |node| self.points_at(node))?;
        reached.extend(held);
        let blobs: HashSet<Digest> = reached
            .iter()
            .filter_map(|node| match node {
                Node::Manifest(digest) | Node::Config(digest) | Node::Blob(digest) => Some(*digest),
                Node::Layer(_) | Node::Times(_) => None,
            })
            .collect();
        let mut doomed = Doomed::default();
        for digest in listed(&self.root().join("blobs/sha256"))? {
            if !blobs.contains(&digest) {
                doomed.blobs.push(digest);
            }
        }
        for digest in listed(&self.root().join("varve/layers"))? {
            let diff_id = DiffId(digest);
            if !reached.contains(&Node::Layer(diff_id)) {
                let record = self.read_layer_record(&diff_id)?;
                let size = record.map_or(0, |record| record.summary.content_size_bytes);
                doomed.layers.push((diff_id, size));
            }
        }
        for path in mounts::existing(&self.root().join("varve/chains"))? {
            let record = chain::read(&path.join(chain::RECORD))?;
            let stays = record.is_some_and(|record| {
                record.layers.iter().all(|layer| reached.contains(&Node::Layer(*layer)))
                    && record.times.iter().flatten().all(|it| reached.contains(&Node::Times(*it)))
            });
            if !stays {
                doomed.chains.push(path);
            }
        }
        for path in mounts::existing(&self.root().join("varve/times"))? {
            let name = path.file_name().and_then(|name| Digest::from_hex(name.to_str()?).ok());
            doomed.times.extend(name.filter(|digest| !reached.contains(&Node::Times(*digest))));
        }
        Ok(doomed)
    }

    /// What a thing points at. What is not here points at nothing; what cannot be read for
    /// another reason stops the sweep, because nobody knows what it would keep.
    pub(crate) fn points_at(&self, node: Node) -> Result<Vec<Node>> {
        match node {
            Node::Blob(_) | Node::Times(_) => Ok(Vec::new()),
            Node::Layer(diff_id) => Ok(self.made_from(&diff_id)?.into_iter().collect()),
            Node::Config(digest) => {
                let config = self.read_if_there(&digest, limits::CONFIG_SIZE_BYTES_MAX)?;
                Ok(config.map_or_else(Vec::new, |bytes| diff_ids(&bytes)))
            }
            Node::Manifest(digest) => {
                let bytes = self.read_if_there(&digest, limits::MANIFEST_SIZE_BYTES_MAX)?;
                let Some(bytes) = bytes else { return Ok(Vec::new()) };
                if Digest::of(&bytes) != digest {
                    return Err(Error::Damaged(digest));
                }
                Ok(children(bytes))
            }
        }
    }

    /// What is known of stacks in which a layer is `wanted`.
    pub(crate) fn chains_with(&self, wanted: impl Fn(&DiffId) -> bool) -> Result<Vec<PathBuf>> {
        let mut with = Vec::new();
        for path in mounts::existing(&self.root().join("varve/chains"))? {
            let record = chain::read(&path.join(chain::RECORD))?;
            if record.is_some_and(|record| record.layers.iter().any(&wanted)) {
                with.push(path);
            }
        }
        Ok(with)
    }

    /// What the records of the build cache keep.
    pub(crate) fn cache_roots(&self) -> Result<Vec<Node>> {
        let mut roots = Vec::new();
        for key in self.cache_keys()? {
            let Some(record) = self.read_cache_record(&key)? else { continue };
            roots.extend(record.layer.map(Node::Layer));
            roots.extend(record.times.map(Node::Times));
        }
        Ok(roots)
    }

    /// The blob of a layer whose tar was left out beside its extracted files.
    fn made_from(&self, diff_id: &DiffId) -> Result<Option<Node>> {
        if self.layer_path(diff_id).join("layer.tar").exists() {
            return Ok(None);
        }
        let record = self.read_layer_record(diff_id)?;
        Ok(record.map(|record| Node::Blob(record.blob)))
    }

    fn read_if_there(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>> {
        let path = self.blob_path(digest);
        let read = File::open(&path).and_then(|mut file| {
            let size = file.metadata()?.len();
            let mut bytes = Vec::with_capacity(size.min(limit) as usize);
            if size <= limit {
                file.read_to_end(&mut bytes)?;
            }
            Ok((size <= limit).then_some(bytes))
        });
        match read {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(cannot("read", &path)(source)),
        }
    }

    /// Removes what may go, and what processes that died left behind.
    pub(crate) fn remove(&self, doomed: Doomed, sweeping: Sweeping) -> Result<Swept> {
        let mut trash = Trash::new(self);
        for (diff_id, _) in &doomed.layers {
            trash.throw_layer(diff_id)?;
        }
        for path in &doomed.chains {
            trash.throw_directory(path)?;
        }
        for digest in &doomed.times {
            trash.throw_directory(&self.times_path(digest))?;
        }
        for digest in &doomed.blobs {
            let layer = self.layer_path(&DiffId(*digest));
            let tar = layer.join("layer.tar");
            let stamp = TarStamp::of(&tar);
            let is_verified = TarStamp::read(&layer) == Some(stamp);
            trash.throw_file(&self.blob_path(digest))?;
            if is_verified {
                // The tar that a cache record reaches lost a name: that is no reason to hash it.
                let _ = TarStamp::of(&tar).write(&layer);
            }
        }
        drop(sweeping);
        let freed_bytes = trash.free()?;
        self.remove_ingests(|name| !arrival::is_resumable(name) || self.has_arrived(name))?;
        Ok(Swept { blobs: doomed.blobs, layers: doomed.layers, freed_bytes })
    }

    /// Whether the blob that an arrival is named for is here: the arrival's process died between
    /// publishing it and removing the directory, and nobody enters the directory any more.
    fn has_arrived(&self, name: &str) -> bool {
        Digest::from_hex(name).is_ok_and(|digest| self.blob_path(&digest).exists())
    }

    fn remove_ingests(&self, condemned: impl Fn(&str) -> bool) -> Result<u64> {
        let ingest = self.ingest_path("");
        let mut freed_bytes = 0;
        for (name, path) in entries(&ingest)? {
            if name.to_str().is_some_and(&condemned) {
                freed_bytes += remove_if_dead(&path)?;
            }
        }
        Ok(freed_bytes)
    }
}

/// Removes an arrival, or the temporary file of a small blob, unless somebody holds its lock.
fn remove_if_dead(path: &Path) -> Result<u64> {
    let lock_path = if path.is_dir() { path.join("lock") } else { path.to_owned() };
    let lock = match fs::File::open(&lock_path) {
        Ok(file) => FileLock::try_exclusive_on(file).map_err(cannot("lock", &lock_path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Made and not locked yet, or half removed. One that is not empty has lost the name of its
            // lock with the power; who just makes it looks whether the lock is still at its place.
            if !path.is_dir() || durable::remove_directory(path).is_ok() {
                return Ok(0);
            }
            FileLock::try_exclusive(&lock_path).map_err(cannot("lock", &lock_path))?
        }
        Err(source) => return Err(cannot("open", &lock_path)(source)),
    };
    let Some(lock) = lock else { return Ok(0) };
    if !lock.is_at(&lock_path).map_err(cannot("lock", &lock_path))? {
        return Ok(0);
    }
    let freed_bytes = size_of(path);
    arrival::throw_away(path)?;
    Ok(freed_bytes)
}

fn size_of(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return if metadata.nlink() > 1 { 0 } else { metadata.len() };
    }
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries.flatten().map(|entry| size_of(&entry.path())).sum()
}

pub(crate) fn roots(names: &Names) -> Vec<Node> {
    let mut roots = Vec::new();
    for row in &names.rows {
        roots.push(Node::Manifest(row.target.digest));
        roots.push(Node::Config(row.image.0));
        // Its children may be absent, and those that are here belong to other rows.
        roots.extend(row.index.map(Node::Blob));
    }
    let digest = |entry: &Entry<'_>| entry.digest.as_ref()?.0.parse().ok();
    roots.extend(names.others.iter().filter_map(digest).map(Node::Manifest));
    roots
}

/// What a manifest or index points at. Of a document of a kind that varve does not know, every
/// digest in it counts.
fn children(bytes: Vec<u8>) -> Vec<Node> {
    match ManifestKind::parse(bytes.clone(), "") {
        Ok(ManifestKind::Manifest(manifest)) => {
            let layers = manifest.layers.iter().map(|layer| Node::Blob(layer.digest));
            std::iter::once(Node::Config(manifest.config.digest)).chain(layers).collect()
        }
        Ok(ManifestKind::Index(index)) => {
            index.manifests.iter().map(|child| Node::Manifest(child.digest)).collect()
        }
        Err(_) => {
            let mut digests = Vec::new();
            let unknown = serde_json::from_slice::<serde_json::Value>(&bytes);
            let mut pending: Vec<_> = unknown.into_iter().collect();
            while let Some(value) = pending.pop() {
                match value {
                    serde_json::Value::String(text) => digests.extend(text.parse::<Digest>().ok()),
                    serde_json::Value::Array(values) => pending.extend(values),
                    serde_json::Value::Object(members) => {
                        pending.extend(members.into_iter().map(|(_, value)| value));
                    }
                    _ => {}
                }
            }
            digests.into_iter().map(Node::Blob).collect()
        }
    }
}

fn diff_ids(config: &[u8]) -> Vec<Node> {
    #[derive(serde::Deserialize)]
    struct Config {
        rootfs: RootFs,
    }
    #[derive(serde::Deserialize)]
    struct RootFs {
        #[serde(default)]
        diff_ids: Option<Vec<DiffId>>,
    }
    let config = serde_json::from_slice::<Config>(config).ok();
    let diff_ids = config.and_then(|config| config.rootfs.diff_ids).unwrap_or_default();
    diff_ids.into_iter().map(Node::Layer).collect()
}

/// The entries of a directory that are named by a digest.
pub(crate) fn listed(path: &Path) -> Result<Vec<Digest>> {
    let names = entries(path)?;
    Ok(names.into_iter().filter_map(|(name, _)| Digest::from_hex(name.to_str()?).ok()).collect())
}

pub(crate) fn entries(path: &Path) -> Result<Vec<(OsString, PathBuf)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(cannot("read", path))? {
        let entry = entry.map_err(cannot("read", path))?;
        names.push((entry.file_name(), entry.path()));
    }
    Ok(names)
}
