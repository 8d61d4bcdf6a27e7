//! Extended attributes of a file in an upper directory: overlayfs's own, and the others.

use rustix::{fs::Stat, io::Errno};
use varve_types::limits;

use super::UpperError;
use crate::{
    overlay::Marks,
    owners::{self, Owner},
    tar::Xattr,
};

/// Bytes of the names of all attributes of a file (Linux `XATTR_LIST_MAX`).
const NAMES_SIZE_BYTES_MAX: usize = 65_536;

/// Reads attributes.
pub(super) struct Xattrs {
    marks: Marks,
    /// Whether owners may be kept in an attribute.
    keeps_owners: bool,
    names: Vec<u8>,
    value: Vec<u8>,
}

/// What a file's attributes say.
#[derive(Default)]
pub(super) struct Found {
    /// What a layer keeps of them.
    pub(super) kept: Vec<Xattr>,
    pub(super) is_opaque: bool,
    pub(super) is_whiteout: bool,
    /// Whose it is, where that cannot be expressed here.
    pub(super) owner: Option<Owner>,
}

impl Found {
    /// A file's facts, with what its attributes know better.
    pub(super) fn facts(&self, mut stat: Stat) -> Stat {
        if let Some(owner) = self.owner {
            owner.restore(&mut stat);
        }
        stat
    }
}

impl Xattrs {
    /// Those of an upper directory.
    pub(super) fn new(marks: Marks) -> Self {
        let (names, value) = (vec![0; NAMES_SIZE_BYTES_MAX], vec![0; limits::XATTR_SIZE_BYTES_MAX]);
        let keeps_owners = matches!(marks, Marks::User | Marks::UserAttributes);
        Self { marks, keeps_owners, names, value }
    }

    /// Those that an overlay shows which was mounted with `marks`.
    pub(super) fn shown(marks: Marks) -> Self {
        Self { marks: Marks::None, ..Self::new(marks) }
    }

    /// Reads those of the file that `handle` is; `path` is for errors.
    pub(super) fn read(&mut self, handle: &str, path: &[u8]) -> Result<Found, UpperError> {
        let failed = UpperError::io("read the attributes of", path);
        let length = match rustix::fs::listxattr(handle, &mut self.names[..]) {
            Err(Errno::NOTSUP) => 0,
            length => length.map_err(failed)?,
        };
        let mut found = Found::default();
        for name in self.names[..length].split(|&byte| byte == 0) {
            if name.is_empty() || name == b"security.selinux" {
                continue;
            }
            let size = match rustix::fs::getxattr(handle, name, &mut self.value[..]) {
                // Listed, and gone or not for us.
                Err(Errno::NODATA | Errno::NOTSUP) => continue,
                size => size.map_err(failed)?,
            };
            let value = &self.value[..size];
            if self.keeps_owners
                && name == owners::ATTRIBUTE
                && let Some(owner) = Owner::parse(value)
            {
                found.owner = Some(owner);
                continue;
            }
            if let Some(name) = self.marks.unescaped(name) {
                found.kept.push((name, value.to_vec()));
                continue;
            }
            let own = self.marks.prefix().and_then(|prefix| name.strip_prefix(prefix));
            match own {
                Some(b"opaque") => found.is_opaque = value == b"y",
                Some(b"whiteout") => found.is_whiteout = true,
                Some(b"redirect") => return Err(elsewhere(path, "redirect")),
                Some(b"metacopy") => return Err(elsewhere(path, "metacopy")),
                // Where the file came from, and notes of the kernel to itself.
                _ => {}
            }
        }
        found.kept.sort_unstable();
        Ok(found)
    }
}

fn elsewhere(path: &[u8], attribute: &'static str) -> UpperError {
    UpperError::Elsewhere { path: path.to_vec(), attribute }
}
