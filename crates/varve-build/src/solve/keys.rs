//! Keys of steps, with what only the files tell: the content that a copy or a mount takes.

use std::sync::Arc;

use varve_store::{CacheKind, CacheRecord};
use varve_types::{Digest, Kind};

use super::{
    CopyError, Fault, FileKind, Files, LayerFiles, LayerTimes, OneFile, SentKind, SolveCause,
    Timestamps, Transfer, copy_contents,
    solver::{Job, Need, Side, Solve, Solver},
};
use crate::plan::{
    CopyAction, CopySource, CopyStep, Destination, LocalStep, Op, RunMount, RunStep, VertexId,
    key::{StepKey, step_key},
};

impl Solver<'_> {
    /// The files of a step.
    pub(super) fn files(&self, vertex: VertexId) -> Result<Need<Arc<dyn Files>>, SolveCause> {
        let world = self.solve.world;
        Ok(Need::Has(match self.op(vertex) {
            Op::Local(step) => {
                self.shown.begin(vertex);
                let files = world.local(step)?;
                self.shown.transferred(vertex, size_bytes(&*files)?);
                self.shown.end(vertex, false);
                files
            }
            Op::Git(step) => {
                let id = self.shown.begin(vertex);
                let files = world.git(step, id).map_err(of_source)?;
                self.shown.end(vertex, false);
                files
            }
            Op::Http(step) => {
                let id = self.shown.begin(vertex);
                let files = world.http(step, id).map_err(of_source)?;
                self.shown.end(vertex, false);
                files
            }
            Op::Document(step) => {
                self.shown.end(vertex, false);
                Arc::new(OneFile::document(step, self.solve.times.epoch))
            }
            _ => {
                if let Some(missing) = self.missing([Job(vertex, Side::Stack)]) {
                    return Ok(Need::Wants(missing));
                }
                Arc::new(self.layer_files(vertex)?)
            }
        }))
    }

    fn layer_files(&self, vertex: VertexId) -> Result<LayerFiles, SolveCause> {
        let layers = self.side(vertex).stack.get().ok_or(SolveCause::Plan(vertex.0))?;
        self.open_layers(layers)
    }

    /// The key of a step.
    pub(super) fn key(&self, vertex: VertexId) -> Result<Need<StepKey>, SolveCause> {
        let definition = self.solve.plan.vertices[vertex.0].definition();
        let mut contents = Vec::new();
        let mut inputs: Vec<VertexId> = Vec::new();
        match self.op(vertex) {
            Op::Image(_) | Op::Document(_) => {}
            Op::Local(_) | Op::Git(_) | Op::Http(_) => match self.files_side(vertex) {
                Need::Wants(jobs) => return Ok(Need::Wants(jobs)),
                Need::Has(files) => contents.push(self.bound_content("/", files)?),
            },
            Op::Mkdir(step) => {
                inputs.extend(step.base);
                contents.push(times_content(self.solve.times));
            }
            Op::Merge { .. } => inputs = self.solve.plan.vertices[vertex.0].inputs(),
            Op::Copy(step) => {
                match self.copied(vertex, step)? {
                    Need::Wants(jobs) => return Ok(Need::Wants(jobs)),
                    Need::Has(content) => contents.push(content),
                }
                inputs.extend(step.base);
                contents.push(times_content(self.solve.times));
            }
            Op::Run(step) => {
                inputs.extend(step.base);
                for (number, (from, path)) in froms(step).enumerate() {
                    match self.files_to_bind(from) {
                        None => inputs.push(from),
                        Some(Need::Wants(jobs)) => return Ok(Need::Wants(jobs)),
                        Some(Need::Has(files)) => {
                            // Which of the mounts it is, since keys and contents are apart.
                            contents.push(Digest::of(format!("mount {number}").as_bytes()));
                            contents.push(self.bound_content(path, files)?);
                        }
                    }
                }
                contents.push(times_content(self.solve.times));
            }
        }
        Ok(match self.keys(&inputs) {
            Need::Wants(jobs) => Need::Wants(jobs),
            Need::Has(keys) => Need::Has(step_key(&definition, &keys, &contents)),
        })
    }

    fn keys(&self, inputs: &[VertexId]) -> Need<Vec<StepKey>> {
        if let Some(jobs) = self.missing(inputs.iter().map(|input| Job(*input, Side::Key))) {
            return Need::Wants(jobs);
        }
        Need::Has(inputs.iter().filter_map(|input| self.side(*input).key.get().copied()).collect())
    }

    fn files_side(&self, vertex: VertexId) -> Need<Arc<dyn Files>> {
        match self.side(vertex).files.get() {
            Some(files) => Need::Has(files.clone()),
            None => Need::Wants(vec![Job(vertex, Side::Files)]),
        }
    }

    /// The files of a step that has no layers of its own; `None` for others.
    pub(super) fn files_to_bind(&self, vertex: VertexId) -> Option<Need<Arc<dyn Files>>> {
        is_source(self.op(vertex)).then(|| self.files_side(vertex))
    }

    /// The sources of a copy.
    pub(super) fn sources(&self, step: &CopyStep) -> Need<Vec<Option<Arc<dyn Files>>>> {
        let froms = step.actions.iter().filter_map(|action| action.from);
        if let Some(jobs) = self.missing(froms.map(|from| Job(from, Side::Files))) {
            return Need::Wants(jobs);
        }
        let files = |action: &CopyAction| self.side(action.from?).files.get().cloned();
        Need::Has(step.actions.iter().map(files).collect())
    }

    /// The digest of what a copy takes. What it takes from steps and images is remembered by their
    /// keys, so that these need not be had.
    fn copied(&self, vertex: VertexId, step: &CopyStep) -> Result<Need<Digest>, SolveCause> {
        let short = match self.short_key(vertex, step) {
            None => None,
            Some(Need::Wants(jobs)) => return Ok(Need::Wants(jobs)),
            Some(Need::Has(key)) => {
                if let Some(content) = self.find(&key)?.and_then(|record| record.content) {
                    return Ok(Need::Has(content));
                }
                Some(key)
            }
        };
        let sources = match self.sources(step) {
            Need::Wants(jobs) => return Ok(Need::Wants(jobs)),
            Need::Has(sources) => sources,
        };
        let content = copy_contents(step, &sources, self.solve.times.how).map_err(|source| {
            let from = step.actions.iter().find_map(|action| action.from);
            self.unreadable(from, source)
        })?;
        if let Some(key) = short {
            let name = &self.solve.plan.vertices[vertex.0].name;
            let mut record =
                CacheRecord::new(key, CacheKind::Internal, name.as_str(), self.solve.clock.now());
            record.content = Some(content);
            self.solve.store.remember(self.solve.lease, &record, None)?;
        }
        Ok(Need::Has(content))
    }

    /// By which is remembered what a copy takes, where all of it comes from steps and images.
    pub(super) fn short_key(&self, vertex: VertexId, step: &CopyStep) -> Option<Need<Digest>> {
        let froms: Vec<VertexId> = step.actions.iter().filter_map(|action| action.from).collect();
        let sure = |from: &VertexId| !is_source(self.op(*from)) && !self.is_anew(*from);
        if froms.is_empty() || !froms.iter().all(sure) {
            return None;
        }
        Some(match self.keys(&froms) {
            Need::Wants(jobs) => Need::Wants(jobs),
            Need::Has(keys) => {
                let definition = self.solve.plan.vertices[vertex.0].definition();
                Need::Has(step_key(&definition, &keys, &[Digest::of(b"what is copied")]).0)
            }
        })
    }

    /// Looks for a record: here, and then where else the build may look.
    pub(super) fn find(&self, key: &Digest) -> Result<Option<CacheRecord>, SolveCause> {
        let Solve { store, lease, clock, world, .. } = self.solve;
        if let Some(record) = store.cached(lease, key, clock.now())? {
            return Ok(Some(record));
        }
        if !world.import(key, lease)? {
            return Ok(None);
        }
        Ok(store.cached(lease, key, clock.now())?)
    }

    /// The digest of the files below a path, for a mount.
    fn bound_content(&self, path: &str, files: Arc<dyn Files>) -> Result<Digest, SolveCause> {
        let step = bound_copy(path);
        copy_contents(&step, &[Some(files)], self.solve.times.how)
            .map_err(|source| self.unreadable(None, source))
    }

    /// Why what is taken could not be read. What is missing is said in docker's words for where it
    /// is missing.
    pub(super) fn unreadable(&self, from: Option<VertexId>, source: CopyError) -> SolveCause {
        let Some(path) = source.missing() else { return SolveCause::Copy(source) };
        match from.map(|from| self.op(from)) {
            Some(Op::Image(_) | Op::Copy(_) | Op::Mkdir(_) | Op::Run(_) | Op::Merge { .. }) => {
                SolveCause::NotInStep { path: path.to_owned() }
            }
            Some(Op::Local(LocalStep { context: Some(context), .. })) => {
                SolveCause::Contents { context: context.clone(), source }
            }
            _ => SolveCause::Contents { context: "context".to_owned(), source },
        }
    }
}

/// Why a source could not be had. What it turns out to be other than was said is found out later in
/// docker, where the checksum is the key.
fn of_source(fault: Fault) -> SolveCause {
    match fault.kind() {
        Kind::Corrupt => SolveCause::World(fault),
        _ => SolveCause::Source(fault),
    }
}

/// Whether a step's files come from elsewhere than layers.
pub(super) fn is_source(op: &Op) -> bool {
    matches!(op, Op::Local(_) | Op::Git(_) | Op::Http(_) | Op::Document(_))
}

/// What a program's mounts take files from, in order.
pub(super) fn froms(step: &RunStep) -> impl Iterator<Item = (VertexId, &str)> {
    step.mounts.iter().filter_map(|mount| match mount {
        RunMount::Bind { from, source, .. } | RunMount::Cache { from, source, .. } => {
            from.map(|from| (from, source.as_str()))
        }
        _ => None,
    })
}

/// Files of a context for a mount, as a copy: the path alone, where it was.
pub(super) fn bound_copy(path: &str) -> CopyStep {
    CopyStep {
        base: None,
        actions: vec![CopyAction {
            from: None,
            source: CopySource::Path(path.to_owned()),
            unpack: false,
        }],
        destination: Destination { path: path.to_owned(), directory: path == "/" },
        owner: String::new(),
        mode: None,
        exclude: Vec::new(),
    }
}

/// What tells layers with these times from others. Programs see the build's time in either case.
pub(super) fn times_content(times: LayerTimes) -> Digest {
    let how = match times.how {
        Timestamps::Epoch => "clamped",
        Timestamps::Keep => "kept",
    };
    Digest::of(format!("times {how} {}", times.epoch.seconds).as_bytes())
}

/// What a transfer of a context counts: all entries, and the bytes of files that are read.
fn size_bytes(files: &dyn Files) -> Result<u64, SolveCause> {
    let mut transfer = Transfer::default();
    for (path, _) in files.listing().iter() {
        let kind = match files.status(path)?.kind {
            FileKind::Directory => SentKind::Directory,
            FileKind::File(size_bytes) => SentKind::File(size_bytes),
            FileKind::Symlink(text) => SentKind::Symlink(text.len() as u64),
            FileKind::CharacterDevice(_) | FileKind::BlockDevice(_) | FileKind::Fifo => {
                SentKind::Other
            }
        };
        let entry = transfer.entry(path.len() as u64, kind, (0, 0));
        if let SentKind::File(size_bytes) = kind
            && !files.is_remembered(path)
        {
            transfer.data(entry, size_bytes);
            transfer.data_end(entry);
        }
    }
    Ok(transfer.received())
}
