//! What is in a directory.

use std::{collections::VecDeque, ops::ControlFlow};

use super::{Index, Kind, Node, NodeId, damaged};
use crate::erofs::{
    IndexFault, ReadAt, ReadError,
    format::{DIRENT_SIZE, RawKind, get_u16, get_u64},
};

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The name.
    pub name: Vec<u8>,
    /// What it is a name of.
    pub id: NodeId,
}

/// The children of a directory; made by [`Index::children`].
#[derive(Debug)]
pub struct Children<'a, R> {
    index: &'a Index<R>,
    node: Node,
    /// The next block.
    block: u64,
    ready: VecDeque<Child>,
    last: Vec<u8>,
    has_failed: bool,
}

impl<R: ReadAt> Index<R> {
    /// The children of a directory in the order of their names; none of anything else.
    pub fn children(&self, node: &Node) -> Children<'_, R> {
        Children {
            index: self,
            node: node.clone(),
            block: 0,
            ready: VecDeque::new(),
            last: Vec::new(),
            has_failed: false,
        }
    }

    /// What a directory has of this name.
    pub fn child(&self, node: &Node, name: &[u8]) -> Result<Option<NodeId>, ReadError> {
        if node.kind != Kind::Directory || name == b"." || name == b".." {
            return Ok(None);
        }
        // The last block whose first name is not behind the one that is looked for.
        let (mut low, mut high) = (0, node.size.div_ceil(self.block_size()));
        while low < high {
            let middle = low.midpoint(high);
            let entries = self.directory_block(node, middle)?;
            match entries.iter().find(|(found, _)| found == name) {
                Some((_, id)) => return Ok(Some(*id)),
                None if entries[0].0.as_slice() < name => low = middle + 1,
                None => high = middle,
            }
        }
        Ok(None)
    }

    /// The entries of one block, itself and its parent among them; at least one.
    fn directory_block(
        &self,
        node: &Node,
        block: u64,
    ) -> Result<Vec<(Vec<u8>, NodeId)>, ReadError> {
        let start = block * self.block_size();
        let size = (node.size - start).min(self.block_size());
        let bytes = self.own_data(node, start, size)?;
        let fault = || damaged(node.behind, IndexFault::Directory);
        if bytes.len() < DIRENT_SIZE {
            return Err(fault());
        }
        let names_at = usize::from(get_u16(&bytes, 8));
        let count = names_at / DIRENT_SIZE;
        if count == 0 || names_at % DIRENT_SIZE != 0 || names_at > bytes.len() {
            return Err(fault());
        }
        let mut entries: Vec<(Vec<u8>, NodeId)> = Vec::with_capacity(count);
        for at in (0..count).map(|number| number * DIRENT_SIZE) {
            let start = usize::from(get_u16(&bytes, at + 8));
            let end = if at + DIRENT_SIZE < names_at {
                usize::from(get_u16(&bytes, at + DIRENT_SIZE + 8))
            } else {
                let rest = bytes.get(start..).ok_or_else(fault)?;
                start + rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len())
            };
            if start < names_at || RawKind::of_dirent(bytes[at + 10]).is_none() {
                return Err(fault());
            }
            let name = bytes.get(start..end).ok_or_else(fault)?;
            let is_sorted = entries.last().is_none_or(|(last, _)| last.as_slice() < name);
            if name.is_empty() || !is_sorted || name.iter().any(|byte| b"/\0".contains(byte)) {
                return Err(fault());
            }
            entries.push((name.to_vec(), NodeId(get_u64(&bytes, at))));
        }
        Ok(entries)
    }
}

impl<R: ReadAt> Children<'_, R> {
    fn fill(&mut self) -> Result<ControlFlow<()>, ReadError> {
        let has_more = self.block * self.index.block_size() < self.node.size;
        if self.node.kind != Kind::Directory || !has_more {
            return Ok(ControlFlow::Break(()));
        }
        let entries = self.index.directory_block(&self.node, self.block)?;
        if self.block > 0 && entries[0].0 <= self.last {
            return Err(damaged(self.node.behind, IndexFault::Directory));
        }
        self.block += 1;
        let last = entries.last().expect("at least one");
        self.last.clone_from(&last.0);
        let own = entries.into_iter().filter(|(name, _)| name != b"." && name != b"..");
        self.ready.extend(own.map(|(name, id)| Child { name, id }));
        Ok(ControlFlow::Continue(()))
    }
}

impl<R: ReadAt> Iterator for Children<'_, R> {
    type Item = Result<Child, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.has_failed {
            match self.fill() {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return None,
                Err(error) => {
                    self.has_failed = true;
                    return Some(Err(error));
                }
            }
        }
        self.ready.pop_front().map(Ok)
    }
}
