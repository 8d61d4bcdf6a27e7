//! Extended attributes, under the names that the tar has for them.

use varve_types::limits;

use super::{Index, Node, damaged};
use crate::{
    erofs::{
        IndexFault, ReadAt, ReadError,
        format::{XATTR_HEADER_SIZE, get_u16, get_u32},
    },
    tar::Xattr,
};

/// The extended attributes of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Sorted by name. Names that were hidden from overlayfs are as the tar has them.
    pub xattrs: Vec<Xattr>,
    /// Whether it is a directory that hides everything that the layers below have in it.
    pub is_opaque: bool,
}

const OVERLAY: &[u8] = b"trusted.overlay.";
const ESCAPED: &[u8] = b"trusted.overlay.overlay.";
const ENTRY_HEAD_SIZE: u64 = 4;

impl<R: ReadAt> Index<R> {
    /// A file's extended attributes.
    pub fn attributes(&self, node: &Node) -> Result<Attributes, ReadError> {
        let mut attributes = Attributes::default();
        let size = node.raw.xattrs_size;
        if size == 0 {
            return Ok(attributes);
        }
        let fault = || damaged(node.behind, IndexFault::Xattr);
        // Sixteen bits count it: at most 256 KiB.
        let mut body = vec![0; size as usize];
        self.read(&mut body, node.behind)?;
        let head = XATTR_HEADER_SIZE as usize + usize::from(body[4]) * 4;
        let shared = body.get(XATTR_HEADER_SIZE as usize..head).ok_or_else(fault)?;
        let area = u64::from(self.superblock.xattr_block) * self.block_size();
        let mut total = 0;
        let mut add = |xattr: Xattr| {
            total += xattr.0.len() + xattr.1.len();
            let limit = limits::XATTRS_SIZE_BYTES_MAX;
            if total > limit {
                let what = "bytes of a file's extended attributes";
                return Err(ReadError::Limit { what, limit: limit as u64 });
            }
            if xattr.0 == b"trusted.overlay.opaque" {
                attributes.is_opaque = xattr.1 == b"y";
                return Ok(());
            }
            let (name, value) = xattr;
            let name = match name.strip_prefix(ESCAPED) {
                Some(rest) => [OVERLAY, rest].concat(),
                None => name,
            };
            attributes.xattrs.push((name, value));
            Ok(())
        };
        for id in shared.chunks_exact(4) {
            let offset = area + u64::from(get_u32(id, 0)) * 4;
            let mut head = [0; ENTRY_HEAD_SIZE as usize];
            self.read(&mut head, offset)?;
            let mut rest = vec![0; usize::from(head[0]) + usize::from(get_u16(&head, 2))];
            self.read(&mut rest, offset + ENTRY_HEAD_SIZE)?;
            add(xattr(head, &rest).ok_or_else(fault)?)?;
        }
        let mut inline = &body[head..];
        while let Some((head, behind)) = inline.split_first_chunk::<{ ENTRY_HEAD_SIZE as usize }>()
        {
            let size = usize::from(head[0]) + usize::from(get_u16(head, 2));
            let rest = behind.get(..size).ok_or_else(fault)?;
            add(xattr(*head, rest).ok_or_else(fault)?)?;
            inline = behind.get(size.next_multiple_of(4)..).ok_or_else(fault)?;
        }
        attributes.xattrs.sort();
        Ok(attributes)
    }
}

fn xattr(head: [u8; ENTRY_HEAD_SIZE as usize], rest: &[u8]) -> Option<Xattr> {
    let (name, value) = rest.split_at(usize::from(head[0]));
    let prefix: &[u8] = match head[1] {
        1 => b"user.",
        2 => b"system.posix_acl_access",
        3 => b"system.posix_acl_default",
        4 => b"trusted.",
        6 => b"security.",
        _ => return None,
    };
    Some(([prefix, name].concat(), value.to_vec()))
}
