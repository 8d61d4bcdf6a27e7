//! Steps of a build that belong to no vertex of its plan: reading the Dockerfile, finding images,
//! exporting.

use varve_build::solve::{BuildEvent, Step, StepId, StepIds, Watch};

/// A step that is shown. One that is dropped before its end is given up.
pub(super) struct ShownStep<'a> {
    watch: &'a dyn Watch,
    id: StepId,
    ended: bool,
}

impl<'a> ShownStep<'a> {
    /// Begins a step.
    pub(super) fn begin(watch: &'a dyn Watch, ids: &StepIds, name: String) -> Self {
        let id = ids.next();
        watch.event(&BuildEvent::Started(&Step { id, name }));
        Self { watch, id, ended: false }
    }

    pub(super) fn id(&self) -> StepId {
        self.id
    }

    /// Tells that a part is done.
    pub(super) fn part(&self, name: &str, done: bool) {
        self.status(name, None, done);
    }

    /// Tells that so many bytes came.
    pub(super) fn transferred(&self, name: &str, size_bytes: u64) {
        self.status(name, Some(size_bytes), true);
    }

    fn status(&self, name: &str, current_bytes: Option<u64>, done: bool) {
        let (id, total_bytes) = (self.id, None);
        self.watch.event(&BuildEvent::Status { id, name, current_bytes, total_bytes, done });
    }

    pub(super) fn done(mut self) {
        self.ended = true;
        self.watch.event(&BuildEvent::Done { id: self.id, cached: false });
    }

    /// Ends it as something ended.
    pub(super) fn ending<T, E: std::fmt::Display>(self, result: Result<T, E>) -> Result<T, E> {
        match &result {
            Ok(_) => self.done(),
            Err(error) => self.fail(&error.to_string()),
        }
        result
    }

    pub(super) fn fail(mut self, text: &str) {
        self.ended = true;
        self.watch.event(&BuildEvent::Failed { id: self.id, text });
    }
}

impl Drop for ShownStep<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.watch.event(&BuildEvent::Canceled { id: self.id });
        }
    }
}
