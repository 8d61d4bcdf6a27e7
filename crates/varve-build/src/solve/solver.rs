//! The solver: which steps of a plan must be done, and doing them.
//!
//! A step has four sides, each had only when something asks for it:
//!
//! ```text
//! Key     what decides whether the cache has it; for a copy this is the content that it takes
//! Layer   what it adds: the cache's, or made now
//! Stack   its whole file system: every layer below, images fetched
//! Files   its files, to copy from; contexts are opened
//! ```
//!
//! An image wants the layers of its steps. A layer that is in the cache wants nothing below, so a
//! build of which nothing changed fetches, mounts and reads nothing but what its keys come from.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use jiff::Timestamp;
use varve_store::{CacheRecord, Lease, Store};
use varve_types::{Clock, DiffId, Digest};

use super::{
    BuildLayer, Files, LayerOrigin, LayerTimes, SolveCause, SolveError, StepIds, Watch, World,
    make::times_of_now,
    schedule::{self, Tried},
    shown::Shown,
};
use crate::plan::{Op, Plan, VertexId, key::StepKey};

/// What to solve, and with what.
#[derive(Clone, Copy)]
pub struct Solve<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Where layers and the cache are.
    pub store: &'a Store,
    /// Pins what is found and made.
    pub lease: &'a Lease,
    /// Images, contexts and programs.
    pub world: &'a dyn World,
    /// Told what is done.
    pub watch: &'a dyn Watch,
    /// Tells the time, for the cache's records.
    pub clock: &'a dyn Clock,
    /// Times in layers.
    pub times: LayerTimes,
    /// Numbers of steps.
    pub ids: &'a StepIds,
    /// How many steps are done at once.
    pub threads: usize,
    /// Which keys are told at the end.
    pub keys: KeysOf,
}

/// Steps whose keys are told, so that what the cache has of them can be written elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum KeysOf {
    /// None.
    #[default]
    Nothing,
    /// Those whose layers the result has.
    Result,
    /// All of the plan.
    All,
}

/// A plan that was solved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solved {
    /// The image at the bottom, whose layers come first and may not be here.
    pub image: Option<VertexId>,
    /// The layers above it, the lowest first, pinned.
    pub layers: Vec<SolvedLayer>,
    /// The keys that were asked for.
    pub keys: Vec<Digest>,
}

/// A layer of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolvedLayer {
    /// The layer.
    pub layer: BuildLayer,
    /// The step that made it.
    pub vertex: VertexId,
    /// When that was, on this machine.
    pub created: Timestamp,
}

impl Solve<'_> {
    /// Makes all layers of the plan's root, or finds them in the cache.
    pub fn run(&self) -> Result<Solved, SolveError> {
        let (image, vertices) = chain(self.plan, self.plan.root);
        let solver = Solver::new(*self);
        solver.show_images();
        let wanted: Vec<Job> = vertices.iter().map(|v| Job(*v, Side::Layer)).collect();
        let solved =
            schedule::run(&wanted, self.threads, &solver.failed, &|job| solver.attempt(job));
        let keys = solved.and_then(|()| solver.told_keys(&vertices));
        let keys = keys.inspect_err(|_| solver.shown.cancel())?;
        let layers = vertices.iter().map(|vertex| {
            let made = solver.side(*vertex).layer.get();
            let made = made.ok_or_else(|| solver.error(*vertex, SolveCause::Plan(vertex.0)))?;
            let (layer, created) = (made.layer.clone(), made.created);
            Ok(SolvedLayer { layer, vertex: *vertex, created })
        });
        let layers = layers.collect::<Result<_, SolveError>>()?;
        solver.shown.rest_is_cached();
        Ok(Solved { image, layers, keys })
    }
}

/// The steps whose layers make a file system, the lowest first, and the image below them.
pub(super) fn chain(plan: &Plan, root: Option<VertexId>) -> (Option<VertexId>, Vec<VertexId>) {
    let (mut vertices, mut next) = (Vec::new(), root);
    while let Some(vertex) = next {
        next = match &plan.vertices[vertex.0].op {
            Op::Image(_) => break,
            Op::Merge { base, layer } => {
                vertices.push(*layer);
                *base
            }
            op => {
                vertices.push(vertex);
                match op {
                    Op::Copy(step) => step.base,
                    Op::Mkdir(step) => step.base,
                    Op::Run(step) => step.base,
                    _ => None,
                }
            }
        };
    }
    vertices.reverse();
    (next, vertices)
}

/// One side of a step. The order is that in which jobs are begun when several could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Job(pub(super) VertexId, pub(super) Side);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Files,
    Key,
    Layer,
    Stack,
}

/// What is known of a step so far.
#[derive(Default)]
pub(super) struct Sides {
    pub(super) files: OnceLock<Arc<dyn Files>>,
    pub(super) key: OnceLock<StepKey>,
    pub(super) layer: OnceLock<Made>,
    pub(super) stack: OnceLock<Vec<BuildLayer>>,
}

/// A step's own layer.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) layer: BuildLayer,
    pub(super) created: Timestamp,
    /// The record, of a layer that was in the cache.
    pub(super) found: Option<Arc<CacheRecord>>,
}

/// A solve at work.
pub(super) struct Solver<'a> {
    pub(super) solve: Solve<'a>,
    pub(super) shown: Shown<'a>,
    pub(super) failed: AtomicBool,
    sides: Vec<Sides>,
    /// Steps that are not looked for in the cache: those that shall not, and those above them.
    anew: Vec<bool>,
    /// See [`times_of_now`].
    times_of_now: Vec<Option<bool>>,
}

/// Either what was asked for, or what must be done before.
pub(super) enum Need<T> {
    Has(T),
    Wants(Vec<Job>),
}

impl<'a> Solver<'a> {
    pub(super) fn new(solve: Solve<'a>) -> Self {
        let vertices = &solve.plan.vertices;
        let mut anew: Vec<bool> = Vec::with_capacity(vertices.len());
        let mut times = Vec::with_capacity(vertices.len());
        for vertex in vertices {
            times.push(times_of_now(&vertex.op, |step| solve.world.is_here(step), &times));
            let above = match &vertex.op {
                // What a copy takes counts by its content.
                Op::Copy(step) => step.base.is_some_and(|base| anew[base.0]),
                _ => vertex.inputs().iter().any(|input| anew[input.0]),
            };
            anew.push(vertex.ignore_cache || above);
        }
        Self {
            shown: Shown::new(solve.plan, solve.watch, solve.ids),
            failed: AtomicBool::new(false),
            sides: vertices.iter().map(|_| Sides::default()).collect(),
            anew,
            times_of_now: times,
            solve,
        }
    }

    /// Shows images that are here, as docker does, before all else.
    fn show_images(&self) {
        for (index, vertex) in self.solve.plan.vertices.iter().enumerate() {
            if let Op::Image(step) = &vertex.op
                && self.solve.world.is_here(step)
            {
                self.shown.end(VertexId(index), false);
            }
        }
    }

    pub(super) fn side(&self, vertex: VertexId) -> &Sides {
        &self.sides[vertex.0]
    }

    pub(super) fn op(&self, vertex: VertexId) -> &'a Op {
        &self.solve.plan.vertices[vertex.0].op
    }

    /// Whether a step is done without a look into the cache.
    pub(super) fn is_anew(&self, vertex: VertexId) -> bool {
        self.anew[vertex.0]
    }

    /// Whether the files of a step have the times of a context's.
    pub(super) fn has_times_of_now(&self, vertex: VertexId) -> bool {
        self.times_of_now[vertex.0] == Some(true)
    }

    pub(super) fn error(&self, vertex: VertexId, cause: SolveCause) -> SolveError {
        let canceled = matches!(cause, SolveCause::Interrupted);
        let step = (!canceled).then(|| self.shown.fail(vertex, &cause.to_string()));
        SolveError { step, lines: self.solve.plan.vertices[vertex.0].lines, cause: Box::new(cause) }
    }

    /// Does one side of a step, or says what must be done before.
    fn attempt(&self, Job(vertex, side): Job) -> Result<Tried<Job>, SolveError> {
        if self.solve.world.is_interrupted() {
            let cause = Box::new(SolveCause::Interrupted);
            return Err(SolveError { step: None, lines: None, cause });
        }
        let tried = match side {
            Side::Files => set(self.files(vertex), &self.side(vertex).files),
            Side::Key => set(self.key(vertex), &self.side(vertex).key),
            Side::Layer => set(self.layer(vertex), &self.side(vertex).layer),
            Side::Stack => set(self.stack(vertex), &self.side(vertex).stack),
        };
        tried.map_err(|cause| self.failure(vertex, cause))
    }

    /// The keys that are asked for; those of steps that were not needed are found out now. `result`
    /// are the steps of the result.
    fn told_keys(&self, result: &[VertexId]) -> Result<Vec<Digest>, SolveError> {
        let all: Vec<VertexId>;
        let vertices = match self.solve.keys {
            KeysOf::Nothing => return Ok(Vec::new()),
            KeysOf::Result => result,
            KeysOf::All => {
                let makes =
                    |id: &VertexId| matches!(self.op(*id), Op::Copy(_) | Op::Mkdir(_) | Op::Run(_));
                all = (0..self.sides.len()).map(VertexId).filter(makes).collect();
                let wanted: Vec<Job> = all.iter().map(|id| Job(*id, Side::Key)).collect();
                let (threads, failed) = (self.solve.threads, &self.failed);
                schedule::run(&wanted, threads, failed, &|job| self.attempt(job))?;
                &all
            }
        };
        let mut keys = Vec::new();
        for vertex in vertices {
            if let Op::Copy(step) = self.op(*vertex)
                && let Some(Need::Has(key)) = self.short_key(*vertex, step)
            {
                keys.push(key);
            }
            keys.extend(self.side(*vertex).key.get().map(|key| key.0));
        }
        Ok(keys)
    }

    /// A failure of a step. One that only came because another had failed is not shown as one.
    fn failure(&self, vertex: VertexId, cause: SolveCause) -> SolveError {
        if self.failed.load(Ordering::Acquire) || self.solve.world.is_interrupted() {
            let cause = Box::new(SolveCause::Interrupted);
            return SolveError { step: None, lines: None, cause };
        }
        self.error(vertex, cause)
    }

    /// Which of these sides are not done yet; `None` when all are.
    pub(super) fn missing(&self, jobs: impl IntoIterator<Item = Job>) -> Option<Vec<Job>> {
        let is_done = |Job(vertex, side): &Job| {
            let sides = self.side(*vertex);
            match side {
                Side::Files => sides.files.get().is_some(),
                Side::Key => sides.key.get().is_some(),
                Side::Layer => sides.layer.get().is_some(),
                Side::Stack => sides.stack.get().is_some(),
            }
        };
        let missing: Vec<Job> = jobs.into_iter().filter(|job| !is_done(job)).collect();
        (!missing.is_empty()).then_some(missing)
    }

    /// A step's whole file system.
    fn stack(&self, vertex: VertexId) -> Result<Need<Vec<BuildLayer>>, SolveCause> {
        let (image, vertices) = chain(self.solve.plan, Some(vertex));
        if let Some(missing) = self.missing(vertices.iter().map(|v| Job(*v, Side::Layer))) {
            return Ok(Need::Wants(missing));
        }
        let mut layers = Vec::new();
        if let Some(image) = image {
            match self.missing((image != vertex).then_some(Job(image, Side::Stack))) {
                Some(missing) => return Ok(Need::Wants(missing)),
                None if image == vertex => layers = self.image_layers(vertex)?,
                None => layers.clone_from(self.side(image).stack.wait()),
            }
        }
        for vertex in vertices {
            let made = self.side(vertex).layer.get().ok_or(SolveCause::Plan(vertex.0))?;
            match self.with_times_of_now(vertex, made, &layers)? {
                Need::Wants(jobs) => return Ok(Need::Wants(jobs)),
                Need::Has(layer) => layers.push(layer),
            }
        }
        Ok(Need::Has(layers))
    }

    fn image_layers(&self, vertex: VertexId) -> Result<Vec<BuildLayer>, SolveCause> {
        let Op::Image(step) = self.op(vertex) else { return Err(SolveCause::Plan(vertex.0)) };
        let id = self.shown.begin(vertex);
        let layers = self.solve.world.image(step, id, self.solve.lease)?;
        self.shown.end(vertex, false);
        let origin = LayerOrigin::Image;
        let layer = |diff_id: DiffId| BuildLayer { diff_id, times: None, origin };
        Ok(layers.into_iter().map(layer).collect())
    }
}

/// Keeps what was had.
fn set<T>(had: Result<Need<T>, SolveCause>, place: &OnceLock<T>) -> Result<Tried<Job>, SolveCause> {
    match had? {
        Need::Wants(jobs) => Ok(Tried::After(jobs)),
        Need::Has(value) => {
            // A job is done by one thread, once.
            let _ = place.set(value);
            Ok(Tried::Done)
        }
    }
}
