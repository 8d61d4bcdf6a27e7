//! What is known of a stack of layers as a whole: `varve/chains/<hex>/`, a cache.
//!
//! Which of the layers are mounted (those without entries are not, nor what lies below an opaque
//! root), and what mends the stack: a small index of those directories and files that overlayfs
//! would show otherwise, put on top ([`Stack::mend`]). To learn it, the trees of all layers are
//! read; the next mount finds it written down.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use varve_fs::{
    backend::{Backend, BackendKind, LayerFiles},
    durable,
    erofs::{self, ReadAt, WriteError},
    extract::Source,
    overlay::Marks,
    stack::Stack,
    tree::{Content, Tree},
};
use varve_types::{ChainId, DiffId, Digest, Hasher, sealed};

use crate::{
    Error, Lease, Result, Store,
    arrival::Arrival,
    backend::THREADS_MAX,
    base::{self, RootOwner},
    error::cannot,
    index::{self, Hashed, IndexRecord},
    store::{BLOB_MODE, LAYOUT_MODE},
};

/// The mend's index, in the chain's directory.
pub(crate) const MEND: &str = "mend.erofs";
/// The mend's files, for the directory backend.
pub(crate) const MEND_TREE: &str = "tree";
pub(crate) const RECORD: &str = "record.json";

/// What is written down of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChainRecord {
    /// All layers, the lowest first.
    pub(crate) layers: Vec<DiffId>,
    /// Which of them are mounted from a second index ([`crate::times`]), and which; empty: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) times: Vec<Option<Digest>>,
    /// Those to be mounted, the lowest first.
    pub(crate) lowers: Vec<DiffId>,
    /// Which places of containers the stack lacks ([`crate::base`]).
    pub(crate) missing: Vec<u8>,
    /// Mode and owner of its root.
    pub(crate) root: RootOwner,
    /// The index of what goes on top of them, where something must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mend: Option<IndexRecord>,
    /// How whiteouts are written in the mend's files, where they were extracted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tree: Option<Marks>,
}

/// Layers one upon the other, the lowest first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layers<'a> {
    pub(crate) layers: &'a [DiffId],
    /// Second indexes of some of them; empty: of none.
    pub(crate) times: &'a [Option<Digest>],
}

impl<'a> Layers<'a> {
    /// With the times of their tars.
    pub(crate) fn plain(layers: &'a [DiffId]) -> Self {
        Self { layers, times: &[] }
    }

    /// What the stack is called: by its chain ID, unless some have other times. Then what mends it
    /// is something else.
    fn id(&self) -> Result<ChainId> {
        let id = ChainId::chain(self.layers).pop().ok_or(Error::NoLayers)?;
        if self.times.is_empty() {
            return Ok(id);
        }
        let times = self.times.iter().map(|times| times.map_or_else(String::new, |it| it.hex()));
        let text = format!("{id} {}", times.collect::<Vec<_>>().join(" "));
        Ok(ChainId(Digest::of(text.as_bytes())))
    }

    fn times(&self, place: usize) -> Option<Digest> {
        self.times.get(place).copied().flatten()
    }
}

impl ChainRecord {
    /// The second index from which a layer is mounted. One that is there several times is mounted
    /// at its uppermost place.
    pub(crate) fn times_of(&self, layer: &DiffId) -> Option<Digest> {
        let place = self.layers.iter().rposition(|it| it == layer)?;
        self.times.get(place).copied().flatten()
    }

    /// Whether all that a backend needs of the mend is there.
    fn serves(&self, backend: &dyn Backend) -> bool {
        self.mend.is_none()
            || backend.kind() != BackendKind::Directory
            || self.tree == Some(backend.marks())
    }
}

impl Store {
    pub(crate) fn chain_path(&self, chain: &ChainId) -> PathBuf {
        self.root().join("varve/chains").join(chain.0.hex())
    }

    /// What is known of a chain; found out where it is not. The lease pins the layers.
    pub(crate) fn chain(
        &self,
        lease: &Lease,
        layers: Layers<'_>,
        backend: &dyn Backend,
    ) -> Result<(ChainId, ChainRecord)> {
        let id = layers.id()?;
        if let Some(record) = self.read_chain(&id, layers, backend)? {
            return Ok((id, record));
        }
        let arrival = Arrival::enter(self, &format!("chain-{}", id.0.hex()))?;
        if let Some(record) = self.read_chain(&id, layers, backend)? {
            // Another process was quicker.
            arrival.finish()?;
            return Ok((id, record));
        }
        arrival.make_layer_directory()?;
        let record = self.make_chain(&arrival, (&id, layers), backend)?;
        self.publish_chain(lease, &arrival, &id)?;
        arrival.finish()?;
        Ok((id, record))
    }

    /// What containers of a stack want to know of it.
    pub(crate) fn base_facts(
        &self,
        lease: &Lease,
        layers: &[DiffId],
    ) -> Result<(Vec<u8>, RootOwner)> {
        if layers.is_empty() {
            return Ok((base::all_missing(), RootOwner::PLAIN));
        }
        let (_, record) = self.chain(lease, Layers::plain(layers), &*self.shown_by()?)?;
        Ok((record.missing, record.root))
    }

    fn read_chain(
        &self,
        id: &ChainId,
        Layers { layers, times }: Layers<'_>,
        backend: &dyn Backend,
    ) -> Result<Option<ChainRecord>> {
        let directory = self.chain_path(id);
        let Some(record) = read(&directory.join(RECORD))? else { return Ok(None) };
        if record.layers != layers || record.times != times || !record.serves(backend) {
            return Ok(None);
        }
        let path = directory.join(MEND);
        let is_whole = match record.mend {
            Some(mend) => index::open_if(&path, mend).map_err(cannot("read", &path))?.is_some(),
            None => true,
        };
        Ok(is_whole.then_some(record))
    }

    fn make_chain(
        &self,
        arrival: &Arrival,
        (id, stacked): (&ChainId, Layers<'_>),
        backend: &dyn Backend,
    ) -> Result<ChainRecord> {
        let layers = stacked.layers;
        let trees = layers.iter().enumerate().map(|(place, layer)| {
            let index = match stacked.times(place) {
                Some(times) => self.open_times_of(layer, &times)?,
                None => self.open_layer_index(layer)?,
            };
            index.tree().map_err(|source| Error::ReadIndex { layer: *layer, source })
        });
        let trees: Vec<Tree> = trees.collect::<Result<_>>()?;
        let stack = Stack::merge(&trees.iter().collect::<Vec<_>>())
            .map_err(|source| Error::Chain { chain: *id, source: Box::new(source) })?;
        // Of a layer that is there several times the uppermost hides all that others would show,
        // and overlayfs takes a directory only once.
        let mut seen = HashSet::new();
        let lowers =
            layers.iter().zip(&trees).enumerate().rev().filter(|(place, (layer, tree))| {
                let has_entries = tree.children(Tree::ROOT).next().is_some();
                *place >= stack.bottom() && has_entries && seen.insert(**layer)
            });
        let mut lowers: Vec<DiffId> = lowers.map(|(_, (layer, _))| *layer).collect();
        lowers.reverse();
        let (missing, root) = (base::missing(&stack), RootOwner::of(&stack));
        let (layers, times) = (layers.to_vec(), stacked.times.to_vec());
        let mut record =
            ChainRecord { layers, times, lowers, missing, root, mend: None, tree: None };
        if let Some(mend) = stack.mend() {
            self.write_mend(arrival, id, &mend, backend, &mut record)?;
        }
        let path = arrival.layer_path().join(RECORD);
        let file = durable::create_new(&path, LAYOUT_MODE).map_err(cannot("create", &path))?;
        // Made of strings and numbers only; there is nothing that JSON cannot say.
        let text = sealed::seal(&record).unwrap_or_default();
        durable::write_all(&file, &text).map_err(cannot("write", &path))?;
        durable::sync(&file).map_err(cannot("sync", &path))?;
        Ok(record)
    }

    fn write_mend(
        &self,
        arrival: &Arrival,
        id: &ChainId,
        mend: &Stack,
        backend: &dyn Backend,
        record: &mut ChainRecord,
    ) -> Result<()> {
        let tars = self.tars_of(mend, &record.layers)?;
        let path = arrival.layer_path().join(MEND);
        let file = durable::create_new(&path, BLOB_MODE).map_err(cannot("create", &path))?;
        let mut out = Hashed { file: &file, hasher: Hasher::new() };
        let tar_of = |id| -> &dyn ReadAt { &tars[mend.layer(id)] };
        let written = erofs::write_whole(mend.tree(), id.0, &tar_of, &mut out);
        let written = written.map_err(|error| match error {
            WriteError::Read(source) | WriteError::Write(source) => cannot("write", &path)(source),
            source @ WriteError::Limit { .. } => Error::WriteMend { chain: *id, source },
        })?;
        let digest = out.hasher.finish();
        durable::sync(&file).map_err(cannot("sync", &path))?;
        record.mend = Some(IndexRecord { digest, size_bytes: written.size_bytes });
        if backend.kind() == BackendKind::Directory {
            let tree = arrival.layer_path().join(MEND_TREE);
            let files = LayerFiles { index: &path, tar: None, tree: &tree };
            backend.prepare(&files, Source::Stack(mend, &tars), THREADS_MAX)?;
            durable::sync_file_system(&file).map_err(cannot("sync", &tree))?;
            record.tree = Some(backend.marks());
        }
        Ok(())
    }

    /// The tars that hold bytes of a mend's files; in the places of others, nothing.
    fn tars_of(&self, mend: &Stack, layers: &[DiffId]) -> Result<Vec<File>> {
        let mut needed = vec![false; layers.len()];
        let mut walk = mend.tree().walk();
        while let Some((_, id)) = walk.next() {
            needed[mend.layer(id)] |= matches!(mend.tree().inode(id).content, Content::File(_));
        }
        let nothing = PathBuf::from("/dev/null");
        let open = |(layer, needed): (&DiffId, bool)| {
            if needed {
                self.open_layer_tar(layer)
            } else {
                File::open(&nothing).map_err(cannot("open", &nothing))
            }
        };
        layers.iter().zip(needed).map(open).collect()
    }

    fn publish_chain(&self, _pinned: &Lease, arrival: &Arrival, id: &ChainId) -> Result<()> {
        let (from, to) = (arrival.layer_path(), self.chain_path(id));
        let publishing = self.publishing()?;
        let chains = self.root().join("varve/chains");
        durable::create_directory(&chains, crate::store::DIRECTORY_MODE)
            .map_err(cannot("create", &chains))?;
        let renamed = match durable::rename(&from, &to) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                // What was there did not serve. It goes with the arrival.
                durable::exchange(&from, &to)
            }
            other => other,
        };
        renamed.map_err(cannot("rename", &to))?;
        durable::sync_directory(&chains).map_err(cannot("sync", &chains))?;
        drop(publishing);
        Ok(())
    }
}

/// A chain's record. One that is missing or makes no sense is none.
pub(crate) fn read(path: &std::path::Path) -> Result<Option<ChainRecord>> {
    match fs::read(path) {
        Ok(bytes) => Ok(sealed::parse(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(cannot("read", path)(source)),
    }
}
