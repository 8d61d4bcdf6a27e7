//! The way from the root to a place in a layer, through the symbolic links of that layer.
//!
//! Links lead as they would in a container whose root is the layer: nothing leaves the root.

use std::collections::VecDeque;

use varve_types::limits;

use super::{InodeId, Tree};
use crate::{layer::LayerError, tar::lossy};

/// The directories gone through so far, and the names still to come.
pub(super) struct Trail {
    /// Of each directory, the length of its path.
    behind: Vec<(InodeId, usize)>,
    ahead: VecDeque<Step>,
    links: usize,
}

enum Step {
    Root,
    Up,
    Down(Box<[u8]>),
}

impl Trail {
    /// Starts at the root.
    pub(super) fn new(path: &[u8]) -> Self {
        Self { behind: vec![(Tree::ROOT, 0)], ahead: steps(path).collect(), links: 0 }
    }

    /// The directory that has been reached.
    pub(super) fn here(&self) -> InodeId {
        self.behind[self.behind.len() - 1].0
    }

    /// The next name to be looked up [`here`](Self::here).
    pub(super) fn next(&mut self) -> Option<Box<[u8]>> {
        loop {
            match self.ahead.pop_front()? {
                Step::Root => self.behind.truncate(1),
                Step::Up => self.behind.truncate((self.behind.len() - 1).max(1)),
                Step::Down(name) => return Some(name),
            }
        }
    }

    /// Whether no name is still to come.
    pub(super) fn is_at_end(&self) -> bool {
        self.ahead.is_empty()
    }

    /// Goes into a directory, which has this name.
    pub(super) fn enter(&mut self, directory: InodeId, name: &[u8]) -> Result<(), LayerError> {
        let length = self.behind[self.behind.len() - 1].1 + 1 + name.len();
        // Links can put together a path that no entry could have named.
        if length > limits::PATH_SIZE_BYTES_MAX {
            let limit = limits::PATH_SIZE_BYTES_MAX as u64;
            return Err(LayerError::Limit { what: "bytes of a path", limit });
        }
        self.behind.push((directory, length));
        Ok(())
    }

    /// Goes on with the text of a link. `walked` counts the parts of all links of the layer so
    /// far; the new count is returned.
    pub(super) fn follow(
        &mut self,
        target: &[u8],
        path: &[u8],
        walked: u64,
    ) -> Result<u64, LayerError> {
        self.links += 1;
        if self.links > limits::LINK_DEPTH_MAX {
            return Err(LayerError::LinkLoop { path: lossy(path) });
        }
        let target_steps: Vec<Step> = steps(target).collect();
        let walked = walked + target_steps.len() as u64;
        let limit = limits::LAYER_LINK_STEPS_MAX;
        if walked > limit {
            return Err(LayerError::Limit { what: "parts of symbolic links to follow", limit });
        }
        for step in target_steps.into_iter().rev() {
            self.ahead.push_front(step);
        }
        if target.first() == Some(&b'/') {
            self.ahead.push_front(Step::Root);
        }
        Ok(walked)
    }
}

fn steps(path: &[u8]) -> impl Iterator<Item = Step> {
    path.split(|&byte| byte == b'/').filter_map(|part| match part {
        b"" | b"." => None,
        b".." => Some(Step::Up),
        name => Some(Step::Down(name.into())),
    })
}
