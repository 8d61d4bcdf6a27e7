//! A made tree written as a tar.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, BufWriter, Read, Write},
    sync::Arc,
};

use varve_fs::tar::{Device, EntryKind, NewEntry, Writer};

use super::{
    Files,
    archive::Archive,
    copy_error::{CopyError, shown},
    made_tree::{Bytes, MadeTree, Node, NodeContent},
};

const BUFFER_SIZE_BYTES: usize = 256 << 10;
/// Hides what the layers below have in a directory.
const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";

/// Writes the tree in the order of paths; files of archives come last, in the order in which
/// the archives have them.
pub(super) fn write_tree(
    tree: &MadeTree<'_>,
    sources: &[Option<Arc<dyn Files>>],
    archives: &[Archive],
    out: &mut dyn Write,
) -> Result<(), CopyError> {
    let target = BufWriter::with_capacity(BUFFER_SIZE_BYTES, out);
    let mut layer = Layer { writer: Writer::new(target), links: HashMap::new() };
    let mut unpacked: Vec<BTreeMap<u64, &[u8]>> = vec![BTreeMap::new(); archives.len()];
    let mut late = Vec::new();
    for (path, node) in tree.nodes() {
        match &node.content {
            NodeContent::File { bytes: Bytes::Archive { archive, offset }, .. } => {
                // Further names of a file follow when it is written.
                match unpacked[*archive].entry(*offset) {
                    std::collections::btree_map::Entry::Vacant(first) => drop(first.insert(path)),
                    std::collections::btree_map::Entry::Occupied(_) => late.push((path, node)),
                }
            }
            _ => layer.write(path, node, sources)?,
        }
    }
    for (archive, files) in archives.iter().zip(&unpacked) {
        if files.is_empty() {
            continue;
        }
        let source = sources.get(archive.action()).and_then(Option::as_deref);
        let Some(source) = source else { continue };
        let mut left = files.len();
        archive.read_files(source, &mut |offset, data| match files
            .get(&offset)
            .and_then(|path| Some((path, tree.nodes().get(*path)?)))
        {
            Some((path, node)) => {
                left = left.saturating_sub(1);
                layer.file(path, node, data)
            }
            None => Ok(()),
        })?;
        if left > 0 {
            return Err(archive.has_changed());
        }
    }
    for (path, node) in late {
        layer.write(path, node, sources)?;
    }
    let mut target = layer.writer.finish().map_err(CopyError::Write)?;
    target.flush().map_err(CopyError::Write)
}

struct Layer<W> {
    writer: Writer<W>,
    /// Of files with several names, the one that was written first.
    links: HashMap<(usize, u64), Vec<u8>>,
}

impl<W: Write> Layer<W> {
    fn write(
        &mut self,
        path: &[u8],
        node: &Node,
        sources: &[Option<Arc<dyn Files>>],
    ) -> Result<(), CopyError> {
        if let Some(first) = node.link.and_then(|link| self.links.get(&link)) {
            let entry = NewEntry { link_target: first, ..entry(path, node, EntryKind::HardLink) };
            let entry = NewEntry { xattrs: &[], ..entry };
            return self.writer.append_bytes(&entry, b"").map_err(CopyError::Write);
        }
        let of_kind = |kind| entry(path, node, kind);
        let entry = match &node.content {
            NodeContent::File { bytes: Bytes::Source { action, path: from }, .. } => {
                let source = sources.get(*action).and_then(Option::as_deref);
                let mut data: Box<dyn Read + Send + '_> = match source {
                    Some(source) => source.open(from)?,
                    None => Box::new(io::empty()),
                };
                return self.file(path, node, &mut data);
            }
            NodeContent::File { .. } => return self.file(path, node, &mut io::empty()),
            NodeContent::Directory { is_opaque } => {
                return self.directory(path, node, *is_opaque);
            }
            NodeContent::Symlink(text) => {
                NewEntry { link_target: text, ..of_kind(EntryKind::Symlink) }
            }
            NodeContent::CharacterDevice(device) => {
                NewEntry { device: *device, ..of_kind(EntryKind::CharacterDevice) }
            }
            NodeContent::BlockDevice(device) => {
                NewEntry { device: *device, ..of_kind(EntryKind::BlockDevice) }
            }
            NodeContent::Fifo => of_kind(EntryKind::Fifo),
        };
        self.writer.append_bytes(&entry, b"").map_err(CopyError::Write)?;
        self.remember(path, node);
        Ok(())
    }

    fn directory(&mut self, path: &[u8], node: &Node, is_opaque: bool) -> Result<(), CopyError> {
        let directory = entry(path, node, EntryKind::Directory);
        self.writer.append_bytes(&directory, b"").map_err(CopyError::Write)?;
        if !is_opaque {
            return Ok(());
        }
        let marker = [path, b"/", OPAQUE_MARKER].concat();
        let marker = NewEntry { mode: 0o600, mtime: directory.mtime, ..NewEntry::file(&marker, 0) };
        self.writer.append_bytes(&marker, b"").map_err(CopyError::Write)
    }

    /// Writes a file whose bytes come from `data`.
    fn file(&mut self, path: &[u8], node: &Node, data: &mut dyn Read) -> Result<(), CopyError> {
        let NodeContent::File { size_bytes, .. } = &node.content else { return Ok(()) };
        let entry = NewEntry { size: *size_bytes, ..entry(path, node, EntryKind::File) };
        let mut data = Noting { inner: data, failure: None, count: 0 };
        let written = self.writer.append(&entry, &mut data);
        // Asked for its end, a file that changed meanwhile says so.
        let ended = match written {
            Ok(()) => data.read(&mut [0; 1]).map(|_| ()),
            Err(_) => Ok(()),
        };
        let failure = data.failure.take().or_else(|| {
            let is_short = data.count < *size_bytes && written.is_err();
            let short = || io::Error::new(io::ErrorKind::UnexpectedEof, "it has become shorter");
            (is_short && data.is_at_end()).then(short)
        });
        if let Some(source) = failure.or(ended.err()) {
            return Err(CopyError::Read { path: shown(path), source });
        }
        written.map_err(CopyError::Write)?;
        self.remember(path, node);
        Ok(())
    }

    fn remember(&mut self, path: &[u8], node: &Node) {
        if let Some(link) = node.link {
            self.links.insert(link, path.to_vec());
        }
    }
}

fn entry<'a>(path: &'a [u8], node: &'a Node, kind: EntryKind) -> NewEntry<'a> {
    NewEntry {
        path,
        kind,
        mode: node.mode,
        uid: node.owner.uid,
        gid: node.owner.gid,
        mtime: node.time,
        link_target: b"",
        device: Device::default(),
        xattrs: &node.xattrs,
        size: 0,
    }
}

/// Tells errors of reading from those of writing.
struct Noting<'a> {
    inner: &'a mut dyn Read,
    failure: Option<io::Error>,
    count: u64,
}

impl Noting<'_> {
    fn is_at_end(&mut self) -> bool {
        matches!(self.inner.read(&mut [0; 1]), Ok(0))
    }
}

impl Read for Noting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(count) => {
                self.count += count as u64;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failure = Some(error);
                Err(kind.into())
            }
        }
    }
}
