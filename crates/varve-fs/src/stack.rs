//! What a stack of layers looks like from above: one tree, as a container sees it.
//!
//! [`Stack::merge`] puts the layers' trees one upon the other, the lowest first. What comes out is
//! what the kernel's overlayfs shows, with those things mended that no layer can know of itself:
//! directories that a layer's tar leaves out get the attributes that they have below, a hard link
//! to a file of another layer becomes that file, and a whiteout in a directory that has nothing
//! below is not listed. [`Stack::mend`] is the part of the tree in which those differ from what
//! overlayfs would show by itself; put on top of the layers, it makes the kernel show the same.
//! (A layer without entries is not to be mounted: its root would hide the others'.)
//!
//! ```text
//! layers:  Tree 0 ── Tree 1 ── … ── Tree n          each with its own tar
//! stack:   one Tree, and for each inode the layer whose tar holds its bytes
//! mend:    the same, of nothing but what must be mended
//! ```
//!
//! # Invariants
//!
//! 1. A merged tree holds no whiteout, no foreign hard link and no opaque directory.
//! 2. An inode's attributes and bytes come from one layer: the highest that names it.

mod error;
mod export;
mod merge;
mod reader;

use crate::tree::{Content, Extent, InodeId, LastLink, Tree};

pub use error::StackError;
pub use reader::FileReader;

/// A merged tree. Read only.
#[derive(Debug)]
pub struct Stack {
    tree: Tree,
    /// Of each inode, the layer that it is of.
    layers: Vec<u16>,
    /// Of each inode, whether it is a directory that overlayfs by itself would show otherwise.
    is_mended: Vec<bool>,
    /// The highest layer whose root is opaque.
    bottom: usize,
    /// Names that were hard links to files of lower layers: directory, name, file.
    linked: Vec<(InodeId, Box<[u8]>, InodeId)>,
}

/// A run of a file's bytes, in some layer's tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerExtent {
    /// Which layer, counted from the lowest.
    pub layer: usize,
    /// Where in the file, and where in that layer's tar.
    pub extent: Extent,
}

impl Stack {
    /// Merges layers, the lowest first.
    pub fn merge(layers: &[&Tree]) -> Result<Self, StackError> {
        merge::merge(layers)
    }

    /// The merged tree.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The layer that an inode is of, counted from the lowest. Its tar holds the file's bytes.
    pub fn layer(&self, id: InodeId) -> usize {
        usize::from(self.layers[id.index()])
    }

    /// The lowest layer of which anything may be seen, because its root is opaque; otherwise the
    /// first. Overlayfs takes no heed of an opaque root: the layers below are not to be mounted.
    pub fn bottom(&self) -> usize {
        self.bottom
    }

    /// What lies at a path, through symbolic links on the way, as `last` says also at its end.
    pub fn find(&self, path: &[u8], last: LastLink) -> Result<Option<InodeId>, StackError> {
        self.tree.find(path, last).map_err(StackError::Path)
    }

    /// The runs of a file that are in some tar, in order; between them are holes. None of what is
    /// no file.
    pub fn extents(&self, id: InodeId) -> impl Iterator<Item = LayerExtent> {
        let layer = self.layer(id);
        let bytes = match &self.tree.inode(id).content {
            Content::File(bytes) => Some(bytes),
            _ => None,
        };
        let extents = bytes.into_iter().flat_map(crate::tree::FileBytes::extents);
        extents.map(move |extent| LayerExtent { layer, extent })
    }

    /// The part of the tree that overlayfs would show otherwise, each directory on the way to it
    /// included: to be put on top of the layers. A file that is linked from another layer is there
    /// with all its names. `None` when there is no such part.
    pub fn mend(&self) -> Option<Stack> {
        merge::mend(self)
    }
}
