//! Archives that `ADD` unpacks: tars, plain or compressed.
//!
//! An archive is read twice and never kept: once for its tree, and once more, when the layer is
//! written, for the bytes of those files that are still there in the end.

use std::{
    collections::HashMap,
    io::{self, BufReader, Read},
};

use varve_fs::{
    compression::decode,
    layer::{LayerError, TreeParser},
    tar::{Reader, Region},
    tree::{Content, InodeId, Tree},
};
use varve_types::{DiffId, Digest};

use super::{
    FileStatus, Files,
    copy::{ARCHIVE_ORIGIN, content},
    copy_error::{CopyError, shown},
    layer_files::status_of,
    made_tree::{Bytes, MadeTree, Node, NodeContent, join},
    owner::Owner,
};

const BUFFER_SIZE_BYTES: usize = 128 << 10;

/// An archive among the files of an action.
pub(super) struct Archive {
    action: usize,
    path: String,
    tree: Tree,
}

impl Archive {
    /// Reads the tree of a file that is an archive; `None` of anything else. A file is one when the
    /// first entry of a tar can be read in it.
    pub(super) fn open(
        files: &dyn Files,
        action: usize,
        path: &str,
    ) -> Result<Option<Self>, CopyError> {
        if !matches!(files.status(path)?.kind, super::FileKind::File(_)) {
            return Ok(None);
        }
        let Ok(plain) = plain(files, path)? else { return Ok(None) };
        match Reader::new(plain).next() {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Ok(None),
        }
        let failed = |source| CopyError::Archive { path: path.to_owned(), source };
        let plain = plain_again(files, path)?;
        let tree = read_tree(plain).map_err(failed)?;
        Ok(Some(Self { action, path: path.to_owned(), tree }))
    }

    /// The action that it is a file of.
    pub(super) fn action(&self) -> usize {
        self.action
    }

    /// Puts what is in the archive into a directory that is there. `number` is the archive's, and
    /// `copy` that of the source.
    pub(super) fn place(
        &self,
        made: &mut MadeTree<'_>,
        directory: &[u8],
        number: usize,
        owner: Option<Owner>,
        copy: usize,
    ) -> Result<(), CopyError> {
        let mut places = HashMap::from([(Tree::ROOT, directory.to_vec())]);
        let mut walk = vec![self.children(Tree::ROOT)];
        while let Some(children) = walk.last_mut() {
            let Some((parent, name, id)) = children.pop() else {
                walk.pop();
                continue;
            };
            let place = join(&places[&parent], &name);
            let placing = Placing { number, owner, copy, floor: directory };
            let place = self.put(made, &placing, place, id)?;
            if let Content::Directory(_) = self.tree.inode(id).content {
                places.insert(id, place);
                walk.push(self.children(id));
            }
        }
        Ok(())
    }

    /// What a directory holds, the last one first.
    fn children(&self, directory: InodeId) -> Vec<(InodeId, Vec<u8>, InodeId)> {
        let children = self.tree.children(directory);
        let mut children: Vec<_> =
            children.map(|(name, id)| (directory, name.to_vec(), id)).collect();
        children.reverse();
        children
    }

    /// Puts one thing to its place, which for a directory that the archive does not name itself may
    /// be where a link leads.
    fn put(
        &self,
        made: &mut MadeTree<'_>,
        placing: &Placing<'_>,
        place: Vec<u8>,
        id: InodeId,
    ) -> Result<Vec<u8>, CopyError> {
        let inode = self.tree.inode(id);
        match &inode.content {
            Content::Directory(directory) if directory.is_opaque => {
                return Err(CopyError::WhiteoutName(shown(&join(&place, b".wh..wh..opq"))));
            }
            Content::Directory(directory) if directory.is_implied => {
                let below = &place[placing.floor.len()..];
                let place = made.resolve(placing.floor, below)?;
                made.make_directories(&place, placing.owner.unwrap_or_default())?;
                return Ok(place);
            }
            Content::Whiteout => return Err(CopyError::WhiteoutName(shown(&place))),
            Content::ForeignHardLink(target) => {
                let (path, text) = (shown(&place), shown(target));
                let why = format!("its hard link `{text}` names nothing in the archive");
                let source = LayerError::Read(io::Error::new(io::ErrorKind::NotFound, why));
                return Err(CopyError::Archive { path, source });
            }
            _ => {}
        }
        let mut status: FileStatus = status_of(&self.tree, id);
        let link = status.links.map(|link| (placing.copy, link));
        let bytes = match &inode.content {
            Content::File(bytes) => bytes.data_offset,
            _ => 0,
        };
        let content = content(&mut status, |size_bytes| NodeContent::File {
            size_bytes,
            bytes: Bytes::Archive { archive: placing.number, offset: bytes },
        });
        let node = made.node(content, status, ARCHIVE_ORIGIN);
        let owner = placing.owner.unwrap_or(node.owner);
        made.insert(&place, Node { owner, link, ..node })?;
        Ok(place)
    }

    /// It is not what it was when it was read first.
    pub(super) fn has_changed(&self) -> CopyError {
        let source = io::Error::new(io::ErrorKind::InvalidData, "it has changed meanwhile");
        CopyError::Read { path: self.path.clone(), source }
    }

    /// Reads the archive again and tells its files: the offset of each one's data, and its bytes.
    pub(super) fn read_files(
        &self,
        files: &dyn Files,
        tell: &mut dyn FnMut(u64, &mut dyn Read) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        let failed = |source| CopyError::Archive { path: self.path.clone(), source };
        let mut reader = Reader::new(plain_again(files, &self.path)?);
        while let Some(member) = reader.next().map_err(failed)? {
            let entry = member.entry();
            let (offset, size, sparse) =
                (entry.data_offset, entry.size, entry.sparse.clone().unwrap_or_default());
            let is_sparse = entry.sparse.is_some();
            if entry.kind != varve_fs::tar::EntryKind::File {
                continue;
            }
            let mut member = member;
            if is_sparse {
                tell(offset, &mut Holes::new(&mut member, sparse, size))?;
            } else {
                tell(offset, &mut member)?;
            }
        }
        Ok(())
    }
}

/// How things of an archive are placed.
struct Placing<'a> {
    number: usize,
    owner: Option<Owner>,
    copy: usize,
    /// The directory that it is unpacked into, which links of it do not leave.
    floor: &'a [u8],
}

/// The plain bytes of a file; an error inside is that it is nothing that can be decompressed.
fn plain<'a>(
    files: &'a dyn Files,
    path: &str,
) -> Result<io::Result<Box<dyn Read + Send + 'a>>, CopyError> {
    let file = BufReader::with_capacity(BUFFER_SIZE_BYTES, files.open(path)?);
    Ok(decode(file).map(|(_, plain)| plain as Box<dyn Read + Send>))
}

fn plain_again<'a>(
    files: &'a dyn Files,
    path: &str,
) -> Result<Box<dyn Read + Send + 'a>, CopyError> {
    plain(files, path)?.map_err(|source| CopyError::Read { path: path.to_owned(), source })
}

fn read_tree(mut plain: Box<dyn Read + Send + '_>) -> Result<Tree, LayerError> {
    let mut parser = TreeParser::new();
    let mut buffer = vec![0; BUFFER_SIZE_BYTES];
    loop {
        match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => parser.update(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LayerError::Read(error)),
        }
    }
    // Nobody asks for the digest.
    parser.finish(DiffId(Digest::of(b""))).map(|(_, tree)| tree)
}

/// The bytes of a sparse file, holes included, from those that are stored.
struct Holes<R> {
    stored: R,
    /// What is still to come, the next one last.
    regions: Vec<Region>,
    position: u64,
    size: u64,
}

impl<R: Read> Holes<R> {
    fn new(stored: R, mut regions: Vec<Region>, size: u64) -> Self {
        regions.retain(|region| region.length > 0);
        regions.reverse();
        Self { stored, regions, position: 0, size }
    }
}

impl<R: Read> Read for Holes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let next = self.regions.last().map_or(self.size, |region| region.offset);
        let (end, is_hole) = match self.regions.last() {
            Some(region) if region.offset <= self.position => {
                (region.offset + region.length, false)
            }
            _ => (next, true),
        };
        let wanted = (end - self.position).min(buffer.len() as u64) as usize;
        let count = if is_hole {
            buffer[..wanted].fill(0);
            wanted
        } else {
            self.stored.read(&mut buffer[..wanted])?
        };
        self.position += count as u64;
        if self.regions.last().is_some_and(|region| self.position == region.offset + region.length)
        {
            self.regions.pop();
        }
        Ok(count)
    }
}
