//! What a build needs of the rest of the world.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use varve_fs::tar::Time;
use varve_store::Lease;
use varve_types::{DiffId, Digest, Kind};

use super::{Files, StepId};
use crate::plan::{GitStep, HttpStep, ImageStep, LocalStep, RunStep};

/// A layer in a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildLayer {
    /// The layer, in the store and pinned.
    pub diff_id: DiffId,
    /// The layer's second index, with the real times of its files, in the store and pinned: the
    /// `times` of its [`varve_store::CacheRecord`]. `None` where they are those of the tar, as of all
    /// layers of images.
    pub times: Option<Digest>,
    /// Where its files come from.
    pub origin: LayerOrigin,
}

/// Where the files of a layer come from, as far as it matters for their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerOrigin {
    /// An image: they were packed somewhere else.
    Image,
    /// A program left them.
    Program,
    /// They were copied from a step or an image in which a program or somebody else had made them.
    Copied,
    /// They were copied from a context: sources.
    Context,
}

/// A layer that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeLayer {
    /// The layer, in the store and pinned.
    pub diff_id: DiffId,
    /// The real times of files whose times in the tar are others, by path in the tar (without a
    /// slash at either end).
    pub real_times: BTreeMap<Vec<u8>, Time>,
}

/// Which times go into layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerTimes {
    /// How.
    pub how: Timestamps,
    /// The time that stands for the build, whole seconds.
    pub epoch: Time,
}

/// How times of files get into layers (`--timestamp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timestamps {
    /// Files from a context get the build's time; what a program leaves is clamped to it.
    #[default]
    Epoch,
    /// Files from a context keep their times, directories that are made and what programs leave
    /// have real ones.
    Keep,
}

/// Files that a program sees besides its root.
#[derive(Debug, Clone)]
pub struct BoundFiles {
    /// Their layers, the lowest first; none is an empty directory.
    pub layers: Vec<BuildLayer>,
}

/// A program to be run, over a root.
#[derive(Debug)]
pub struct RunRequest<'a> {
    /// What.
    pub step: &'a RunStep,
    /// Layers of its root, the lowest first.
    pub root: &'a [BuildLayer],
    /// For each mount of the step, in order, the files of its `from`; `None` for mounts that have none.
    pub bound: &'a [Option<BoundFiles>],
    /// Times in the layer that is made, and `SOURCE_DATE_EPOCH` in the program's environment.
    pub times: LayerTimes,
    /// Pins what is made.
    pub lease: &'a Lease,
    /// The step as it is shown: what the program writes is told under it.
    pub id: StepId,
    /// Becomes true when another step has failed: the program is then to be ended.
    pub canceled: &'a AtomicBool,
}

/// What a build needs of the rest of the world. Called from several threads.
pub trait World: Sync {
    /// The layers of an image, the lowest first, in the store and pinned. What is fetched is told
    /// under `id`.
    fn image(&self, step: &ImageStep, id: StepId, lease: &Lease) -> Result<Vec<DiffId>, Fault>;

    /// Whether nothing need be fetched of an image, as far as that is known.
    fn is_here(&self, step: &ImageStep) -> bool;

    /// Files of the build context or a named one.
    fn local(&self, step: &LocalStep) -> Result<Arc<dyn Files>, Fault>;

    /// The files of a checkout. What is fetched is told under `id`.
    fn git(&self, step: &GitStep, id: StepId) -> Result<Arc<dyn Files>, Fault>;

    /// A file that is fetched, alone in a directory under its name. What is fetched is told under
    /// `id`.
    fn http(&self, step: &HttpStep, id: StepId) -> Result<Arc<dyn Files>, Fault>;

    /// Brings in what a cache elsewhere has of a key: its record, and its layer. Says whether the store
    /// has it now.
    fn import(&self, key: &Digest, lease: &Lease) -> Result<bool, Fault>;

    /// Runs a program, and makes a layer of what it left.
    fn run(&self, request: &RunRequest<'_>) -> Result<MadeLayer, Fault>;

    /// Whether the build is to end.
    fn is_interrupted(&self) -> bool;
}

/// Why something could not be had from the world. The text is docker's where docker has one.
#[derive(Debug)]
pub struct Fault {
    kind: Kind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Fault {
    /// An error of another crate.
    pub fn new(kind: Kind, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind, source: source.into() }
    }

    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The error itself.
    pub fn inner(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.source
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}
