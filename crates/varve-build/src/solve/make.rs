//! Making a step's layer, where the cache does not have it.

use std::{collections::HashSet, io::Write, sync::Arc};

use varve_store::{CacheKind, CacheRecord, RealTimes, times_digest};
use varve_types::{DiffId, Digest};

use super::{
    BoundFiles, BuildLayer, CopyError, Files, LayerFiles, LayerOrigin, RunRequest, SolveCause,
    copy_times,
    keys::{bound_copy, is_source, times_content},
    solver::{Job, Made, Need, Side, Solver},
    write_copy, write_mkdir,
};
use crate::plan::{CopyStep, ImageStep, MkdirStep, Op, RunMount, RunStep, VertexId, key::step_key};

impl Solver<'_> {
    /// A step's own layer: the cache's, or made now.
    pub(super) fn layer(&self, vertex: VertexId) -> Result<Need<Made>, SolveCause> {
        if let Some(missing) = self.missing([Job(vertex, Side::Key)]) {
            return Ok(Need::Wants(missing));
        }
        let key = self.side(vertex).key.get().ok_or(SolveCause::Plan(vertex.0))?.0;
        if is_source(self.op(vertex)) {
            let Some(files) = self.side(vertex).files.get() else {
                return Ok(Need::Wants(vec![Job(vertex, Side::Files)]));
            };
            return self.bound_layer(vertex, "/", files).map(Need::Has);
        }
        if !self.is_anew(vertex)
            && let Some(record) = self.find(&key)?
            && let Some(made) = self.made_of(vertex, &record)
        {
            self.shown.end(vertex, true);
            return Ok(Need::Has(Made { found: Some(Arc::new(record)), ..made }));
        }
        let result = match self.op(vertex) {
            Op::Copy(step) => self.copy(vertex, step)?,
            Op::Mkdir(step) => self.mkdir(vertex, step)?,
            Op::Run(step) => self.run(vertex, step)?,
            _ => return Err(SolveCause::Plan(vertex.0)),
        };
        let (diff_id, times) = match result {
            Need::Wants(jobs) => return Ok(Need::Wants(jobs)),
            Need::Has(made) => made,
        };
        let made = self.keep(vertex, key, diff_id, &times)?;
        self.shown.end(vertex, false);
        Ok(Need::Has(made))
    }

    /// Writes down what came of a step.
    fn keep(
        &self,
        vertex: VertexId,
        key: Digest,
        diff_id: DiffId,
        times: &RealTimes,
    ) -> Result<Made, SolveCause> {
        let step = &self.solve.plan.vertices[vertex.0];
        let now = self.solve.clock.now();
        let mut record = CacheRecord::new(key, CacheKind::Regular, step.name.as_str(), now);
        record.layer = Some(diff_id);
        let keys = step.inputs().into_iter().filter_map(|input| self.side(input).key.get());
        // A step with thousands of sources has the same few parents again and again.
        let mut known = HashSet::new();
        record.parents = keys.map(|key| key.0).filter(|key| known.insert(*key)).collect();
        let record = self.solve.store.remember(self.solve.lease, &record, Some(times))?;
        self.made_of(vertex, &record).ok_or(SolveCause::Plan(vertex.0))
    }

    /// The layers that a step is made upon; none is an empty directory.
    fn base(&self, base: Option<VertexId>) -> Need<&[BuildLayer]> {
        let Some(base) = base else { return Need::Has(&[]) };
        match self.side(base).stack.get() {
            Some(layers) => Need::Has(layers),
            None => Need::Wants(vec![Job(base, Side::Stack)]),
        }
    }

    pub(super) fn open_layers(&self, layers: &[BuildLayer]) -> Result<LayerFiles, SolveCause> {
        Ok(LayerFiles::of_build(self.solve.store, layers)?)
    }

    fn copy(
        &self,
        vertex: VertexId,
        step: &CopyStep,
    ) -> Result<Need<(DiffId, RealTimes)>, SolveCause> {
        let sources = match self.sources(step) {
            Need::Wants(jobs) => return Ok(Need::Wants(jobs)),
            Need::Has(sources) => sources,
        };
        let below = match self.base(step.base) {
            Need::Wants(jobs) => return Ok(Need::Wants(jobs)),
            Need::Has(layers) => layers,
        };
        self.shown.begin(vertex);
        let base = (!below.is_empty()).then(|| self.open_layers(below)).transpose()?;
        self.written(|out| write_copy(step, base.as_ref(), &sources, &self.solve.times, out))
            .map(Need::Has)
    }

    fn mkdir(
        &self,
        vertex: VertexId,
        step: &MkdirStep,
    ) -> Result<Need<(DiffId, RealTimes)>, SolveCause> {
        let below = match self.base(step.base) {
            Need::Wants(jobs) => return Ok(Need::Wants(jobs)),
            Need::Has(layers) => layers,
        };
        self.shown.begin(vertex);
        let base = (!below.is_empty()).then(|| self.open_layers(below)).transpose()?;
        self.written(|out| write_mkdir(step, base.as_ref(), &self.solve.times, out)).map(Need::Has)
    }

    /// Stores the layer that is written.
    fn written(
        &self,
        write: impl FnOnce(&mut dyn Write) -> Result<RealTimes, CopyError>,
    ) -> Result<(DiffId, RealTimes), SolveCause> {
        let write = |out: &mut dyn Write| write(out).map_err(SolveCause::from);
        let (layer, times) = self.solve.store.write_cache_layer(self.solve.lease, write)?;
        Ok((layer.summary.diff_id, times))
    }

    fn run(
        &self,
        vertex: VertexId,
        step: &RunStep,
    ) -> Result<Need<(DiffId, RealTimes)>, SolveCause> {
        let root = match self.base(step.base) {
            Need::Wants(jobs) => return Ok(Need::Wants(jobs)),
            Need::Has(layers) => layers,
        };
        let mut bound = Vec::with_capacity(step.mounts.len());
        for mount in &step.mounts {
            bound.push(match mount {
                RunMount::Bind { from: Some(from), source, .. }
                | RunMount::Cache { from: Some(from), source, .. } => {
                    match self.bound_files(vertex, *from, source)? {
                        Need::Wants(jobs) => return Ok(Need::Wants(jobs)),
                        Need::Has(files) => Some(files),
                    }
                }
                RunMount::Bind { from: None, .. } => Some(BoundFiles { layers: Vec::new() }),
                _ => None,
            });
        }
        let request = RunRequest {
            step,
            root,
            bound: &bound,
            times: self.solve.times,
            lease: self.solve.lease,
            id: self.shown.begin(vertex),
            canceled: &self.failed,
        };
        let made = self.solve.world.run(&request)?;
        Ok(Need::Has((made.diff_id, made.real_times)))
    }

    fn bound_files(
        &self,
        vertex: VertexId,
        from: VertexId,
        path: &str,
    ) -> Result<Need<BoundFiles>, SolveCause> {
        let layers = match self.files_to_bind(from) {
            Some(Need::Wants(jobs)) => return Ok(Need::Wants(jobs)),
            Some(Need::Has(files)) => vec![self.bound_layer(vertex, path, &files)?.layer],
            None => match self.base(Some(from)) {
                Need::Wants(jobs) => return Ok(Need::Wants(jobs)),
                Need::Has(layers) => layers.to_vec(),
            },
        };
        Ok(Need::Has(BoundFiles { layers }))
    }

    /// Files of a context as a layer, so that they can be mounted: found by their content, and where
    /// in the layer it lies.
    fn bound_layer(
        &self,
        vertex: VertexId,
        path: &str,
        files: &Arc<dyn Files>,
    ) -> Result<Made, SolveCause> {
        let (step, sources) = (bound_copy(path), [Some(files.clone())]);
        let content = super::copy_contents(&step, &sources, self.solve.times.how)
            .map_err(|source| self.unreadable(None, source))?;
        let contents = [Digest::of(path.as_bytes()), content, times_content(self.solve.times)];
        let key = step_key(&Digest::of(b"files of a context"), &[], &contents).0;
        let (diff_id, real_times) = match self.find(&key)?.and_then(|record| record.layer) {
            Some(diff_id) => (diff_id, self.times_of(&step, &[], &sources)?),
            None => {
                self.written(|out| write_copy(&step, None, &sources, &self.solve.times, out))?
            }
        };
        let name = &self.solve.plan.vertices[vertex.0].name;
        let now = self.solve.clock.now();
        let mut record = CacheRecord::new(key, CacheKind::Source, name.as_str(), now);
        record.layer = Some(diff_id);
        let record = self.solve.store.remember(self.solve.lease, &record, Some(&real_times))?;
        let mut made = self.made_of(vertex, &record).ok_or(SolveCause::Plan(vertex.0))?;
        made.layer.origin = LayerOrigin::Context;
        Ok(made)
    }
}

impl Solver<'_> {
    /// What a record says of a step's layer.
    fn made_of(&self, vertex: VertexId, record: &CacheRecord) -> Option<Made> {
        let origin = self.origin(vertex);
        let layer = BuildLayer { diff_id: record.layer?, times: record.times, origin };
        Some(Made { layer, created: record.created, found: None })
    }

    fn origin(&self, vertex: VertexId) -> LayerOrigin {
        match self.op(vertex) {
            Op::Run(_) => LayerOrigin::Program,
            Op::Copy(step) if !self.has_froms_of_now(step) => LayerOrigin::Copied,
            _ => LayerOrigin::Context,
        }
    }

    /// Whether any of what is copied has the times of a context.
    fn has_froms_of_now(&self, step: &CopyStep) -> bool {
        let mut froms = step.actions.iter().filter_map(|action| action.from);
        froms.any(|from| self.has_times_of_now(from))
    }

    /// The real times that a copy's files would have now.
    fn times_of(
        &self,
        step: &CopyStep,
        below: &[BuildLayer],
        sources: &[Option<Arc<dyn Files>>],
    ) -> Result<RealTimes, SolveCause> {
        let base = (!below.is_empty()).then(|| self.open_layers(below)).transpose()?;
        Ok(copy_times(step, base.as_ref(), sources, &self.solve.times)?)
    }

    /// A step's layer for a program above it. A copy that was found in the cache gets the times that
    /// the context's files have now: what a checkout brought back must not look old to a compiler
    /// that saw something else meanwhile.
    pub(super) fn with_times_of_now(
        &self,
        vertex: VertexId,
        made: &Made,
        below: &[BuildLayer],
    ) -> Result<Need<BuildLayer>, SolveCause> {
        let as_it_is = || Ok(Need::Has(made.layer.clone()));
        let (Op::Copy(step), Some(record)) = (self.op(vertex), &made.found) else {
            return as_it_is();
        };
        if !self.has_froms_of_now(step) {
            return as_it_is();
        }
        let sources = match self.sources(step) {
            Need::Wants(jobs) => return Ok(Need::Wants(jobs)),
            Need::Has(sources) => sources,
        };
        let below = if step.base.is_some() { below } else { &[] };
        let times = self.times_of(step, below, &sources)?;
        if record.times_given == Some(times_digest(&times)) {
            return as_it_is();
        }
        let record = self.solve.store.remember(self.solve.lease, record, Some(&times))?;
        Ok(Need::Has(BuildLayer { times: record.times, ..made.layer.clone() }))
    }
}

/// Whether the files of a step have times of a context, those of now: `None` where that is not worth
/// having, since a program would have to be run or an image fetched for it. `known` has it of the
/// steps before.
pub(super) fn times_of_now(
    op: &Op,
    is_here: impl Fn(&ImageStep) -> bool,
    known: &[Option<bool>],
) -> Option<bool> {
    let of_base = |base: Option<VertexId>| base.map_or(Some(false), |base| known[base.0]);
    match op {
        Op::Local(_) | Op::Git(_) | Op::Http(_) => Some(true),
        Op::Document(_) => Some(false),
        Op::Image(step) => is_here(step).then_some(false),
        Op::Run(_) => None,
        Op::Mkdir(step) => of_base(step.base),
        Op::Merge { base, layer } => Some(of_base(*base)? | known[layer.0]?),
        Op::Copy(step) => {
            let mut froms = step.actions.iter().filter_map(|action| action.from);
            Some(of_base(step.base)? | froms.any(|from| known[from.0] == Some(true)))
        }
    }
}
