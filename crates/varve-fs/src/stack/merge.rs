//! Putting one layer's tree upon what lies below, and again.

use std::collections::{HashMap, HashSet};

use varve_types::limits;

use super::{Stack, StackError};
use crate::{
    tar::lossy,
    tree::{Content, Inode, InodeId, LastLink, Tree},
};

/// See [`Stack::merge`].
pub(super) fn merge(layers: &[&Tree]) -> Result<Stack, StackError> {
    if layers.len() > limits::LAYERS_MAX {
        return Err(StackError::Limit { what: "layers", limit: limits::LAYERS_MAX as u64 });
    }
    let mut stack = Stack::new();
    let mut link_steps = 0;
    for (number, layer) in layers.iter().enumerate() {
        Merge::new(&mut stack, layer, number as u16, &mut link_steps).run()?;
    }
    stack.tree.count_links();
    Ok(stack)
}

/// One layer being put upon those below.
struct Merge<'a> {
    stack: &'a mut Stack,
    layer: &'a Tree,
    number: u16,
    link_steps: &'a mut u64,
    /// What each of the layer's inodes with several names, and each link out of it, has become.
    placed: HashMap<InodeId, InodeId>,
    /// Links whose target the layers below do not have.
    unresolved: Vec<LateLink>,
}

struct LateLink {
    /// In the stack.
    directory: InodeId,
    name: Box<[u8]>,
    /// In the layer.
    link: InodeId,
    path: Vec<u8>,
}

impl<'a> Merge<'a> {
    fn new(stack: &'a mut Stack, layer: &'a Tree, number: u16, link_steps: &'a mut u64) -> Self {
        let (placed, unresolved) = (HashMap::new(), Vec::new());
        Self { stack, layer, number, link_steps, placed, unresolved }
    }

    fn run(mut self) -> Result<(), StackError> {
        // Before anything of this layer hides what they name.
        self.resolve_foreign_links()?;
        let mut directories = vec![(Tree::ROOT, Tree::ROOT, Vec::new())];
        self.merge_directory(Tree::ROOT, Tree::ROOT, self.number == 0);
        while let Some((below, above, path)) = directories.pop() {
            let layer = self.layer;
            for (name, child) in layer.children(above) {
                let path = || {
                    let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                    [&path, slash, name].concat()
                };
                match &layer.inode(child).content {
                    Content::Whiteout => self.stack.tree.remove(below, name),
                    Content::Directory(_) => {
                        let (merged, is_new) = self.directory_at(below, name);
                        self.merge_directory(merged, child, is_new);
                        directories.push((merged, child, path()));
                    }
                    Content::ForeignHardLink(_) => self.link(below, name, child, path),
                    _ => self.place(below, name, child),
                }
            }
        }
        self.resolve_late_links()
    }

    /// Finds in the layers below what the links of this one name.
    fn resolve_foreign_links(&mut self) -> Result<(), StackError> {
        for index in 0..self.layer.inode_count() {
            let id = self.layer.id(index);
            let inode = self.layer.inode(id);
            let Content::ForeignHardLink(target) = &inode.content else { continue };
            // One without a name was replaced within its layer.
            if inode.links == 0 {
                continue;
            }
            if let Some(found) = self.find(target)? {
                self.placed.insert(id, found);
            }
        }
        Ok(())
    }

    fn find(&mut self, target: &[u8]) -> Result<Option<InodeId>, StackError> {
        let tree = &self.stack.tree;
        tree.find_counting(target, LastLink::Found, self.link_steps).map_err(StackError::Path)
    }

    /// What has this name below when it is a directory, else a new one in its place; and whether
    /// it is new.
    fn directory_at(&mut self, below: InodeId, name: &[u8]) -> (InodeId, bool) {
        if let Some(id) = self.stack.tree.child(below, name)
            && matches!(self.stack.tree.inode(id).content, Content::Directory(_))
        {
            return (id, false);
        }
        let id = self.push(Inode::implied_directory());
        self.stack.tree.insert(below, name, id);
        (id, true)
    }

    /// Puts a directory's own part upon the same one below.
    fn merge_directory(&mut self, below: InodeId, above: InodeId, is_new: bool) {
        let inode = self.layer.inode(above);
        let Content::Directory(directory) = &inode.content else {
            unreachable!("only directories are merged, this is {inode:?}")
        };
        if directory.is_opaque {
            self.stack.tree.clear(below);
            if below == Tree::ROOT {
                self.stack.bottom = usize::from(self.number);
            }
        }
        // Where nothing is merged, overlayfs lists whiteouts as if they were files.
        let is_listed = (is_new || directory.is_opaque) && self.holds_whiteouts(above);
        if directory.is_implied && !directory.is_opaque {
            let is_known = match &self.stack.tree.inode(below).content {
                Content::Directory(known) => !known.is_implied,
                _ => false,
            };
            // The layer's directory would hide what is known.
            self.stack.is_mended[below.index()] = is_listed || (is_known && !self.is_empty());
            return;
        }
        let tree = &mut self.stack.tree;
        let known = tree.inode_mut(below);
        known.xattrs.clone_from(&inode.xattrs);
        (known.mode, known.uid, known.gid) = (inode.mode, inode.uid, inode.gid);
        known.mtime = inode.mtime;
        tree.directory_mut(below).is_implied = directory.is_implied;
        self.stack.layers[below.index()] = self.number;
        self.stack.is_mended[below.index()] = is_listed;
    }

    fn holds_whiteouts(&self, directory: InodeId) -> bool {
        let mut children = self.layer.children(directory);
        children.any(|(_, id)| matches!(self.layer.inode(id).content, Content::Whiteout))
    }

    /// Whether the layer has nothing in it. Its root is implied, but no layer is put on for it.
    fn is_empty(&self) -> bool {
        self.layer.children(Tree::ROOT).next().is_none()
    }

    fn place(&mut self, below: InodeId, name: &[u8], child: InodeId) {
        let inode = self.layer.inode(child);
        let id = match self.placed.get(&child) {
            Some(&id) => id,
            None => self.push(inode.alone()),
        };
        if inode.links > 1 {
            self.placed.insert(child, id);
        }
        self.stack.tree.insert(below, name, id);
    }

    fn link(
        &mut self,
        below: InodeId,
        name: &[u8],
        child: InodeId,
        path: impl FnOnce() -> Vec<u8>,
    ) {
        if let Some(&target) = self.placed.get(&child)
            && !matches!(self.stack.tree.inode(target).content, Content::Directory(_))
        {
            self.stack.tree.insert(below, name, target);
            self.stack.linked.push((below, name.into(), target));
        } else {
            self.stack.tree.remove(below, name);
            let (name, path) = (name.into(), path());
            self.unresolved.push(LateLink { directory: below, name, link: child, path });
        }
    }

    /// Links whose target is reached only through something of this layer, such as a symbolic
    /// link to a directory below.
    fn resolve_late_links(mut self) -> Result<(), StackError> {
        for LateLink { directory, name, link, path } in std::mem::take(&mut self.unresolved) {
            let Content::ForeignHardLink(target) = &self.layer.inode(link).content else {
                unreachable!("only links are left for later")
            };
            let found = match self.placed.get(&link) {
                Some(&found) => Some(found),
                None => self.find(target)?,
            };
            let (layer, path) = (usize::from(self.number), lossy(&path));
            let Some(found) = found else {
                return Err(StackError::LinkToNothing { layer, path, target: lossy(target) });
            };
            if matches!(self.stack.tree.inode(found).content, Content::Directory(_)) {
                return Err(StackError::LinkToDirectory { layer, path, target: lossy(target) });
            }
            self.stack.tree.insert(directory, &name, found);
            self.stack.linked.push((directory, name, found));
        }
        Ok(())
    }

    fn push(&mut self, inode: Inode) -> InodeId {
        self.stack.push(inode, self.number)
    }
}

impl Stack {
    /// Of nothing but a root.
    fn new() -> Self {
        Self {
            tree: Tree::new(),
            layers: vec![0],
            is_mended: vec![false],
            bottom: 0,
            linked: Vec::new(),
        }
    }

    fn push(&mut self, inode: Inode, layer: u16) -> InodeId {
        self.layers.push(layer);
        self.is_mended.push(false);
        self.tree.push(inode)
    }
}

/// See [`Stack::mend`].
pub(super) fn mend(stack: &Stack) -> Option<Stack> {
    let is_there = |(directory, name, file): &&(InodeId, Box<[u8]>, InodeId)| {
        // A later layer may have put something else there.
        stack.tree.child(*directory, name) == Some(*file)
    };
    let linked: HashSet<InodeId> =
        stack.linked.iter().filter(is_there).map(|(.., file)| *file).collect();
    let mut mend = Stack::new();
    let mut files = HashMap::new();
    // The directories on the way, each with its twin in the mend once that is needed.
    let mut way: Vec<(InodeId, Vec<u8>, Option<InodeId>)> = Vec::new();
    let mut is_needed = false;
    let mut directories = vec![(0, Tree::ROOT, Vec::new())];
    while let Some((depth, directory, name)) = directories.pop() {
        way.truncate(depth);
        way.push((directory, name, None));
        let is_linked = |(_, file): &(&[u8], InodeId)| linked.contains(file);
        // With all its names, or it would be one file here and another in its own layer.
        let mut links = stack.tree.children(directory).filter(is_linked).peekable();
        if stack.is_mended[directory.index()] || links.peek().is_some() {
            is_needed = true;
            let twin = mend.take_over_way(stack, &mut way);
            for (name, file) in links {
                let id = *files.entry(file).or_insert_with(|| {
                    mend.push(stack.tree.inode(file).alone(), stack.layers[file.index()])
                });
                mend.tree.insert(twin, name, id);
            }
        }
        for (name, child) in stack.tree.children(directory) {
            if matches!(stack.tree.inode(child).content, Content::Directory(_)) {
                directories.push((depth + 1, child, name.to_vec()));
            }
        }
    }
    mend.tree.count_links();
    is_needed.then_some(mend)
}

impl Stack {
    /// Makes twins of the directories on a way of `whole`; returns the last.
    fn take_over_way(
        &mut self,
        whole: &Stack,
        way: &mut [(InodeId, Vec<u8>, Option<InodeId>)],
    ) -> InodeId {
        let mut above = Tree::ROOT;
        for (directory, name, twin) in way {
            let (inode, layer) = (whole.tree.inode(*directory), whole.layers[directory.index()]);
            above = match *twin {
                Some(twin) => twin,
                None if *directory == Tree::ROOT => {
                    // The way begins with it: its twin has no children yet.
                    *self.tree.inode_mut(Tree::ROOT) = inode.alone();
                    self.layers[0] = layer;
                    Tree::ROOT
                }
                None => {
                    let id = self.push(inode.alone(), layer);
                    self.tree.insert(above, name, id);
                    id
                }
            };
            *twin = Some(above);
        }
        above
    }
}
