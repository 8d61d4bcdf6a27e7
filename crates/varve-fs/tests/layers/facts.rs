//! What there is to tell of a file, as text: of a tree's and of a disk's.

use std::{collections::BTreeMap, fmt::Write as _};

use varve_fs::{
    layer::text_of_path,
    tar::{Device, Xattr},
    tree::{Content, InodeId, Tree},
};
use varve_types::Digest;

/// Of each path, what a file system tells of it, as text.
pub(crate) type Facts = BTreeMap<String, String>;

#[track_caller]
pub(crate) fn compare(expected: &Facts, actual: &Facts, what: &str) {
    for (path, fact) in expected {
        let actual = actual.get(path).map(String::as_str);
        assert_eq!(actual, Some(fact.as_str()), "`{path}` in {what}");
    }
    let more: Vec<_> = actual.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(more.is_empty(), "{more:?} in {what}");
}

/// What is told of one file.
pub(crate) struct Told<'a> {
    pub(crate) what: String,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, u32),
    pub(crate) links: u32,
    pub(crate) xattrs: &'a [Xattr],
}

impl Told<'_> {
    pub(crate) fn fact(&self) -> String {
        let mut fact = format!("{} {:o} {:?} {:?}", self.what, self.mode, self.owner, self.mtime);
        write!(fact, " links {}", self.links).unwrap();
        for (name, value) in self.xattrs {
            write!(fact, " {}={}", name.escape_ascii(), value.escape_ascii()).unwrap();
        }
        fact
    }
}

pub(crate) const WHITEOUT: &str = "whiteout";

pub(crate) fn device(kind: &str, device: Device) -> String {
    format!("{kind} device {},{}", device.major, device.minor)
}

/// A hash that is quick without optimisation; holes of many GiB are hashed by their size.
#[derive(Default)]
pub(crate) struct Summed {
    hasher: Option<varve_types::Hasher>,
    zeros: u64,
    size: u64,
}

impl Summed {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        for piece in bytes.chunks(512) {
            if piece.iter().all(|&byte| byte == 0) {
                self.add_zeros(piece.len() as u64);
                continue;
            }
            self.end_zeros();
            self.hasher.get_or_insert_with(varve_types::Hasher::new).update(piece);
        }
    }

    pub(crate) fn add_hole(&mut self, length: u64) {
        self.size += length;
        self.add_zeros(length);
    }

    fn add_zeros(&mut self, length: u64) {
        self.zeros += length;
    }

    fn end_zeros(&mut self) {
        let zeros = std::mem::take(&mut self.zeros);
        if zeros > 0 {
            let hasher = self.hasher.get_or_insert_with(varve_types::Hasher::new);
            hasher.update(&zeros.to_le_bytes());
        }
    }

    pub(crate) fn finish(mut self) -> String {
        self.end_zeros();
        let digest = self.hasher.map_or(Digest::of(b""), varve_types::Hasher::finish);
        format!("file {} {}", self.size, digest.short())
    }
}

pub(crate) fn facts_of_tree(tree: &Tree, tar: &[u8]) -> Facts {
    let mut facts = Facts::new();
    facts.insert(String::new(), fact_of_inode(tree, Tree::ROOT, tar));
    let mut walk = tree.walk();
    while let Some((path, id)) = walk.next() {
        if !matches!(tree.inode(id).content, Content::ForeignHardLink(_)) {
            facts.insert(text_of_path(path), fact_of_inode(tree, id, tar));
        }
    }
    facts
}

fn fact_of_inode(tree: &Tree, id: InodeId, tar: &[u8]) -> String {
    let inode = tree.inode(id);
    let mut links = inode.links;
    let what = match &inode.content {
        Content::File(bytes) => {
            let mut whole = vec![];
            let mut summed = Summed::default();
            let mut at = 0;
            for extent in bytes.extents() {
                sum_piecewise(&mut summed, &mut whole, extent.offset - at, None);
                let stored = &tar[extent.tar_offset as usize..][..extent.length as usize];
                sum_piecewise(&mut summed, &mut whole, 0, Some(stored));
                at = extent.offset + extent.length;
            }
            sum_piecewise(&mut summed, &mut whole, bytes.size - at, None);
            summed.add(&whole);
            summed.finish()
        }
        Content::Directory(directory) => {
            let is_directory =
                |&id: &InodeId| matches!(tree.inode(id).content, Content::Directory(_));
            links = 2 + directory.child_ids().filter(is_directory).count() as u32;
            format!("directory{}", if directory.is_opaque { " opaque" } else { "" })
        }
        Content::Symlink(target) => format!("-> {}", text_of_path(target)),
        Content::CharacterDevice(Device { major: 0, minor: 0 }) | Content::Whiteout => {
            return WHITEOUT.into();
        }
        Content::CharacterDevice(numbers) => device("character", *numbers),
        Content::BlockDevice(numbers) => device("block", *numbers),
        Content::Fifo => "fifo".into(),
        Content::ForeignHardLink(_) => unreachable!("left out"),
    };
    let xattrs: Vec<Xattr> =
        inode.xattrs.iter().filter(|xattr| can_be_stored(xattr)).cloned().collect();
    Told {
        what,
        mode: inode.mode,
        owner: (inode.uid, inode.gid),
        mtime: (inode.mtime.seconds, inode.mtime.nanoseconds),
        links,
        xattrs: &xattrs,
    }
    .fact()
}

fn can_be_stored((name, _): &Xattr) -> bool {
    name.contains(&b'.') && name.len() < 245
}

/// Puts pieces of any size together to whole blocks, so that sums do not depend on the cuts.
pub(crate) fn sum_piecewise(
    summed: &mut Summed,
    rest: &mut Vec<u8>,
    mut hole: u64,
    data: Option<&[u8]>,
) {
    if !rest.is_empty() {
        let missing = (512 - rest.len() as u64).min(hole);
        rest.resize(rest.len() + missing as usize, 0);
        hole -= missing;
        if rest.len() == 512 {
            summed.add(rest);
            rest.clear();
        }
    }
    let whole = hole / 512 * 512;
    if rest.is_empty() {
        summed.add_hole(whole);
        rest.resize((hole - whole) as usize, 0);
    }
    for &byte in data.unwrap_or_default() {
        rest.push(byte);
        if rest.len() == 512 {
            summed.add(rest);
            rest.clear();
        }
    }
}
