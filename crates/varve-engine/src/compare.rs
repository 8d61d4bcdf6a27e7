//! `image diff`: in which files two images differ.

use std::{collections::HashMap, fs::File, io::Read};

use varve_fs::{
    diff::{self, Aspect, ChangeKind, Side},
    stack::FileReader,
    tree::{Content, FileBytes, InodeId},
};
use varve_types::Platform;

use crate::{
    Engine, Error, Result,
    contents::{Contents, PIECE_SIZE_BYTES},
};

/// A path at which two images differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// From the root on, with a slash in front. Any bytes but zero.
    pub path: Vec<u8>,
    /// Bytes of the file in the first image (0 of what is no file), if the path is there.
    pub old_size_bytes: Option<u64>,
    /// The same in the second image; in one of them it is.
    pub new_size_bytes: Option<u64>,
    /// `added`, `changed` or `deleted`.
    pub kind: &'static str,
    /// What differs: `type`, `content`, `mode`, `owner`, `xattrs`, `time`. Empty unless changed.
    pub aspects: Vec<&'static str>,
}

impl Engine {
    /// Lists in which paths image `new` differs from `old`, a directory before what it holds,
    /// siblings in order.
    pub fn compare(
        &self,
        old: &str,
        new: &str,
        platform: Option<&Platform>,
    ) -> Result<Vec<Difference>> {
        let (old, new) = (self.contents(old, platform)?, self.contents(new, platform)?);
        let mut sides = (Tars::new(self, &old), Tars::new(self, &new));
        let changes = diff::diff(old.stack.tree(), new.stack.tree(), |old, new| {
            is_same_file(&mut sides.0, old, &mut sides.1, new)
        })?;
        let size = |side: Side| side.size_bytes;
        let differences = changes.into_iter().map(|change| Difference {
            kind: match change.kind() {
                ChangeKind::Added => "added",
                ChangeKind::Changed => "changed",
                ChangeKind::Deleted => "deleted",
            },
            path: [b"/".as_slice(), &change.path].concat(),
            old_size_bytes: change.old.map(size),
            new_size_bytes: change.new.map(size),
            aspects: change.aspects.into_iter().map(aspect_name).collect(),
        });
        Ok(differences.collect())
    }
}

fn aspect_name(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Type => "type",
        Aspect::Content => "content",
        Aspect::Mode => "mode",
        Aspect::Owner => "owner",
        Aspect::Xattrs => "xattrs",
        Aspect::Time => "time",
    }
}

/// The tars of an image's layers, opened when they are needed.
struct Tars<'a> {
    engine: &'a Engine,
    contents: &'a Contents,
    open: HashMap<usize, File>,
}

impl<'a> Tars<'a> {
    fn new(engine: &'a Engine, contents: &'a Contents) -> Self {
        Self { engine, contents, open: HashMap::new() }
    }

    fn bytes(&self, id: InodeId) -> Option<&'a FileBytes> {
        match &self.contents.stack.tree().inode(id).content {
            Content::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn tar(&mut self, id: InodeId) -> Result<&File> {
        let layer = self.contents.stack.layer(id);
        Ok(match self.open.entry(layer) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(self.engine.layer_tar(self.contents, layer)?)
            }
        })
    }
}

/// Whether two files of one size hold the same bytes.
fn is_same_file(old: &mut Tars, a: InodeId, new: &mut Tars, b: InodeId) -> Result<bool> {
    let (Some(old_bytes), Some(new_bytes)) = (old.bytes(a), new.bytes(b)) else {
        return Ok(false);
    };
    let layer = |tars: &Tars, id| tars.contents.layers[tars.contents.stack.layer(id)];
    // Of a layer that both have, nothing needs to be read.
    if old_bytes == new_bytes && layer(old, a) == layer(new, b) {
        return Ok(true);
    }
    let (old_contents, new_contents) = (old.contents, new.contents);
    let mut old_file = FileReader::new(old_bytes, old.tar(a)?);
    let mut new_file = FileReader::new(new_bytes, new.tar(b)?);
    let (mut old_piece, mut new_piece) = (Vec::new(), Vec::new());
    loop {
        read_piece(&mut old_file, &mut old_piece, old_contents)?;
        read_piece(&mut new_file, &mut new_piece, new_contents)?;
        if old_piece != new_piece {
            return Ok(false);
        }
        if old_piece.is_empty() {
            return Ok(true);
        }
    }
}

/// Reads a piece: as much as fits into one, or all that is left.
fn read_piece(file: &mut FileReader, piece: &mut Vec<u8>, of: &Contents) -> Result<(), Error> {
    piece.clear();
    let read = file.take(PIECE_SIZE_BYTES as u64).read_to_end(piece);
    read.map(|_| ()).map_err(|error| of.unreadable(error))
}
