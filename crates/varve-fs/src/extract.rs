//! A tree's files made in a directory: what the `directory` backend mounts, and what an export is.
//!
//! No path of the tree is ever joined to one of the host. Each directory is opened beneath the
//! handle of the target, through no symbolic link whoever made it (`openat2`), and each file is
//! made in its directory's handle by its name alone, where nothing may be yet. So whatever somebody
//! puts into the target meanwhile, nothing is written outside of it.
//!
//! ```text
//! queue of directories ──► threads: open it, make its files, make its directories, queue those
//! then, alone:             further names of files; attributes of the directories these lie in
//! ```
//!
//! Nothing is synced: the caller does that, once for all (`syncfs`), or marks the result as not
//! yet synced.

mod error;
mod node;
mod queue;
mod remove;

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};

use crate::{
    stack::Stack,
    tree::{Content, InodeId, Tree},
};

pub use crate::overlay::Marks;
pub use error::ExtractError;
pub use remove::{empty, remove};

use queue::Queue;

/// What is to be extracted, and how.
#[derive(Debug, Clone, Copy)]
pub struct Extraction<'a> {
    /// The tree.
    pub source: Source<'a>,
    /// How whiteouts and opaque directories are written.
    pub marks: Marks,
    /// Threads that make files, at least one.
    pub threads: usize,
}

/// A tree and its files' bytes.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// One layer and its tar. Hard links to files of other layers are left out: they are part of
    /// what [`Stack::mend`] gives.
    Layer(&'a Tree, &'a File),
    /// A merged tree and the tars of its layers, the lowest first.
    Stack(&'a Stack, &'a [File]),
}

/// What could not be made and did not have to be, as in Docker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extracted {
    /// Extended attributes that the file system or the user namespace refuses.
    pub xattrs_refused: u64,
    /// Devices that a user namespace may not make.
    pub devices_refused: u64,
}

/// Makes a tree's files in a directory, which gets the root's attributes. None of their names may
/// be there. Owners that cannot be expressed in this user namespace are kept in an attribute; without
/// marks, files that an ordinary user extracts are that user's. After an error, what was made so far is left; see [`remove`].
pub fn extract(request: &Extraction, target: BorrowedFd) -> Result<Extracted, ExtractError> {
    let links = Links::of(request.source.tree());
    let work = Work {
        request,
        target,
        links: &links,
        xattrs_refused: AtomicU64::new(0),
        devices_refused: AtomicU64::new(0),
    };
    let queue = Queue::new(Job { id: Tree::ROOT, path: Vec::new() });
    std::thread::scope(|scope| {
        for _ in 1..request.threads {
            scope.spawn(|| queue.work(|job| work.directory(job)));
        }
        queue.work(|job| work.directory(job));
    });
    queue.finish()?;
    work.further_names()?;
    Ok(Extracted {
        xattrs_refused: work.xattrs_refused.into_inner(),
        devices_refused: work.devices_refused.into_inner(),
    })
}

/// A directory that is there and empty, to be filled.
struct Job {
    id: InodeId,
    path: Vec<u8>,
}

struct Work<'a> {
    request: &'a Extraction<'a>,
    target: BorrowedFd<'a>,
    links: &'a Links,
    xattrs_refused: AtomicU64,
    devices_refused: AtomicU64,
}

/// What must wait until all files are made: names that are not the first of their file.
#[derive(Default)]
struct Links {
    /// Directory and name of each further name, with the first name's path.
    further: HashMap<(InodeId, Box<[u8]>), Vec<u8>>,
    /// The directories that get their attributes last, with their paths, those above first: there
    /// are further names in them, or they are closed to who makes them.
    directories: Vec<(InodeId, Vec<u8>)>,
    is_late: HashSet<InodeId>,
}

impl Links {
    fn of(tree: &Tree) -> Self {
        let mut links = Self::default();
        let mut first: HashMap<InodeId, Vec<u8>> = HashMap::new();
        let mut directories = vec![(Tree::ROOT, Vec::new())];
        while let Some((directory, path)) = directories.pop() {
            if tree.inode(directory).mode & 0o700 != 0o700 {
                links.add_directory(directory, &path);
            }
            for (name, child) in tree.children(directory) {
                let inode = tree.inode(child);
                if matches!(inode.content, Content::Directory(_)) {
                    directories.push((child, below(&path, name)));
                    continue;
                }
                if inode.links < 2 || matches!(inode.content, Content::ForeignHardLink(_)) {
                    continue;
                }
                if let Some(first) = first.get(&child) {
                    links.further.insert((directory, name.into()), first.clone());
                    links.add_directory(directory, &path);
                } else {
                    first.insert(child, below(&path, name));
                }
            }
        }
        links
    }

    fn add_directory(&mut self, id: InodeId, path: &[u8]) {
        if self.is_late.insert(id) {
            self.directories.push((id, path.to_vec()));
        }
    }
}

fn below(path: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
    [path, slash, name].concat()
}

impl Work<'_> {
    /// Fills a directory. Returns the directories in it.
    fn directory(&self, job: &Job) -> Result<Vec<Job>, ExtractError> {
        let tree = self.request.source.tree();
        let handle = self.open_directory(&job.path)?;
        let mut jobs = Vec::new();
        for (name, child) in tree.children(job.id) {
            if !self.links.is_late.is_empty()
                && self.links.further.contains_key(&(job.id, name.into()))
            {
                continue;
            }
            let is_directory = matches!(tree.inode(child).content, Content::Directory(_));
            let made = self.make(handle.as_fd(), name, child);
            made.map_err(|error| error.at(&below(&job.path, name)))?;
            if is_directory {
                jobs.push(Job { id: child, path: below(&job.path, name) });
            }
        }
        if !self.links.is_late.contains(&job.id) {
            self.finish_directory(handle.as_fd(), job.id).map_err(|error| error.at(&job.path))?;
        }
        Ok(jobs)
    }

    /// Makes the files' further names, then gives their directories the attributes that wait.
    fn further_names(&self) -> Result<(), ExtractError> {
        let tree = self.request.source.tree();
        for (directory, path) in &self.links.directories {
            let handle = self.open_directory(path)?;
            for (name, _) in tree.children(*directory) {
                let Some(first) = self.links.further.get(&(*directory, name.into())) else {
                    continue;
                };
                let (parent, first_name) = split(first);
                let from = self.open_directory(parent)?;
                match rustix::fs::linkat(&from, first_name, &handle, name, AtFlags::empty()) {
                    // A device that was refused has no first name either.
                    Err(rustix::io::Errno::NOENT) if self.has_refused_devices() => {}
                    linked => linked.map_err(|source| {
                        let path = below(path, name);
                        ExtractError::Io { action: "link", path, source: source.into() }
                    })?,
                }
            }
        }
        for (directory, path) in self.links.directories.iter().rev() {
            let handle = self.open_directory(path)?;
            self.finish_directory(handle.as_fd(), *directory).map_err(|error| error.at(path))?;
        }
        Ok(())
    }

    fn has_refused_devices(&self) -> bool {
        self.devices_refused.load(Ordering::Relaxed) > 0
    }

    fn open_directory(&self, path: &[u8]) -> Result<OwnedFd, ExtractError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = if path.is_empty() {
            rustix::fs::openat(self.target, c".", flags, Mode::empty())
        } else {
            let how = ResolveFlags::BENEATH
                | ResolveFlags::NO_SYMLINKS
                | ResolveFlags::NO_MAGICLINKS
                | ResolveFlags::NO_XDEV;
            rustix::fs::openat2(self.target, path, flags, Mode::empty(), how)
        };
        opened.map_err(|source| {
            let path = path.to_vec();
            ExtractError::Io { action: "open", path, source: source.into() }
        })
    }
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

impl<'a> Source<'a> {
    fn tree(&self) -> &'a Tree {
        match self {
            Source::Layer(tree, _) => tree,
            Source::Stack(stack, _) => stack.tree(),
        }
    }

    /// The tar that holds an inode's bytes.
    fn tar(&self, id: InodeId) -> &'a File {
        match self {
            Source::Layer(_, tar) => tar,
            Source::Stack(stack, tars) => &tars[stack.layer(id)],
        }
    }
}
