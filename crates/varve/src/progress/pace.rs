//! How often counts are told: often enough for the eye, not once for every chunk.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How often a layer's count is told at most.
const PAUSE: Duration = Duration::from_millis(100);

/// When the count of each layer was last told.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    told: HashMap<String, Instant>,
}

impl Pace {
    /// Whether to tell this state of a layer now. Only counts that are soon followed by others are
    /// left out: never the first, never the last, never a change of state.
    pub(crate) fn is_due(&mut self, id: &str, counts: Option<(u64, u64)>) -> bool {
        let Some((done, total)) = counts else {
            self.told.remove(id);
            return true;
        };
        let now = Instant::now();
        let told = self.told.get(id);
        if done < total && told.is_some_and(|then| now.duration_since(*then) < PAUSE) {
            return false;
        }
        self.told.insert(id.to_owned(), now);
        true
    }
}
