//! A directory before each call that changes it, and what of it a power loss would leave.
//!
//! What is *there* is what every process sees. What is *kept* is what was synced: bytes by a sync of
//! their file, names by a sync of their directory, and everything by a sync of the file system. No
//! more than that is promised, so a file system may keep anything between the two.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsString,
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use varve_testkit::Seeded;

use crate::overseer::Asked;

/// What a disk writes as a whole.
const SECTOR_SIZE_BYTES: usize = 512;

/// An inode, told from a later one of the same number.
type Id = (u64, u128);
type Bytes = Arc<Vec<u8>>;
type Names = Arc<BTreeMap<OsString, Id>>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    File(Bytes),
    Directory(Names),
    Link(PathBuf),
    /// A device: its kind, major and minor number.
    Device(bool, u64),
}

/// What lies at an inode.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    mode: u32,
    content: Content,
    attributes: Vec<(OsString, Vec<u8>)>,
}

/// A directory at one moment: its inodes, all of them reached from `top`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    top: Id,
    nodes: HashMap<Id, Arc<Node>>,
}

/// What was synced.
#[derive(Debug, Clone, Default)]
struct Kept {
    bytes: HashMap<Id, Bytes>,
    names: HashMap<Id, Names>,
    /// Every inode that ever was: names may be kept of what is gone.
    known: HashMap<Id, Arc<Node>>,
}

/// The moment before a call.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) call: Asked,
    there: Tree,
    kept: Kept,
}

/// What a power loss takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing: the processes were killed.
    Nothing,
    /// All that was not synced.
    All,
    /// Bytes that were not synced; all names are kept. Files that never were synced are empty.
    Bytes,
    /// Each name and each file's bytes are as they were kept or as they are there, and what was not synced
    /// may be half of it, or zeros.
    Any(u64),
}

/// Looks at a directory again and again.
#[derive(Debug)]
pub(crate) struct Watcher {
    top: PathBuf,
    seen: HashMap<(Id, i64, i64), Arc<Node>>,
}

impl Watcher {
    pub(crate) fn of(top: &Path) -> Self {
        Self { top: top.to_owned(), seen: HashMap::new() }
    }

    /// What is there now.
    pub(crate) fn look(&mut self) -> Tree {
        let mut nodes = HashMap::new();
        let top = self.top.clone();
        let id = self.node(&top, &mut nodes).expect("a readable directory").expect("a directory");
        Tree { top: id, nodes }
    }

    /// `None`: it went meanwhile.
    fn node(&mut self, path: &Path, nodes: &mut HashMap<Id, Arc<Node>>) -> io::Result<Option<Id>> {
        let metadata = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let born = metadata.created().unwrap_or(SystemTime::UNIX_EPOCH);
        let born = born.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let id = (metadata.ino(), born);
        if nodes.contains_key(&id) {
            return Ok(Some(id));
        }
        let key = (id, metadata.ctime(), metadata.ctime_nsec());
        let kind = metadata.file_type();
        let known = self.seen.get(&key).filter(|_| !kind.is_dir()).cloned();
        let node = if let Some(known) = known {
            known
        } else {
            let Some(content) = self.content(path, &metadata, nodes)? else { return Ok(None) };
            let mode = metadata.permissions().mode() & 0o7777;
            Arc::new(Node { mode, content, attributes: attributes(path) })
        };
        self.seen.insert(key, node.clone());
        nodes.insert(id, node);
        Ok(Some(id))
    }

    fn content(
        &mut self,
        path: &Path,
        metadata: &fs::Metadata,
        nodes: &mut HashMap<Id, Arc<Node>>,
    ) -> io::Result<Option<Content>> {
        let kind = metadata.file_type();
        if kind.is_dir() {
            let mut names = BTreeMap::new();
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                if let Some(id) = self.node(&entry.path(), nodes)? {
                    names.insert(entry.file_name(), id);
                }
            }
            Ok(Some(Content::Directory(Arc::new(names))))
        } else if kind.is_symlink() {
            Ok(Some(Content::Link(fs::read_link(path)?)))
        } else if kind.is_file() {
            match fs::read(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                other => Ok(Some(Content::File(Arc::new(other?)))),
            }
        } else {
            Ok(Some(Content::Device(kind.is_char_device(), metadata.rdev())))
        }
    }
}

fn attributes(path: &Path) -> Vec<(OsString, Vec<u8>)> {
    use std::os::unix::ffi::OsStringExt as _;
    let mut list = vec![0_u8; 4096];
    let Ok(size) = rustix::fs::llistxattr(path, &mut list[..]) else { return Vec::new() };
    let names = list[..size].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let name = OsString::from_vec(name.to_vec());
        let mut value = vec![0_u8; 65536];
        let size = rustix::fs::lgetxattr(path, &name, &mut value[..]).ok()?;
        value.truncate(size);
        Some((name, value))
    };
    names.filter_map(value).collect()
}

impl Tree {
    /// Everything, with each name that leads to it.
    fn names_of(&self, id: &Id) -> Option<&Names> {
        match &self.nodes.get(id)?.content {
            Content::Directory(names) => Some(names),
            _ => None,
        }
    }

    /// Makes it again in a directory that is absent.
    pub(crate) fn write(&self, to: &Path) {
        let mut made: HashMap<Id, PathBuf> = HashMap::new();
        self.write_node(&self.top, to, &mut made);
    }

    /// Makes what is in it again, in a directory that is there.
    pub(crate) fn write_into(&self, to: &Path) {
        let mut made: HashMap<Id, PathBuf> = HashMap::new();
        for (name, id) in self.names_of(&self.top).into_iter().flat_map(|names| &**names) {
            self.write_node(id, &to.join(name), &mut made);
        }
    }

    fn write_node(&self, id: &Id, to: &Path, made: &mut HashMap<Id, PathBuf>) {
        let node = &self.nodes[id];
        if let Some(first) = made.get(id) {
            fs::hard_link(first, to).expect("a link");
            return;
        }
        match &node.content {
            Content::File(bytes) => fs::write(to, &**bytes).expect("a file"),
            Content::Link(target) => symlink(target, to).expect("a link"),
            Content::Device(is_character, number) => {
                let kind =
                    if *is_character { FileType::CharacterDevice } else { FileType::BlockDevice };
                let number = makedev(rustix::fs::major(*number), rustix::fs::minor(*number));
                mknodat(CWD, to, kind, Mode::from_raw_mode(node.mode), number).expect("a device");
            }
            Content::Directory(names) => {
                fs::create_dir(to).expect("a directory");
                for (name, id) in &**names {
                    self.write_node(id, &to.join(name), made);
                }
            }
        }
        if !matches!(node.content, Content::Directory(_)) {
            made.insert(*id, to.to_owned());
        }
        for (name, value) in &node.attributes {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::lsetxattr(to, name, value, flags).expect("an attribute");
        }
        if !matches!(node.content, Content::Link(_)) {
            fs::set_permissions(to, fs::Permissions::from_mode(node.mode)).expect("a mode");
        }
    }

    /// The inode at a path.
    fn find(&self, path: &Path) -> Option<Id> {
        let mut id = self.top;
        for name in path {
            id = *self.names_of(&id)?.get(name)?;
        }
        Some(id)
    }

    /// The names in a directory.
    pub(crate) fn list(&self, path: &Path) -> Vec<OsString> {
        let names = self.find(path).and_then(|id| self.names_of(&id).cloned());
        names.map(|names| names.keys().cloned().collect()).unwrap_or_default()
    }
}

impl Kept {
    /// Everything is on the disk.
    fn all(tree: &Tree) -> Self {
        let mut kept = Self::default();
        kept.note(tree);
        kept.sync_all(tree);
        kept
    }

    fn note(&mut self, tree: &Tree) {
        self.known.extend(tree.nodes.iter().map(|(id, node)| (*id, node.clone())));
    }

    fn sync_all(&mut self, tree: &Tree) {
        for id in tree.nodes.keys() {
            self.sync(tree, id);
        }
    }

    fn sync(&mut self, tree: &Tree, id: &Id) {
        match tree.nodes.get(id).map(|node| &node.content) {
            Some(Content::File(bytes)) => drop(self.bytes.insert(*id, bytes.clone())),
            Some(Content::Directory(names)) => drop(self.names.insert(*id, names.clone())),
            _ => {}
        }
    }

    /// What a call that is made next keeps.
    fn call(&mut self, tree: &Tree, asked: &Asked) {
        if asked.call == "SyncFileSystem" {
            self.sync_all(tree);
        } else if asked.call == "Sync" || asked.call == "SyncDirectory" {
            let ids: Vec<Id> =
                tree.nodes.keys().filter(|id| id.0 == asked.inode).copied().collect();
            for id in ids {
                self.sync(tree, &id);
            }
        }
    }
}

/// Keeps a frame for each call.
#[derive(Debug)]
pub(crate) struct Recorder {
    watcher: Watcher,
    kept: Kept,
    pub(crate) frames: Vec<Frame>,
}

impl Recorder {
    /// Of a directory in which everything is on the disk.
    pub(crate) fn of(top: &Path) -> Self {
        let mut watcher = Watcher::of(top);
        let kept = Kept::all(&watcher.look());
        Self { watcher, kept, frames: Vec::new() }
    }

    /// The moment before a call that is made next.
    pub(crate) fn before(&mut self, asked: &Asked) {
        let there = self.watcher.look();
        self.kept.note(&there);
        self.frames.push(Frame { call: asked.clone(), there, kept: self.kept.clone() });
        let frame = &self.frames[self.frames.len() - 1];
        self.kept.call(&frame.there, asked);
    }
}

impl Frame {
    /// What the next start finds.
    pub(crate) fn after(&self, loss: Loss) -> Tree {
        let mut left = Left {
            frame: self,
            loss,
            random: Seeded::from(match loss {
                Loss::Any(seed) => seed,
                _ => 0,
            }),
            nodes: HashMap::new(),
            entered: HashSet::new(),
        };
        left.node(&self.there.top);
        Tree { top: self.there.top, nodes: left.nodes }
    }

    /// How many bytes of a file were synced, if the file is in what is left.
    pub(crate) fn synced_size(&self, left: &Tree, path: &Path) -> u64 {
        let id = left.find(path);
        id.and_then(|id| self.kept.bytes.get(&id)).map_or(0, |bytes| bytes.len() as u64)
    }
}

struct Left<'a> {
    frame: &'a Frame,
    loss: Loss,
    random: Seeded,
    nodes: HashMap<Id, Arc<Node>>,
    /// Directories have one name, whatever a loss does to others.
    entered: HashSet<Id>,
}

impl Left<'_> {
    fn node(&mut self, id: &Id) {
        let Frame { there, kept, .. } = self.frame;
        let node = there.nodes.get(id).or_else(|| kept.known.get(id)).expect("a known inode");
        if self.nodes.contains_key(id) {
            return;
        }
        let content = match &node.content {
            Content::File(bytes) => Content::File(self.bytes(bytes, kept.bytes.get(id))),
            Content::Directory(names) => {
                self.entered.insert(*id);
                let mut left = BTreeMap::new();
                for (name, id) in &*self.names(names, kept.names.get(id)) {
                    let is_directory = kept
                        .known
                        .get(id)
                        .is_some_and(|node| matches!(node.content, Content::Directory(_)));
                    if !is_directory || self.entered.insert(*id) {
                        self.node(id);
                        left.insert(name.clone(), *id);
                    }
                }
                Content::Directory(Arc::new(left))
            }
            other => other.clone(),
        };
        let (mode, attributes) = (node.mode, node.attributes.clone());
        self.nodes.insert(*id, Arc::new(Node { mode, content, attributes }));
    }

    fn bytes(&mut self, there: &Bytes, kept: Option<&Bytes>) -> Bytes {
        if kept == Some(there) || self.loss == Loss::Nothing {
            return there.clone();
        }
        let kept = kept.cloned().unwrap_or_default();
        let Loss::Any(_) = self.loss else { return kept };
        if kept.len() == there.len() && there.len() <= SECTOR_SIZE_BYTES {
            // Written over in place: a sector is written or not.
            return if self.random.below(2) == 0 { kept } else { there.clone() };
        }
        match self.random.below(4) {
            0 => kept,
            1 => there.clone(),
            // Its length came to the disk, and some of its bytes.
            2 => {
                let mut torn = (*there).to_vec();
                let from =
                    kept.len() + self.random.below(there.len().saturating_sub(kept.len()) + 1);
                torn.iter_mut().skip(from).for_each(|byte| *byte = 0);
                Arc::new(torn)
            }
            _ => {
                let end = self.random.below(there.len() + 1).max(kept.len().min(there.len()));
                Arc::new(there[..end].to_vec())
            }
        }
    }

    fn names(&mut self, there: &Names, kept: Option<&Names>) -> Names {
        let kept = match (self.loss, kept) {
            (Loss::Nothing | Loss::Bytes, _) => return there.clone(),
            (_, kept) => kept.cloned().unwrap_or_default(),
        };
        if self.loss == Loss::All || kept == *there {
            return kept;
        }
        let mut left = BTreeMap::new();
        for name in there.keys().chain(kept.keys()).collect::<std::collections::BTreeSet<_>>() {
            let chosen = match (there.get(name), kept.get(name)) {
                (one, other) if one == other => one,
                (one, other) => {
                    if self.random.below(2) == 0 {
                        one
                    } else {
                        other
                    }
                }
            };
            if let Some(id) = chosen {
                left.insert(name.clone(), *id);
            }
        }
        Arc::new(left)
    }
}
