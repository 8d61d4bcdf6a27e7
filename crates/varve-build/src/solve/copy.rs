//! `COPY` and `ADD`: files taken from their sources and put over a base, as a layer.
//!
//! The rules are those of BuildKit's file operations. The layer's tree is made first, from names
//! and attributes; then the tar is written in one pass, in the order of paths.

use std::{collections::BTreeMap, io::Write, sync::Arc};

use varve_fs::tar::Time;

use super::{
    FileKind, FileStatus, Files, LayerTimes, Origin,
    archive::Archive,
    copy_error::{CopyError, shown},
    layer_files::LayerFiles,
    made_tree::{Bytes, MadeTree, Node, NodeContent, There, join, parent},
    mode,
    name::bytes_of,
    owner::{self, Owner},
    write_tree::write_tree,
};
use crate::{
    ignore::Ignore,
    plan::{CopyAction, CopySource, CopyStep, MkdirStep},
    select::{Listing, Taken, Target},
};

/// Writes the layer of a copy as a tar. `base` is what the files come to, `None` for nothing;
/// `sources` has the files of each action of the step. Gives the real times of the files whose time
/// in the tar is another, by path in the tar.
///
/// The tar depends on the step, the files and the base's directories on the way, and on the times
/// of files only where these are content.
pub fn write_copy(
    step: &CopyStep,
    base: Option<&LayerFiles>,
    sources: &[Option<Arc<dyn Files>>],
    times: &LayerTimes,
    out: &mut dyn Write,
) -> Result<BTreeMap<Vec<u8>, Time>, CopyError> {
    let copy = Copy::make(step, base, sources, times)?;
    write_tree(&copy.tree, sources, &copy.archives, out)?;
    Ok(copy.tree.real_times())
}

/// The real times that [`write_copy`] would give, without reading the files.
pub fn copy_times(
    step: &CopyStep,
    base: Option<&LayerFiles>,
    sources: &[Option<Arc<dyn Files>>],
    times: &LayerTimes,
) -> Result<BTreeMap<Vec<u8>, Time>, CopyError> {
    Copy::make(step, base, sources, times).map(|copy| copy.tree.real_times())
}

/// Writes the layer of a directory that is made with its parents, all of them `step.user`'s. The
/// layer is empty where the directory is there.
pub fn write_mkdir(
    step: &MkdirStep,
    base: Option<&LayerFiles>,
    times: &LayerTimes,
    out: &mut dyn Write,
) -> Result<BTreeMap<Vec<u8>, Time>, CopyError> {
    let mut tree = MadeTree::new(base, *times);
    let owner = owner::resolve(&step.user, base)?;
    let path = tree.resolve(b"", step.path.as_bytes())?;
    tree.make_directories(&path, owner)?;
    write_tree(&tree, &[], &[], out)?;
    Ok(tree.real_times())
}

/// What an action takes from its files.
pub(super) fn taken(
    step: &CopyStep,
    action: &CopyAction,
    files: Option<&dyn Files>,
) -> Result<Vec<Taken>, CopyError> {
    if let (CopySource::All, Some(name)) = (&action.source, files.and_then(Files::only_file)) {
        let target = Target::As(name.to_owned());
        return Ok(vec![Taken { source: name.to_owned(), target }]);
    }
    let empty = Listing::default();
    let listing = files.map_or(&empty, Files::listing);
    Ok(listing.select(&action.source, &step.exclude)?)
}

struct Copy<'a> {
    step: &'a CopyStep,
    sources: &'a [Option<Arc<dyn Files>>],
    /// `--chown`.
    owner: Option<Owner>,
    tree: MadeTree<'a>,
    /// Those that are unpacked.
    archives: Vec<Archive>,
    /// Sources that were copied: names of one file are linked within each.
    matches: usize,
}

/// What becomes of a directory that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Existing {
    /// It gets the attributes of the one that is copied.
    Updated,
    /// It gets its mode only: it is on the way to what is copied (`--parents`).
    OnTheWay,
}

impl<'a> Copy<'a> {
    /// Makes the tree of a copy.
    fn make(
        step: &'a CopyStep,
        base: Option<&'a LayerFiles>,
        sources: &'a [Option<Arc<dyn Files>>],
        times: &LayerTimes,
    ) -> Result<Self, CopyError> {
        let owner = match step.owner.as_str() {
            "" => None,
            text => Some(owner::resolve(text, base)?),
        };
        let tree = MadeTree::new(base, *times);
        let mut copy = Self { step, sources, owner, tree, archives: Vec::new(), matches: 0 };
        for index in 0..step.actions.len() {
            copy.act(index)?;
        }
        Ok(copy)
    }

    fn act(&mut self, index: usize) -> Result<(), CopyError> {
        let action = &self.step.actions[index];
        let source = self.sources.get(index).and_then(Option::as_ref).cloned();
        let taken = taken(self.step, action, source.as_deref())?;
        let Some(files) = source.as_deref() else { return self.copy_nothing(&taken) };
        // Of `--parents`, what fits; its directories do not.
        let fitting = match &action.source {
            CopySource::Parents { pattern, .. } => {
                Some(Ignore::patterns([pattern]).map_err(crate::select::SelectError::from)?)
            }
            _ => None,
        };
        let mut into: Option<Vec<u8>> = None;
        if fitting.is_some() && !taken.is_empty() {
            into = Some(self.directory_destination()?);
        }
        for Taken { source, target } in taken {
            match target {
                Target::Directory => into = Some(self.directory_destination()?),
                Target::Below(path) => {
                    let existing = match &fitting {
                        Some(fitting) if !fitting.matches(&path) => Existing::OnTheWay,
                        _ => Existing::Updated,
                    };
                    let directory = into.as_deref().unwrap_or_default();
                    let place = join(directory, &bytes_of(&path));
                    self.place(index, files, &source, &place, existing)?;
                }
                Target::As(name) => {
                    self.matches += 1;
                    if !(action.unpack && self.unpack(index, files, &source)?) {
                        let place = self.file_destination(&bytes_of(&name))?;
                        self.place(index, files, &source, &place, Existing::Updated)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// An empty source has nothing but its root.
    fn copy_nothing(&mut self, taken: &[Taken]) -> Result<(), CopyError> {
        if !taken.is_empty() {
            self.directory_destination()?;
        }
        Ok(())
    }

    /// The destination, its links followed; what it lies in is made.
    fn destination(&mut self) -> Result<Vec<u8>, CopyError> {
        let path = self.step.destination.path.trim_matches('/').as_bytes();
        let directory = if self.step.destination.directory { path } else { parent(path) };
        let directory = self.tree.resolve(b"", directory)?;
        self.tree.make_directories(&directory, self.owner.unwrap_or_default())?;
        self.tree.resolve(b"", path)
    }

    /// The destination of a directory's contents.
    fn directory_destination(&mut self) -> Result<Vec<u8>, CopyError> {
        self.matches += 1;
        let place = self.destination()?;
        match self.tree.there(&place) {
            Some(There::Directory) => {}
            Some(_) => return Err(CopyError::OverFile(shown(&place))),
            None => self.tree.make_directories(&place, self.owner.unwrap_or_default())?,
        }
        Ok(place)
    }

    /// The destination of a file of this name.
    fn file_destination(&mut self, name: &[u8]) -> Result<Vec<u8>, CopyError> {
        let place = self.destination()?;
        if self.tree.there(&place) == Some(There::Directory) {
            return Ok(join(&place, name));
        }
        self.tree.make_directories(parent(&place), self.owner.unwrap_or_default())?;
        Ok(place)
    }

    fn place(
        &mut self,
        action: usize,
        files: &dyn Files,
        source: &str,
        place: &[u8],
        existing: Existing,
    ) -> Result<(), CopyError> {
        let mut status = files.status(source)?;
        let there = self.tree.there(place);
        let is_directory = status.kind == FileKind::Directory;
        match there {
            Some(There::Directory) if !is_directory => {
                return Err(CopyError::OverDirectory(shown(place)));
            }
            Some(There::Symlink(_) | There::Other) if is_directory => {
                return Err(CopyError::OverFile(shown(place)));
            }
            _ => {}
        }
        if is_directory && existing == Existing::OnTheWay && there.is_some() {
            self.tree.set_mode(place, status.mode);
            return Ok(());
        }
        let link = status.links.map(|number| (self.matches, number));
        let content = content(&mut status, |size_bytes| NodeContent::File {
            size_bytes,
            bytes: Bytes::Source { action, path: source.to_owned() },
        });
        let mut node = self.tree.node(content, status, files.origin());
        if let Some(change) = &self.step.mode
            && !matches!(node.content, NodeContent::Symlink(_))
        {
            node.mode = mode::changed(change, node.mode, is_directory);
        }
        self.tree.insert(place, Node { link, ..self.owned(node) })
    }

    fn owned(&self, node: Node) -> Node {
        Node { owner: self.owner.unwrap_or(node.owner), ..node }
    }

    /// Unpacks a file into the destination, if it is an archive.
    fn unpack(
        &mut self,
        action: usize,
        files: &dyn Files,
        source: &str,
    ) -> Result<bool, CopyError> {
        let Some(archive) = Archive::open(files, action, source)? else { return Ok(false) };
        let path = self.step.destination.path.as_bytes();
        let place = self.tree.resolve(b"", path)?;
        self.tree.make_directories(&place, self.owner.unwrap_or_default())?;
        archive.place(&mut self.tree, &place, self.archives.len(), self.owner, self.matches)?;
        self.archives.push(archive);
        Ok(true)
    }
}

/// What a node is, of a status whose link text is taken.
pub(super) fn content(
    status: &mut FileStatus,
    file: impl FnOnce(u64) -> NodeContent,
) -> NodeContent {
    match &mut status.kind {
        FileKind::Directory => NodeContent::Directory { is_opaque: false },
        FileKind::File(size_bytes) => file(*size_bytes),
        FileKind::Symlink(text) => NodeContent::Symlink(std::mem::take(text)),
        FileKind::CharacterDevice(device) => NodeContent::CharacterDevice(*device),
        FileKind::BlockDevice(device) => NodeContent::BlockDevice(*device),
        FileKind::Fifo => NodeContent::Fifo,
    }
}

/// Where the files of an archive come from: its times are part of its bytes.
pub(super) const ARCHIVE_ORIGIN: Origin = Origin::Layers;
