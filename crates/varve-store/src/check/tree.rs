//! Verifying the files that were extracted of a layer, against its index and its tar.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use rustix::fs::FileType;
use varve_fs::{
    root::Root,
    stack::FileReader,
    tree::{Content, InodeId, Tree},
};
use varve_types::{DiffId, Printable};

use crate::{Result, Store, error::cannot, ready};

const BUFFER_SIZE_BYTES: usize = 64 << 10;

/// What is wrong with a layer's extracted files; `None` where there are none, or all are right.
/// Kinds, sizes, bytes, links and names are compared, modes of what is neither link nor whiteout.
pub(super) fn problem(store: &Store, layer: &Path, diff_id: &DiffId) -> Result<Option<String>> {
    let (note, tree) = (layer.join(ready::TREE_NOTE), layer.join(ready::TREE));
    if !note.exists() {
        // Not whole yet, and not believed.
        return Ok(None);
    }
    if ready::tree_marks(layer).is_none() {
        return Ok(Some(format!("{} does not fit", ready::TREE_NOTE)));
    }
    let Ok(index) = store.open_layer_index(diff_id) else { return Ok(None) };
    let Ok(expected) = index.tree() else { return Ok(None) };
    let tar = store.open_layer_tar(diff_id)?;
    let root = Root::open(&tree).map_err(cannot("open", &tree))?;
    let mut walk = expected.walk();
    if let Some(problem) = names_differ(&root, b"", &expected, Tree::ROOT) {
        return Ok(Some(problem));
    }
    while let Some((path, id)) = walk.next() {
        if let Some(problem) = differs(&root, path, &expected, id, &tar) {
            let path = String::from_utf8_lossy(path).into_owned();
            return Ok(Some(format!("tree/{}: {problem}", Printable(&path))));
        }
    }
    Ok(None)
}

fn differs(root: &Root, path: &[u8], tree: &Tree, id: InodeId, tar: &File) -> Option<String> {
    let at = Path::new(OsStr::from_bytes(path));
    let inode = tree.inode(id);
    let there = match root.stat(at) {
        Ok(there) => there,
        Err(error) => {
            // Marks of overlayfs and devices that nobody here may make are not files of the tree.
            let is_file = matches!(
                inode.content,
                Content::File(_) | Content::Directory(_) | Content::Symlink(_) | Content::Fifo
            );
            return is_file.then(|| error.to_string());
        }
    };
    let kind = FileType::from_raw_mode(there.st_mode);
    let has_mode = || there.st_mode & 0o7777 == inode.mode & 0o7777;
    let is_right = match &inode.content {
        Content::File(bytes) => {
            kind == FileType::RegularFile
                && has_mode()
                && there.st_size as u64 == bytes.size
                && root
                    .open_file(at)
                    .and_then(|file| equal(file, FileReader::new(bytes, tar)))
                    .unwrap_or(false)
        }
        Content::Directory(_) => {
            if let Some(problem) = names_differ(root, path, tree, id) {
                return Some(problem);
            }
            kind == FileType::Directory && has_mode()
        }
        Content::Symlink(text) => root.read_link(at).is_ok_and(|there| there.as_bytes() == &**text),
        Content::Fifo => kind == FileType::Fifo && has_mode(),
        Content::CharacterDevice(_)
        | Content::BlockDevice(_)
        | Content::Whiteout
        | Content::ForeignHardLink(_) => true,
    };
    (!is_right).then(|| "it is not what the layer has there".to_owned())
}

/// Names in a directory that the layer does not have.
fn names_differ(root: &Root, path: &[u8], tree: &Tree, id: InodeId) -> Option<String> {
    let names =
        match root.names(Path::new(OsStr::from_bytes(if path.is_empty() { b"." } else { path }))) {
            Ok(names) => names,
            Err(error) => return Some(error.to_string()),
        };
    let odd = names.iter().find(|name| tree.child(id, name.as_bytes()).is_none())?;
    Some(format!("{} does not belong there", Printable(&odd.to_string_lossy())))
}

fn equal(mut one: impl Read, mut other: impl Read) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; BUFFER_SIZE_BYTES], vec![0; BUFFER_SIZE_BYTES]);
    loop {
        let count = fill(&mut one, &mut left)?;
        if count != fill(&mut other, &mut right)? || left[..count] != right[..count] {
            return Ok(false);
        }
        if count < left.len() {
            return Ok(true);
        }
    }
}

fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
