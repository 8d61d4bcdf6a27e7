//! Directories that wait to be filled by some thread.

use std::sync::{Condvar, Mutex, PoisonError};

use super::{ExtractError, Job};

/// Jobs, each of which may give more. The last that came is the first that is done, so that few
/// wait; what is being done is counted, so that all know when nothing can come any more.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    jobs: Vec<Job>,
    at_work: usize,
    error: Option<ExtractError>,
}

impl Queue {
    pub(super) fn new(job: Job) -> Self {
        let state = State { jobs: vec![job], at_work: 0, error: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Does jobs until none is left or one has failed.
    pub(super) fn work(&self, run: impl Fn(&Job) -> Result<Vec<Job>, ExtractError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.error.is_some() {
                return;
            }
            let Some(job) = state.jobs.pop() else {
                if state.at_work == 0 {
                    return;
                }
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.at_work += 1;
            drop(state);
            let done = run(&job);
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.at_work -= 1;
            match done {
                Ok(jobs) => state.jobs.extend(jobs),
                Err(error) => state.error = state.error.take().or(Some(error)),
            }
            self.changed.notify_all();
        }
    }

    pub(super) fn finish(self) -> Result<(), ExtractError> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.error.map_or(Ok(()), Err)
    }
}
