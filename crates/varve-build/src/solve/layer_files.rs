//! Files of layers: what a step or an image shows, and an archive that is a context.

use std::{fs::File, io::Read, sync::OnceLock};

use varve_fs::{
    stack::{FileReader, Stack},
    tar::Time,
    tree::{Content, InodeId, Tree},
};
use varve_store::Store;
use varve_types::{DiffId, Digest, Hasher, Kind};

use super::{
    BuildLayer, Fault, FileKind, FileStatus, Files, Origin,
    name::{bytes_of, text_of},
};
use crate::select::{EntryKind, Listing};

/// Bytes that are hashed at a time.
const BUFFER_SIZE_BYTES: usize = 128 << 10;

/// The merged tree of layers, with the tars that hold the bytes.
#[derive(Debug)]
pub struct LayerFiles {
    stack: Stack,
    tars: Vec<File>,
    /// Of each layer the tree with the real times, where any is another.
    real: Vec<Option<Tree>>,
    /// A base is never listed as a whole.
    listing: OnceLock<Listing>,
}

impl LayerFiles {
    /// Layers, the lowest first: the tree of each and its uncompressed tar.
    pub fn new(layers: Vec<(Tree, File)>) -> Result<Self, Fault> {
        let (trees, tars): (Vec<Tree>, Vec<File>) = layers.into_iter().unzip();
        Ok(Self { stack: merge(&trees)?, tars, real: Vec::new(), listing: OnceLock::new() })
    }

    /// Layers of a store, the lowest first. They must be pinned.
    pub fn open(store: &Store, layers: &[DiffId]) -> Result<Self, Fault> {
        let mut opened = Vec::with_capacity(layers.len());
        for layer in layers {
            let index = store.open_layer_index(layer).map_err(|e| Fault::new(e.kind(), e))?;
            let tree = index.tree().map_err(|e| Fault::new(e.kind(), e))?;
            let tar = store.open_layer_tar(layer).map_err(|e| Fault::new(e.kind(), e))?;
            opened.push((tree, tar));
        }
        Self::new(opened)
    }

    /// Layers of a build, the lowest first, with the real times of their files. They must be pinned.
    pub fn of_build(store: &Store, layers: &[BuildLayer]) -> Result<Self, Fault> {
        let ids: Vec<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
        let mut files = Self::open(store, &ids)?;
        for BuildLayer { diff_id, times, .. } in layers {
            let real = times.map(|times| {
                let index = store.open_times_of(diff_id, &times);
                let index = index.map_err(|error| Fault::new(error.kind(), error))?;
                index.tree().map_err(|error| Fault::new(error.kind(), error))
            });
            files.real.push(real.transpose()?);
        }
        Ok(files)
    }

    /// The real time of what stands at a path, where it is another than the tar's.
    pub(super) fn real_time(&self, path: &[u8]) -> Option<Time> {
        let id = self.tree().lookup(path)?;
        let real = self.real.get(self.stack.layer(id))?.as_ref()?;
        Some(real.inode(real.lookup(path)?).mtime)
    }

    /// The merged tree.
    pub(super) fn stack(&self) -> &Stack {
        &self.stack
    }

    fn tree(&self) -> &Tree {
        self.stack.tree()
    }

    /// The bytes of a file; `None` of what is none.
    pub(super) fn reader(&self, id: InodeId) -> Option<FileReader<'_>> {
        match &self.tree().inode(id).content {
            Content::File(bytes) => Some(FileReader::new(bytes, &self.tars[self.stack.layer(id)])),
            _ => None,
        }
    }

    fn find(&self, path: &str) -> Result<InodeId, Fault> {
        let found = self.tree().lookup(&bytes_of(path));
        found.ok_or_else(|| Fault::new(Kind::NotFound, format!("\"/{path}\": not found")))
    }

    fn file(&self, path: &str) -> Result<FileReader<'_>, Fault> {
        let reader = self.reader(self.find(path)?);
        reader.ok_or_else(|| Fault::new(Kind::Invalid, format!("/{path} is not a regular file")))
    }

    fn list(&self) -> Listing {
        let mut entries = Vec::new();
        let mut walk = self.tree().walk();
        while let Some((path, id)) = walk.next() {
            let kind = match &self.tree().inode(id).content {
                Content::Directory(_) => EntryKind::Directory,
                Content::Symlink(text) => EntryKind::Symlink(text_of(text)),
                _ => EntryKind::File,
            };
            entries.push((text_of(path), kind));
        }
        entries.into_iter().collect()
    }
}

impl Files for LayerFiles {
    fn listing(&self) -> &Listing {
        self.listing.get_or_init(|| self.list())
    }

    fn status(&self, path: &str) -> Result<FileStatus, Fault> {
        let real_mtime = self.real_time(&bytes_of(path));
        Ok(FileStatus { real_mtime, ..status_of(self.tree(), self.find(path)?) })
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send + '_>, Fault> {
        Ok(Box::new(self.file(path)?))
    }

    fn digest(&self, path: &str) -> Result<Digest, Fault> {
        let digest = digest_of(&mut self.file(path)?);
        digest.map_err(|error| Fault::new(Kind::Internal, error))
    }

    fn origin(&self) -> Origin {
        Origin::Layers
    }
}

fn merge(trees: &[Tree]) -> Result<Stack, Fault> {
    let trees: Vec<&Tree> = trees.iter().collect();
    Stack::merge(&trees).map_err(|error| Fault::new(error.kind(), error))
}

/// What is known of an inode of a merged tree; of its real time, nothing.
pub(super) fn status_of(tree: &Tree, id: InodeId) -> FileStatus {
    let inode = tree.inode(id);
    let kind = match &inode.content {
        Content::File(bytes) => FileKind::File(bytes.size),
        Content::Directory(_) => FileKind::Directory,
        Content::Symlink(text) => FileKind::Symlink(text.to_vec()),
        Content::CharacterDevice(device) => FileKind::CharacterDevice(*device),
        Content::BlockDevice(device) => FileKind::BlockDevice(*device),
        Content::Fifo => FileKind::Fifo,
        Content::Whiteout | Content::ForeignHardLink(_) => {
            unreachable!("a merged tree has neither")
        }
    };
    let has_names = inode.links > 1 && kind != FileKind::Directory;
    FileStatus {
        kind,
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        mtime: inode.mtime,
        real_mtime: None,
        xattrs: inode.xattrs.to_vec(),
        links: has_names.then_some(id.index() as u64),
    }
}

/// Hashes all bytes of a reader.
pub(super) fn digest_of(reader: &mut dyn Read) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; BUFFER_SIZE_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
