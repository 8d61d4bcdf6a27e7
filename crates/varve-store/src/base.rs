//! What goes on top of an image's layers before anything of a container's own: the places that the
//! runtime mounts over, as in Docker's init layer.
//!
//! Where an image lacks them they are an ordinary layer, made of a tar that depends on nothing but
//! which of them are missing. So what a container changes is only what it changed: they are never
//! in its upper directory, and in nothing that is committed.

use varve_fs::{
    stack::Stack,
    tar::{EntryKind, NewEntry, Time, Writer},
    tree::{Content, Tree},
};
use varve_types::{DiffId, Digest};

use crate::{Error, Lease, Result, Store};

/// What a container's root has besides its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The layer to put on top of the image's; `None` where nothing is missing.
    pub layer: Option<DiffId>,
    /// The root's mode and owner as the image has them, which an upper directory must have too:
    /// overlayfs shows its own.
    pub root: RootOwner,
}

/// Mode and owner of the root of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RootOwner {
    /// The lower twelve bits of the mode.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl RootOwner {
    /// Of an image that says nothing of it.
    pub(crate) const PLAIN: Self = Self { mode: 0o755, uid: 0, gid: 0 };

    pub(crate) fn of(stack: &Stack) -> Self {
        let root = stack.tree().inode(Tree::ROOT);
        Self { mode: root.mode, uid: root.uid, gid: root.gid }
    }
}

enum Place {
    Directory,
    File,
    Link(&'static str),
}

/// What is there in every container, in the order of the tar.
const PLACES: [(&str, Place); 11] = [
    (".dockerenv", Place::File),
    ("dev", Place::Directory),
    ("dev/console", Place::File),
    ("dev/pts", Place::Directory),
    ("dev/shm", Place::Directory),
    ("etc/hostname", Place::File),
    ("etc/hosts", Place::File),
    ("etc/mtab", Place::Link("/proc/mounts")),
    ("etc/resolv.conf", Place::File),
    ("proc", Place::Directory),
    ("sys", Place::Directory),
];

/// Which places a stack lacks, by number, and where something else is in the way, is left as it is.
pub(crate) fn missing(stack: &Stack) -> Vec<u8> {
    let tree = stack.tree();
    let is_missing = |path: &str| {
        let way = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let is_way_open = match tree.lookup(way.as_bytes()) {
            Some(id) => matches!(tree.inode(id).content, Content::Directory(_)),
            None => true,
        };
        is_way_open && tree.lookup(path.as_bytes()).is_none()
    };
    let numbered = PLACES.iter().zip(0_u8..);
    numbered.filter(|((path, _), _)| is_missing(path)).map(|(_, number)| number).collect()
}

pub(crate) fn all_missing() -> Vec<u8> {
    (0..PLACES.len() as u8).collect()
}

fn tar(missing: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    let mut writer = Writer::new(Vec::new());
    let places = missing.iter().filter_map(|&number| PLACES.get(usize::from(number)));
    for (path, place) in places {
        let (kind, link_target) = match place {
            Place::Directory => (EntryKind::Directory, ""),
            Place::File => (EntryKind::File, ""),
            Place::Link(target) => (EntryKind::Symlink, *target),
        };
        let mode = if kind == EntryKind::Symlink { 0o777 } else { 0o755 };
        let entry = NewEntry {
            path: path.as_bytes(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            link_target: link_target.as_bytes(),
            device: varve_fs::tar::Device::default(),
            xattrs: &[],
            size: 0,
        };
        writer.append_bytes(&entry, b"")?;
    }
    writer.finish()
}

impl Store {
    /// Mode and owner of the root that these layers show.
    pub fn root_owner(&self, lease: &Lease, layers: &[DiffId]) -> Result<RootOwner> {
        Ok(self.base_facts(lease, layers)?.1)
    }

    /// What a container of an image with these layers has besides; its layer is then here and
    /// pinned under the lease.
    pub fn base(&self, lease: &Lease, layers: &[DiffId]) -> Result<Base> {
        let (missing, root) = self.base_facts(lease, layers)?;
        if missing.is_empty() {
            return Ok(Base { layer: None, root });
        }
        let tar = tar(&missing).map_err(Error::Source)?;
        let diff_id = DiffId(Digest::of(&tar));
        if self.pin_layer(lease, &diff_id)?.is_none() {
            self.write_layer(lease, |out| out.write_all(&tar).map_err(Error::Source))?;
        }
        Ok(Base { layer: Some(diff_id), root })
    }
}
