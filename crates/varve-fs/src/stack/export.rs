//! A merged tree written as one tar.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
};

use super::{FileReader, Stack};
use crate::{
    tar::{Device, EntryKind, NewEntry, Writer},
    tree::{Content, Directory, Inode, InodeId, Tree},
};

impl Stack {
    /// Writes the tree as a tar, each directory before what it holds, siblings in order. `tars`
    /// are those of the layers, the lowest first. The root is written as `./` when some layer
    /// names it. Holes are written as zeros.
    ///
    /// What is mounted over layers is the tar and index of their [`mend`](Stack::mend).
    pub fn write_tar<W: Write>(&self, tars: &[File], target: W) -> io::Result<W> {
        let mut writer = Writer::new(target);
        let root = self.tree.inode(Tree::ROOT);
        if !matches!(root.content, Content::Directory(Directory { is_implied: true, .. })) {
            writer.append_bytes(&entry(b"./", root, EntryKind::Directory), b"")?;
        }
        // Of files with several names, the one that was written.
        let mut written: HashMap<InodeId, Vec<u8>> = HashMap::new();
        let mut walk = self.tree.walk();
        while let Some((path, id)) = walk.next() {
            if let Some(first) = written.get(&id) {
                let link = NewEntry {
                    link_target: first,
                    xattrs: &[],
                    ..entry(path, self.tree.inode(id), EntryKind::HardLink)
                };
                writer.append_bytes(&link, b"")?;
                continue;
            }
            let inode = self.tree.inode(id);
            let is_directory = matches!(inode.content, Content::Directory(_));
            if inode.links > 1 && !is_directory {
                written.insert(id, path.to_vec());
            }
            self.write_entry(&mut writer, path, id, tars)?;
        }
        writer.finish()
    }

    fn write_entry<W: Write>(
        &self,
        writer: &mut Writer<W>,
        path: &[u8],
        id: InodeId,
        tars: &[File],
    ) -> io::Result<()> {
        let inode = self.tree.inode(id);
        let of_kind = |kind| entry(path, inode, kind);
        let device = |kind, device: Device| NewEntry { device, ..of_kind(kind) };
        let entry = match &inode.content {
            Content::File(bytes) => {
                let entry = NewEntry { size: bytes.size, ..of_kind(EntryKind::File) };
                return writer.append(&entry, &mut FileReader::new(bytes, &tars[self.layer(id)]));
            }
            Content::Directory(_) => of_kind(EntryKind::Directory),
            Content::Symlink(target) => {
                NewEntry { link_target: target, ..of_kind(EntryKind::Symlink) }
            }
            Content::CharacterDevice(numbers) => device(EntryKind::CharacterDevice, *numbers),
            Content::BlockDevice(numbers) => device(EntryKind::BlockDevice, *numbers),
            Content::Fifo => of_kind(EntryKind::Fifo),
            Content::Whiteout | Content::ForeignHardLink(_) => {
                unreachable!("a merged tree has neither")
            }
        };
        writer.append_bytes(&entry, b"")
    }
}

fn entry<'a>(path: &'a [u8], inode: &'a Inode, kind: EntryKind) -> NewEntry<'a> {
    NewEntry {
        path,
        kind,
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        mtime: inode.mtime,
        link_target: b"",
        device: Device::default(),
        xattrs: &inode.xattrs,
        size: 0,
    }
}
