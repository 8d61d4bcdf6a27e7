//! What a build has of the world: images, contexts, remote sources, programs.

use std::sync::{Arc, OnceLock, atomic::Ordering};

use varve_build::{
    plan::{GitStep, HttpStep, ImageStep, LocalStep},
    solve::{Fault, Files, MadeLayer, RunRequest, StepId, Watch, World},
};
use varve_store::Lease;
use varve_types::{DiffId, Digest, Kind};

use super::{
    bases::Bases,
    cache::import::Imports,
    contexts::Contexts,
    remote::Remotes,
    run::{Programs, Settings},
};
use crate::Engine;

/// The world of one build.
pub(super) struct BuildWorld<'a> {
    pub(super) bases: &'a Bases<'a>,
    pub(super) contexts: &'a Contexts<'a>,
    pub(super) engine: &'a Engine,
    pub(super) remotes: &'a Remotes<'a>,
    pub(super) imports: &'a Imports<'a>,
    pub(super) watch: &'a dyn Watch,
    pub(super) settings: Settings<'a>,
    /// Made when there is a program to be run.
    pub(super) programs: &'a OnceLock<Programs<'a>>,
}

impl World for BuildWorld<'_> {
    fn image(&self, step: &ImageStep, id: StepId, _: &Lease) -> Result<Vec<DiffId>, Fault> {
        let unknown = || Fault::new(Kind::Internal, format!("{} is not known", step.reference));
        let base = self.bases.of_step(step).ok_or_else(unknown)?;
        self.bases.layers(&base, id)
    }

    fn is_here(&self, step: &ImageStep) -> bool {
        self.bases.of_step(step).is_some_and(|base| base.is_here())
    }

    fn local(&self, step: &LocalStep) -> Result<Arc<dyn Files>, Fault> {
        self.contexts.local(step)
    }

    fn git(&self, step: &GitStep, id: StepId) -> Result<Arc<dyn Files>, Fault> {
        self.remotes.repository(step, id)
    }

    fn http(&self, step: &HttpStep, id: StepId) -> Result<Arc<dyn Files>, Fault> {
        let fetched = self.remotes.fetch(&step.url, step.checksum, id)?;
        Ok(Arc::new(self.remotes.file(&step.url, &step.file, &fetched)?))
    }

    fn import(&self, key: &Digest, lease: &Lease) -> Result<bool, Fault> {
        self.imports.import(key, lease)
    }

    fn run(&self, request: &RunRequest<'_>) -> Result<MadeLayer, Fault> {
        let new = || Programs::new(self.engine, self.watch, self.settings.clone());
        self.programs.get_or_init(new).run(request)
    }

    fn is_interrupted(&self) -> bool {
        self.settings.interrupted.load(Ordering::Acquire)
    }
}
