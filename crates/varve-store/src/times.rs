//! Second indexes: `varve/times/<hex>/`, a layer's tree with other times, over the same tar.
//!
//! What a build writes into a layer's tar has the build's one time; the programs that it runs see
//! when files really changed. So a layer is mounted from another index there, which differs in
//! nothing but that. It is named by its own digest, so records may name another one at any time
//! without touching what is mounted, and several may share one. The directory backend has the
//! layer's files beside it, extracted a second time when they are first needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    path::{Path, PathBuf},
};

use varve_fs::{
    backend::{Backend, BackendKind, LayerFiles},
    durable,
    erofs::{self, BlockSize, Index, WriteError},
    extract::Source,
    tar::Time,
};
use varve_types::{DiffId, Digest, Hasher};

use crate::{
    Error, Lease, Result, Store,
    arrival::Arrival,
    backend::THREADS_MAX,
    error::cannot,
    index::{self, Hashed, IndexRecord},
    layers::forget_tar,
    lease::Pin,
    ready,
    store::{BLOB_MODE, DIRECTORY_MODE, PRIVATE_MODE},
};

/// Times of a layer's files, by path in the tar, without a slash at either end.
pub type RealTimes = BTreeMap<Vec<u8>, Time>;

/// Tells times from other times.
pub fn times_digest(times: &RealTimes) -> Digest {
    let mut hasher = Hasher::new();
    for (path, time) in times {
        hasher.update(&(path.len() as u64).to_le_bytes());
        hasher.update(path);
        hasher.update(&time.seconds.to_le_bytes());
        hasher.update(&time.nanoseconds.to_le_bytes());
    }
    hasher.finish()
}

impl Store {
    /// Makes an index of a layer, which must be pinned, with these times instead of those that it
    /// has otherwise: the tar's, or those of the second index `over`, pinned too. Returns the index that
    /// has them, pinned; that is `over` when none differs.
    pub fn write_times(
        &self,
        lease: &Lease,
        (layer, over): (&DiffId, Option<&Digest>),
        times: &RealTimes,
    ) -> Result<Option<Digest>> {
        if times.is_empty() {
            return Ok(over.copied());
        }
        let record = self.indexed_layer(layer)?;
        let index = match over {
            Some(over) => self.open_times_of(layer, over)?,
            None => self.open_layer_index(layer)?,
        };
        let read = |source| Error::ReadIndex { layer: *layer, source };
        let mut tree = index.tree().map_err(read)?;
        if tree.set_times(times) == 0 {
            return Ok(over.copied());
        }
        let arrival = Arrival::unnamed(self)?;
        arrival.make_layer_directory()?;
        let path = arrival.layer_path().join(index::FILE_NAME);
        let file = durable::create_new(&path, PRIVATE_MODE).map_err(cannot("create", &path))?;
        let wanted = erofs::Layer {
            tree: &tree,
            diff_id: *layer,
            tar_size_bytes: record.summary.tar_size_bytes,
            block_size: BlockSize::Tar,
        };
        let tar = self.open_layer_tar(layer)?;
        let mut out = Hashed { file: &file, hasher: Hasher::new() };
        erofs::write_index(wanted, &tar, &mut out).map_err(|error| match error {
            WriteError::Read(source) => cannot("read", &self.layer_path(layer))(source),
            WriteError::Write(source) => cannot("write", &path)(source),
            source @ WriteError::Limit { .. } => Error::WriteIndex { layer: *layer, source },
        })?;
        let digest = out.hasher.finish();
        durable::set_mode(&file, BLOB_MODE).map_err(cannot("write", &path))?;
        self.publish_times(lease, &arrival, &digest)?;
        arrival.finish()?;
        Ok(Some(digest))
    }

    fn publish_times(&self, lease: &Lease, arrival: &Arrival, digest: &Digest) -> Result<()> {
        let (from, to) = (arrival.layer_path(), self.times_path(digest));
        let above = self.root().join("varve/times");
        durable::create_directory(&above, DIRECTORY_MODE).map_err(cannot("create", &above))?;
        {
            let publishing = self.publishing()?;
            lease.pin(&publishing, &[Pin::Times(*digest)])?;
            match durable::rename(&from, &to) {
                Ok(()) => return Ok(()),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                    ) => {}
                Err(source) => return Err(cannot("rename", &from)(source)),
            }
        }
        // It is here and stays. What lies beside it may be in use.
        if self.are_times_whole(digest)? {
            return Ok(());
        }
        let (new, old) = (from.join(index::FILE_NAME), to.join(index::FILE_NAME));
        durable::rename(&new, &old).map_err(cannot("rename", &new))
    }

    pub(crate) fn times_path(&self, times: &Digest) -> PathBuf {
        self.root().join("varve/times").join(times.hex())
    }

    /// Whether a second index is there, whatever is in it.
    pub(crate) fn has_times(&self, times: &Digest) -> bool {
        self.times_path(times).join(index::FILE_NAME).is_file()
    }

    /// Whether a second index is there and hashes to its name.
    pub(crate) fn are_times_whole(&self, times: &Digest) -> Result<bool> {
        Ok(self.sound_times(times)?.is_some())
    }

    fn sound_times(&self, times: &Digest) -> Result<Option<File>> {
        let path = self.times_path(times).join(index::FILE_NAME);
        let size_bytes = match path.metadata() {
            Ok(facts) => facts.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(cannot("read", &path)(source)),
        };
        let expected = IndexRecord { digest: *times, size_bytes };
        index::open_if(&path, expected).map_err(cannot("read", &path))
    }

    /// Opens a second index of a layer, verified.
    pub fn open_times_of(&self, layer: &DiffId, times: &Digest) -> Result<Index<File>> {
        let file = self.sound_times(times)?.ok_or(Error::TimesNotFound(*times))?;
        Index::open(file).map_err(|source| Error::ReadIndex { layer: *layer, source })
    }

    /// Times that a second index shows and the layer's tar has not. Both must be pinned.
    pub fn real_times_of(&self, layer: &DiffId, times: &Digest) -> Result<BTreeSet<Time>> {
        let read = |source| Error::ReadIndex { layer: *layer, source };
        let real = self.open_times_of(layer, times)?.tree().map_err(read)?.times();
        let told = self.open_layer_index(layer)?.tree().map_err(read)?.times();
        Ok(&real - &told)
    }

    /// Pins a second index, which must be there.
    pub(crate) fn pin_times(&self, lease: &Lease, times: &Digest) -> Result<()> {
        let publishing = self.publishing()?;
        if !self.has_times(times) {
            return Err(Error::TimesNotFound(*times));
        }
        lease.pin(&publishing, &[Pin::Times(*times)])
    }

    /// A layer's files with their real times, as the backend wants to know them.
    pub(crate) fn times_files(&self, layer: &DiffId, times: &Digest) -> [PathBuf; 3] {
        let directory = self.times_path(times);
        let tar = self.layer_path(layer).join("layer.tar");
        [directory.join(index::FILE_NAME), tar, directory.join(ready::TREE)]
    }

    /// Verifies layer and second index, and makes what the backend shows of them. The lease pins
    /// both.
    pub(crate) fn make_times_ready(
        &self,
        lease: &Lease,
        (layer, times): (&DiffId, &Digest),
        backend: &dyn Backend,
    ) -> Result<()> {
        if backend.kind() == BackendKind::Directory {
            return self.make_times_tree(lease, (layer, times), backend);
        }
        self.verify_tar(lease, layer)?;
        // Its bytes are verified here.
        self.open_times_of(layer, times)?;
        let path = self.layer_path(layer).join("layer.tar");
        forget_tar(&path);
        Ok(())
    }

    fn make_times_tree(
        &self,
        lease: &Lease,
        (layer, times): (&DiffId, &Digest),
        backend: &dyn Backend,
    ) -> Result<()> {
        let directory = self.times_path(times);
        if ready::tree_marks(&directory) == Some(backend.marks()) {
            return Ok(());
        }
        let arrival = Arrival::enter(self, &format!("times-{}", times.hex()))?;
        if ready::tree_marks(&directory) == Some(backend.marks()) {
            // Another process was quicker.
            return arrival.finish();
        }
        self.pin_or_make_layer(lease, layer)?;
        let index = self.open_times_of(layer, times)?;
        let tree = index.tree().map_err(|source| Error::ReadIndex { layer: *layer, source })?;
        let tar = self.open_layer_tar(layer)?;
        arrival.make_layer_directory()?;
        let new = arrival.layer_path().join(ready::TREE);
        let files = |tree| LayerFiles { index: Path::new(""), tar: None, tree };
        backend.prepare(&files(&new), Source::Layer(&tree, &tar), THREADS_MAX)?;
        durable::sync_file_system(&tar).map_err(cannot("sync", &new))?;
        let there = directory.join(ready::TREE);
        ready::remove_tree_note(&directory)?;
        backend.remove(&files(&there), &self.root().join("varve/trash"))?;
        durable::rename(&new, &there).map_err(cannot("rename", &there))?;
        durable::sync_directory(&directory).map_err(cannot("sync", &directory))?;
        ready::write_tree_note(&directory, backend.marks())?;
        arrival.finish()
    }
}
