//! Goes through an index.

use varve_types::limits;

use super::{Children, Index, Kind, Node, NodeId};
use crate::erofs::{ReadAt, ReadError, format::DIRENT_SIZE};

/// Goes through an index; made by [`Index::visit`].
#[derive(Debug)]
pub struct Visit<'a, R> {
    index: &'a Index<R>,
    path: Vec<u8>,
    /// Of each directory on the way down: the length of its path, and its children to come.
    stack: Vec<(usize, Children<'a, R>)>,
    /// Names that may still come. A sound index has each entry once.
    names_left: u64,
}

impl<R: ReadAt> Index<R> {
    /// All paths below a directory, each directory before what it holds, siblings in order.
    pub fn visit(&self, directory: &Node) -> Visit<'_, R> {
        let stack = vec![(0, self.children(directory))];
        let names_left = self.size_bytes / DIRENT_SIZE as u64;
        Visit { index: self, path: Vec::new(), stack, names_left }
    }
}

impl<R: ReadAt> Visit<'_, R> {
    /// The next path, from the directory on, and its node. The path is valid until the next call.
    #[expect(clippy::should_implement_trait, reason = "the path is lent")]
    pub fn next(&mut self) -> Result<Option<(&[u8], Node)>, ReadError> {
        loop {
            let Some((length, children)) = self.stack.last_mut() else { return Ok(None) };
            self.path.truncate(*length);
            let Some(child) = children.next() else {
                self.stack.pop();
                continue;
            };
            let child = child?;
            let limit = self.index.size_bytes / DIRENT_SIZE as u64;
            self.names_left = self
                .names_left
                .checked_sub(1)
                .ok_or(ReadError::Limit { what: "names in an index of its size", limit })?;
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&child.name);
            // Directories that go round come to this end, too.
            let limit = limits::PATH_SIZE_BYTES_MAX;
            if self.path.len() > limit {
                return Err(ReadError::Limit { what: "bytes of a path", limit: limit as u64 });
            }
            let node = self.node(child.id)?;
            if node.kind == Kind::Directory {
                self.stack.push((self.path.len(), self.index.children(&node)));
            }
            return Ok(Some((&self.path, node)));
        }
    }

    fn node(&self, id: NodeId) -> Result<Node, ReadError> {
        self.index.node(id)
    }
}
