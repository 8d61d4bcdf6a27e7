//! Extended attributes: those that several inodes have, and long ones, are stored once.

use std::collections::{BTreeMap, BTreeSet};

use varve_types::{Printable, limits};

use crate::{
    erofs::format::{XATTR_HEADER_SIZE, put_u16, put_u32},
    layer::text_of_path,
    tree::{Content, Inode},
};

/// Attributes of more bytes are never stored behind an inode.
const INLINE_SIZE_MAX: usize = 128;
/// The count of shared attributes is one byte.
const SHARED_MAX: usize = 255;
/// Sixteen bits count what is behind an inode, in units of four bytes.
const BODY_SIZE_MAX: usize = XATTR_HEADER_SIZE as usize + 4 * (u16::MAX as usize - 1);

const OVERLAY: &[u8] = b"trusted.overlay.";

/// The entries of all inodes.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Of each entry's bytes, how often it was seen.
    seen: BTreeMap<Box<[u8]>, u32>,
    /// Where in `area` the shared ones are, in units of four bytes.
    shared: BTreeMap<Box<[u8]>, u32>,
    area: Vec<u8>,
}

impl Attributes {
    /// Takes note of an inode's attributes. Tells of those that cannot be stored.
    pub(super) fn count(&mut self, inode: &Inode, mut warn: impl FnMut(String)) {
        if !has_entries(inode) {
            return;
        }
        for (name, value) in &inode.xattrs {
            if !entry_can_be(name, value) {
                let name = text_of_path(name);
                warn(format!("the attribute {} cannot be stored", Printable(&name)));
            }
        }
        for entry in entries(inode) {
            *self.seen.entry(entry.into()).or_default() += 1;
        }
    }

    /// Decides which are shared; all inodes have been counted.
    pub(super) fn place(&mut self) {
        for (entry, times) in std::mem::take(&mut self.seen) {
            if times > 1 || entry.len() > INLINE_SIZE_MAX {
                let id = (self.area.len() / 4) as u32;
                self.area.extend_from_slice(&entry);
                self.shared.insert(entry, id);
            }
        }
    }

    /// What all inodes share.
    pub(super) fn area(&self) -> &[u8] {
        &self.area
    }

    /// What goes behind an inode; `None` if that is too much.
    pub(super) fn body(&self, inode: &Inode) -> Option<Vec<u8>> {
        if !has_entries(inode) {
            return Some(Vec::new());
        }
        let mut shared = BTreeSet::new();
        let mut inline = Vec::new();
        for entry in entries(inode) {
            match self.shared.get(&*entry) {
                Some(&id) if shared.len() < SHARED_MAX => drop(shared.insert(id)),
                _ => inline.extend_from_slice(&entry),
            }
        }
        if shared.is_empty() && inline.is_empty() {
            return Some(Vec::new());
        }
        let mut body = vec![0; XATTR_HEADER_SIZE as usize + shared.len() * 4];
        body[4] = shared.len() as u8;
        for (place, id) in shared.into_iter().enumerate() {
            put_u32(&mut body, XATTR_HEADER_SIZE as usize + place * 4, id);
        }
        body.extend_from_slice(&inline);
        (body.len() <= BODY_SIZE_MAX).then_some(body)
    }
}

fn is_opaque(inode: &Inode) -> bool {
    matches!(&inode.content, Content::Directory(directory) if directory.is_opaque)
}

/// Whether there may be any; most inodes have none.
fn has_entries(inode: &Inode) -> bool {
    !inode.xattrs.is_empty() || is_opaque(inode)
}

/// The entries of an inode as they lie on the disk.
fn entries(inode: &Inode) -> impl Iterator<Item = Vec<u8>> {
    let marker = is_opaque(inode).then(|| entry(b"trusted.overlay.opaque", b"y")).flatten();
    let own = inode.xattrs.iter().filter(|(name, value)| entry_can_be(name, value));
    marker.into_iter().chain(own.filter_map(|(name, value)| match name.strip_prefix(OVERLAY) {
        // As overlayfs itself does it: it takes one `overlay.` away before it shows the name.
        Some(rest) => entry(&[OVERLAY, b"overlay.", rest].concat(), value),
        None => entry(name, value),
    }))
}

fn entry_can_be(name: &[u8], value: &[u8]) -> bool {
    let longer = if name.starts_with(OVERLAY) { b"overlay.".len() } else { 0 };
    split(name).is_some()
        && !name.contains(&0)
        && name.len() + longer <= limits::XATTR_NAME_SIZE_BYTES_MAX
        // A value of exactly 64 KiB is one byte more than the format holds.
        && u16::try_from(value.len()).is_ok()
}

fn entry(name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let (prefix, rest) = split(name)?;
    let mut bytes = vec![rest.len() as u8, prefix, 0, 0];
    put_u16(&mut bytes, 2, value.len() as u16);
    bytes.extend_from_slice(rest);
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    Some(bytes)
}

/// The number of a name's prefix, and what is behind it.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    let whole: [(&[u8], u8); 2] =
        [(b"system.posix_acl_access", 2), (b"system.posix_acl_default", 3)];
    let prefixes: [(&[u8], u8); 3] = [(b"user.", 1), (b"trusted.", 4), (b"security.", 6)];
    if let Some((_, number)) = whole.iter().find(|(known, _)| *known == name) {
        return Some((*number, b""));
    }
    prefixes.iter().find_map(|(prefix, number)| {
        name.strip_prefix(*prefix).filter(|rest| !rest.is_empty()).map(|rest| (*number, rest))
    })
}
