//! What an upper directory changes of the tree below it, for people: Docker's `diff`.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use varve_types::limits;

use super::{UpperError, names, open_directory, xattrs::Xattrs};
use crate::{
    diff::ChangeKind,
    overlay::Marks,
    tree::{Content, InodeId, Tree},
};

/// A path that the upper directory adds, changes or takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpperChange {
    /// The path, without a slash in front.
    pub path: Vec<u8>,
    /// What becomes of it.
    pub kind: ChangeKind,
}

/// Lists what an upper directory, whose overlay was mounted with `marks`, changes of the `lower`
/// tree: by type, mode, owner, size and time, no bytes are read. A directory in which something is
/// changed is changed itself; of one that is gone only its own path is listed. A directory stands
/// before what it holds, siblings in the order of their names.
pub fn changes(
    upper: BorrowedFd,
    marks: Marks,
    lower: &Tree,
) -> Result<Vec<UpperChange>, UpperError> {
    let mut walk = Walk { upper, xattrs: Xattrs::new(marks), lower, changes: Vec::new() };
    let mut pending =
        vec![Step::Enter { path: Vec::new(), below: Some(Tree::ROOT), is_opaque: false }];
    while let Some(step) = pending.pop() {
        match step {
            Step::Enter { path, below, is_opaque } => {
                let steps = walk.directory(&path, below, is_opaque)?;
                pending.extend(steps.into_iter().rev());
            }
            Step::Changed { path, kind } => walk.changes.push(UpperChange { path, kind }),
            Step::IfChanged { path, at } => {
                if walk.changes.len() > at {
                    walk.changes.insert(at, UpperChange { path, kind: ChangeKind::Changed });
                }
            }
            Step::Mark { path } => {
                let at = walk.changes.len();
                // What it holds has been pushed below this, and comes first.
                let inner = pending.pop();
                pending.push(Step::IfChanged { path, at });
                pending.extend(inner);
            }
        }
    }
    Ok(walk.changes)
}

/// What is still to be done; the last one first.
enum Step {
    /// To look into a directory.
    Enter { path: Vec<u8>, below: Option<InodeId>, is_opaque: bool },
    /// To say so.
    Changed { path: Vec<u8>, kind: ChangeKind },
    /// To remember how much has been said, before the step after this one.
    Mark { path: Vec<u8> },
    /// To say of a directory that it is changed, if something was said since.
    IfChanged { path: Vec<u8>, at: usize },
}

/// What has the same path in the lower tree.
struct Below {
    inode: Option<InodeId>,
    /// Whether an opaque directory above hides what is in it.
    is_hidden: bool,
}

struct Walk<'a> {
    upper: BorrowedFd<'a>,
    xattrs: Xattrs,
    lower: &'a Tree,
    changes: Vec<UpperChange>,
}

impl Walk<'_> {
    fn directory(
        &mut self,
        path: &[u8],
        below: Option<InodeId>,
        is_opaque: bool,
    ) -> Result<Vec<Step>, UpperError> {
        let directory = open_directory(self.upper, path)?;
        let mut steps = Vec::new();
        let names: Vec<Vec<u8>> = names(&directory, path)?.collect();
        let mut hidden = self.hidden(below.filter(|_| is_opaque), &names).into_iter().peekable();
        for name in &names {
            while let Some(gone) = hidden.next_if(|gone| gone < name) {
                steps.push(deleted(path, &gone));
            }
            let path = join(path, name);
            if path.len() > limits::PATH_SIZE_BYTES_MAX {
                let limit = limits::PATH_SIZE_BYTES_MAX as u64;
                return Err(UpperError::Limit { what: "bytes of a path", limit });
            }
            let inode = below.and_then(|below| self.lower.child(below, name));
            let below = Below { inode, is_hidden: is_opaque };
            self.entry(directory.as_fd(), name, path, below, &mut steps)?;
        }
        steps.extend(hidden.map(|gone| deleted(path, &gone)));
        Ok(steps)
    }

    /// What an opaque directory hides of the one below it.
    fn hidden(&self, below: Option<InodeId>, names: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let children = below.into_iter().flat_map(|below| self.lower.children(below));
        let is_gone = |name: &&[u8]| names.binary_search_by(|it| it.as_slice().cmp(name)).is_err();
        children.map(|(name, _)| name).filter(is_gone).map(<[u8]>::to_vec).collect()
    }

    fn entry(
        &mut self,
        directory: BorrowedFd,
        name: &[u8],
        path: Vec<u8>,
        Below { inode: below, is_hidden }: Below,
        steps: &mut Vec<Step>,
    ) -> Result<(), UpperError> {
        let failed = UpperError::io("read", &path);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::statat(&node, "", AtFlags::EMPTY_PATH).map_err(failed)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let found = self.xattrs.read(&format!("/proc/self/fd/{}", node.as_raw_fd()), &path)?;
        let stat = found.facts(stat);
        let is_whiteout = kind == FileType::CharacterDevice && stat.st_rdev == 0
            || found.is_whiteout && kind == FileType::RegularFile && stat.st_size == 0;
        if is_whiteout {
            if below.is_some() {
                steps.push(Step::Changed { path, kind: ChangeKind::Deleted });
            }
            return Ok(());
        }
        if kind != FileType::Directory {
            match below {
                None => steps.push(Step::Changed { path, kind: ChangeKind::Added }),
                Some(below) if self.differs(below, &stat, kind) => {
                    steps.push(Step::Changed { path, kind: ChangeKind::Changed });
                }
                Some(_) => {}
            }
            return Ok(());
        }
        let below_directory =
            below.filter(|id| matches!(self.lower.inode(*id).content, Content::Directory(_)));
        // What an opaque directory hides is hidden at any depth.
        let is_opaque = is_hidden || found.is_opaque;
        let enter = Step::Enter { path: path.clone(), below: below_directory, is_opaque };
        match below {
            None => steps.push(Step::Changed { path, kind: ChangeKind::Added }),
            Some(below) if self.differs(below, &stat, kind) => {
                steps.push(Step::Changed { path, kind: ChangeKind::Changed });
            }
            Some(_) => steps.push(Step::Mark { path }),
        }
        steps.push(enter);
        Ok(())
    }

    /// Whether a file is another one than below: it may have been copied up and left alone.
    fn differs(&self, below: InodeId, stat: &Stat, kind: FileType) -> bool {
        let inode = self.lower.inode(below);
        let of_type = match &inode.content {
            Content::File(_) => FileType::RegularFile,
            Content::Directory(_) => FileType::Directory,
            Content::Symlink(_) => FileType::Symlink,
            Content::CharacterDevice(_) => FileType::CharacterDevice,
            Content::BlockDevice(_) => FileType::BlockDevice,
            Content::Fifo => FileType::Fifo,
            _ => return true,
        };
        let attributes = (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid);
        if of_type != kind || attributes != (inode.mode, inode.uid, inode.gid) {
            return true;
        }
        let is_later = stat.st_mtime != inode.mtime.seconds;
        match &inode.content {
            Content::Directory(_) => false,
            Content::File(bytes) => is_later || bytes.size != stat.st_size as u64,
            _ => is_later,
        }
    }
}

fn deleted(path: &[u8], name: &[u8]) -> Step {
    Step::Changed { path: join(path, name), kind: ChangeKind::Deleted }
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
    [path, slash, name].concat()
}
