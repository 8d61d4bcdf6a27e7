//! Which steps have been shown, so that each is begun once and ended once.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::{BuildEvent, Step, StepId, Watch};
use crate::plan::{Op, Plan, VertexId};

/// Gives numbers to the steps of one build.
#[derive(Debug, Default)]
pub struct StepIds(AtomicU64);

impl StepIds {
    /// The next number.
    pub fn next(&self) -> StepId {
        StepId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Tells of steps by their vertices.
pub(super) struct Shown<'a> {
    plan: &'a Plan,
    watch: &'a dyn Watch,
    ids: &'a StepIds,
    states: Mutex<Vec<State>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Hidden,
    Begun(StepId),
    Ended(StepId),
}

impl<'a> Shown<'a> {
    pub(super) fn new(plan: &'a Plan, watch: &'a dyn Watch, ids: &'a StepIds) -> Self {
        let states = Mutex::new(vec![State::Hidden; plan.vertices.len()]);
        Self { plan, watch, ids, states }
    }

    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a step, unless that is done.
    pub(super) fn begin(&self, vertex: VertexId) -> StepId {
        let id = {
            let mut states = self.states();
            match states[vertex.0] {
                State::Begun(id) | State::Ended(id) => return id,
                State::Hidden => {}
            }
            let id = self.ids.next();
            states[vertex.0] = State::Begun(id);
            id
        };
        let name = self.plan.vertices[vertex.0].name.clone();
        self.watch.event(&BuildEvent::Started(&Step { id, name }));
        id
    }

    /// Ends a step, unless that is done.
    pub(super) fn end(&self, vertex: VertexId, cached: bool) {
        let id = self.begin(vertex);
        if self.close(vertex) {
            self.watch.event(&BuildEvent::Done { id, cached });
        }
    }

    pub(super) fn fail(&self, vertex: VertexId, text: &str) -> Step {
        let id = self.begin(vertex);
        if self.close(vertex) {
            self.watch.event(&BuildEvent::Failed { id, text });
        }
        Step { id, name: self.plan.vertices[vertex.0].name.clone() }
    }

    /// Tells how many bytes of files a step takes in.
    pub(super) fn transferred(&self, vertex: VertexId, size_bytes: u64) {
        let id = self.begin(vertex);
        self.watch.event(&BuildEvent::Status {
            id,
            name: "transferring context:",
            current_bytes: Some(size_bytes),
            total_bytes: None,
            done: true,
        });
    }

    fn close(&self, vertex: VertexId) -> bool {
        let state = &mut self.states()[vertex.0];
        let State::Begun(id) = *state else { return false };
        *state = State::Ended(id);
        true
    }

    /// Gives up what has begun and not ended.
    pub(super) fn cancel(&self) {
        for index in 0..self.plan.vertices.len() {
            let begun = self.states()[index];
            if let State::Begun(id) = begun
                && self.close(VertexId(index))
            {
                self.watch.event(&BuildEvent::Canceled { id });
            }
        }
    }

    /// Shows as cached what was not needed because something above it was there.
    pub(super) fn rest_is_cached(&self) {
        for (index, vertex) in self.plan.vertices.iter().enumerate() {
            let hidden = self.states()[index] == State::Hidden;
            if hidden && !matches!(vertex.op, Op::Merge { .. } | Op::Local(_)) {
                self.end(VertexId(index), true);
            }
        }
    }
}
