//! What is in an image: its layers' trees merged into one, and where the files' bytes are.

use std::{fs::File, io};

use jiff::Timestamp;
use varve_fs::{
    layer::LayerError,
    stack::{Stack, StackError},
    tar::Time,
    tree::{Content, InodeId, LastLink, Tree},
};
use varve_store::Hold;
use varve_types::{DiffId, Platform};

use crate::{Engine, Error, Result};

/// An image's merged tree.
#[derive(Debug)]
pub struct Contents {
    pub(crate) stack: Stack,
    /// The lowest first.
    pub(crate) layers: Vec<DiffId>,
    /// What the user named.
    image: String,
    /// Keeps the layers from being removed meanwhile.
    _hold: Hold,
}

impl Engine {
    /// Merges the layers of an image.
    pub fn contents(&self, image: &str, platform: Option<&Platform>) -> Result<Contents> {
        let mut hold = self.store.hold()?;
        let (_, found) = self.find(image)?;
        let image = found.shown;
        let damaged = |source| Error::Damaged { image: image.clone(), source };
        if !hold.image(&found.row.target.digest).map_err(damaged)? {
            return Err(Error::NoSuchImage(image));
        }
        let opened = self.open_row(&found.row, platform, &image)?;
        let layers = opened.config.diff_ids().to_vec();
        let trees = layers.iter().map(|layer| self.layer_tree(layer).map_err(damaged));
        let trees: Vec<Tree> = trees.collect::<Result<_>>()?;
        let stack = Stack::merge(&trees.iter().collect::<Vec<_>>());
        let stack = stack.map_err(|source| Error::Layers { image: image.clone(), source })?;
        Ok(Contents { stack, layers, image, _hold: hold })
    }

    /// The tree of one layer.
    pub(crate) fn layer_tree(&self, layer: &DiffId) -> Result<Tree, varve_store::Error> {
        let index = self.store.open_layer_index(layer)?;
        index.tree().map_err(|source| varve_store::Error::ReadIndex { layer: *layer, source })
    }

    /// The uncompressed tar of an image's layer, which is counted from the lowest.
    pub(crate) fn layer_tar(&self, contents: &Contents, layer: usize) -> Result<File> {
        self.store
            .open_layer_tar(&contents.layers[layer])
            .map_err(|source| Error::Damaged { image: contents.image.clone(), source })
    }
}

impl Contents {
    /// What lies at a path, which is told in messages as it was typed.
    pub(crate) fn find(&self, path: &str, last: LastLink) -> Result<InodeId> {
        let found = self.stack.find(path.as_bytes(), last).map_err(|error| match error {
            StackError::Path(LayerError::LinkLoop { .. }) => refused("open", path, LOOP),
            source => Error::Layers { image: self.image.clone(), source },
        })?;
        let id = found.ok_or_else(|| refused("open", path, NOT_FOUND))?;
        let is_directory = matches!(self.stack.tree().inode(id).content, Content::Directory(_));
        // A slash at the end asks for a directory.
        if path.ends_with('/') && !is_directory {
            return Err(refused("open", path, NOT_A_DIRECTORY));
        }
        Ok(id)
    }

    /// Says which image could not be read.
    pub(crate) fn unreadable(&self, source: io::Error) -> Error {
        Error::Unreadable { image: self.image.clone(), source }
    }
}

pub(crate) const NOT_FOUND: rustix::io::Errno = rustix::io::Errno::NOENT;
pub(crate) const NOT_A_DIRECTORY: rustix::io::Errno = rustix::io::Errno::NOTDIR;
pub(crate) const IS_A_DIRECTORY: rustix::io::Errno = rustix::io::Errno::ISDIR;
pub(crate) const NO_BYTES: rustix::io::Errno = rustix::io::Errno::NXIO;
const LOOP: rustix::io::Errno = rustix::io::Errno::LOOP;

/// What the system would have said of a path in the image.
pub(crate) fn refused(action: &'static str, path: &str, why: rustix::io::Errno) -> Error {
    Error::File { action, path: path.to_owned(), source: why.into() }
}

/// Bytes of a file that are read at once.
pub(crate) const PIECE_SIZE_BYTES: usize = 1 << 17;

/// A time of the tree. What no calendar has becomes its first or last moment.
pub(crate) fn timestamp(time: Time) -> Timestamp {
    let limit = if time.seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let whole = Timestamp::from_second(time.seconds).unwrap_or(limit);
    let part = jiff::SignedDuration::new(0, time.nanoseconds.min(999_999_999).cast_signed());
    whole.checked_add(part).unwrap_or(limit)
}
