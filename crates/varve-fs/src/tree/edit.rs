//! Changing a tree: for those who build one.

use std::collections::BTreeMap;

use super::{Content, Directory, Inode, InodeId, Tree};
use crate::tar::Time;

impl Tree {
    /// Gives files other times, by path (without a slash at either end; the root's is empty). A path
    /// that is not there is passed over. Returns how many files have another time than before.
    pub fn set_times(&mut self, times: &BTreeMap<Vec<u8>, Time>) -> usize {
        let mut changed = 0;
        for (path, time) in times {
            let Some(id) = self.lookup(path) else { continue };
            let inode = self.inode_mut(id);
            // Nobody sees the time of what only hides, only points, or only leads to something.
            match &inode.content {
                Content::Whiteout | Content::ForeignHardLink(_) => continue,
                Content::Directory(directory) if directory.is_implied => continue,
                _ => {}
            }
            changed += usize::from(inode.mtime != *time);
            inode.mtime = *time;
        }
        changed
    }

    /// A tree with nothing but a root that nobody named.
    pub(crate) fn new() -> Self {
        Self { inodes: vec![Inode::implied_directory()] }
    }

    /// Adds an inode that has no name yet.
    pub(crate) fn push(&mut self, inode: Inode) -> InodeId {
        let id = InodeId(self.inodes.len() as u32);
        self.inodes.push(inode);
        id
    }

    pub(crate) fn inode_mut(&mut self, id: InodeId) -> &mut Inode {
        &mut self.inodes[id.0 as usize]
    }

    /// The inode must be a directory.
    pub(crate) fn directory_mut(&mut self, id: InodeId) -> &mut Directory {
        match &mut self.inodes[id.0 as usize].content {
            Content::Directory(directory) => directory,
            other => unreachable!("a directory was asked for, this is {other:?}"),
        }
    }

    /// Gives an inode a name in a directory, in the place of what has it, which is returned.
    pub(crate) fn insert(
        &mut self,
        directory: InodeId,
        name: &[u8],
        id: InodeId,
    ) -> Option<InodeId> {
        self.directory_mut(directory).children.insert(name, id)
    }

    /// Takes a name out of a directory.
    pub(crate) fn remove(&mut self, directory: InodeId, name: &[u8]) {
        self.directory_mut(directory).children.remove(name);
    }

    /// Takes all names out of a directory.
    pub(crate) fn clear(&mut self, directory: InodeId) {
        self.directory_mut(directory).children.clear();
    }

    /// Counts the names of all inodes anew.
    pub(crate) fn count_links(&mut self) {
        for inode in &mut self.inodes {
            inode.links = 0;
        }
        self.inodes[0].links = 1;
        let mut directories = vec![Tree::ROOT];
        while let Some(directory) = directories.pop() {
            let children: Vec<InodeId> = self.children(directory).map(|(_, id)| id).collect();
            for id in children {
                let inode = self.inode_mut(id);
                inode.links += 1;
                if matches!(inode.content, Content::Directory(_)) {
                    directories.push(id);
                }
            }
        }
    }
}

impl Inode {
    /// A directory that no entry names.
    pub(crate) fn implied_directory() -> Self {
        let directory = Directory { is_implied: true, ..Directory::default() };
        Self {
            content: Content::Directory(directory),
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            links: 0,
            xattrs: Box::default(),
        }
    }

    /// This inode, and when it is a directory, as one that is empty, named and hides nothing.
    pub(crate) fn alone(&self) -> Self {
        let content = match &self.content {
            Content::Directory(_) => Content::Directory(Directory::default()),
            other => other.clone(),
        };
        Self { content, xattrs: self.xattrs.clone(), ..*self }
    }
}
