//! Steps of a build that belong to no vertex of its plan: reading the Dockerfile, finding images,
//! exporting.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use varve_build::solve::{BuildEvent, Step, StepId, StepIds, Watch};
use varve_types::{Digest, Event, LayerState, Progress};

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
        self.share(name, (current_bytes, None), done);
    }

    fn share(
        &self,
        name: &str,
        (current_bytes, total_bytes): (Option<u64>, Option<u64>),
        done: bool,
    ) {
        let id = self.id;
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

/// Tells of leaving layers under the step that pushes.
pub(super) struct Pushing<'a> {
    step: &'a ShownStep<'a>,
    /// Layers by their short IDs, and whether each is there.
    layers: Mutex<BTreeMap<String, bool>>,
    digest: Mutex<Option<Digest>>,
}

impl<'a> Pushing<'a> {
    pub(super) fn new(step: &'a ShownStep<'a>) -> Self {
        Self { step, layers: Mutex::default(), digest: Mutex::default() }
    }

    /// Ends what has begun: whether it all went well is told of the step. Gives the digest of the
    /// manifest that was pushed, if it came so far.
    pub(super) fn end(self) -> Option<Digest> {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        for (layer, _) in layers.iter().filter(|(_, is_there)| !**is_there) {
            self.step.part(&name_of(layer), true);
        }
        drop(layers);
        self.digest.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Pushing<'_> {
    fn event(&self, event: Event) {
        let (layer, state) = match event {
            Event::Layer { id, state } => (id, state),
            Event::Pushed { digest, .. } => {
                *self.digest.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
                return;
            }
            _ => return,
        };
        let (share, is_there) = match state {
            LayerState::Preparing => ((None, None), false),
            LayerState::Pushing { done_bytes, total_bytes } => {
                ((Some(done_bytes), Some(total_bytes)), false)
            }
            LayerState::Pushed
            | LayerState::LayerAlreadyExists
            | LayerState::MountedFrom { .. } => ((None, None), true),
            _ => return,
        };
        if is_there || share.0.is_some() {
            self.step.share(&name_of(&layer), share, is_there);
        }
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).insert(layer, is_there);
    }
}

fn name_of(layer: &str) -> String {
    format!("pushing layer {layer}")
}
