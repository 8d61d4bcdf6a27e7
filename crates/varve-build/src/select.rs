//! Which files of a tree a `COPY` takes, and under what names: over a list of paths, without files.

use std::collections::{BTreeSet, HashMap};

use varve_types::{Kind, limits};

use crate::{
    glob::{Glob, PatternError, clean, has_wildcards, join},
    go_text::quote,
    ignore::{Fits, Ignore, IgnoreError},
    plan::CopySource,
};

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A symbolic link, with its text.
    Symlink(String),
    /// A file, or something else that is copied as it is.
    File,
}

/// The paths of a tree, without a slash at their beginnings. The root is not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// In order, each path once.
    entries: Vec<(String, EntryKind)>,
}

/// How far from the last path the next one is looked for before the search begins.
const NEAR: usize = 8;

/// One thing that is taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// Its path in the tree, links followed; empty for the root.
    pub source: String,
    /// Where it goes.
    pub target: Target,
}

/// Where something goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The destination is a directory, and this is it: it gets nothing but its being there.
    Directory,
    /// Below the destination, which is a directory.
    Below(String),
    /// At the destination, or, where that is a directory, in it under this name.
    As(String),
}

/// Why files cannot be selected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// A path without wildcards leads nowhere.
    #[error("{}: not found", quote(.0))]
    NotFound(String),
    /// Links that lead to each other.
    #[error("{}: too many levels of symbolic links", quote(.0))]
    Links(String),
    /// A pattern that is none.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A pattern of `--exclude` or `--parents` that is none.
    #[error(transparent)]
    Exclude(#[from] IgnoreError),
}

impl SelectError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::Links(_) | Self::Pattern(_) => Kind::Invalid,
            Self::Exclude(cause) => cause.kind(),
        }
    }
}

impl FromIterator<(String, EntryKind)> for Listing {
    fn from_iter<I: IntoIterator<Item = (String, EntryKind)>>(entries: I) -> Self {
        let entries = entries.into_iter().filter(|(path, _)| !path.is_empty());
        let mut entries: Vec<(String, EntryKind)> = entries.collect();
        if !entries.is_sorted_by(|(one, _), (other, _)| one < other) {
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
            // Of the same path, the last one counts.
            entries.dedup_by(|later, earlier| {
                let is_same = later.0 == earlier.0;
                if is_same {
                    std::mem::swap(later, earlier);
                }
                is_same
            });
        }
        Self { entries }
    }
}

impl Listing {
    /// The paths in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &EntryKind)> {
        self.entries.iter().map(|(path, kind)| (path.as_str(), kind))
    }

    /// Where a path stands among the paths. Whoever asks for one after the other says where the last
    /// one stood, and need not wait for a search.
    pub(crate) fn place(&self, path: &str, last: usize) -> Option<usize> {
        let near = last.saturating_sub(NEAR)..self.entries.len().min(last + NEAR);
        let found = self.entries.get(near.clone()).unwrap_or_default();
        match found.iter().position(|(there, _)| there == path) {
            Some(place) => Some(near.start + place),
            None => self.find(path),
        }
    }

    fn find(&self, path: &str) -> Option<usize> {
        self.entries.binary_search_by(|(there, _)| there.as_str().cmp(path)).ok()
    }

    fn get(&self, path: &str) -> Option<&EntryKind> {
        self.find(path).map(|place| &self.entries[place].1)
    }

    /// The tree without what is ignored. Directories stay that hold something that stays.
    #[must_use]
    pub fn without(&self, ignore: &Ignore) -> Self {
        let mut walk = IgnoreWalk::new(ignore);
        let all: Vec<(&str, &EntryKind)> = self.iter().collect();
        let kept = all.iter().filter(|(path, _)| !walk.is_ignored(path)).map(|(path, _)| *path);
        let kept: Vec<&str> = kept.collect();
        let paths = with_parents(kept.into_iter());
        let kept = paths
            .into_iter()
            .filter_map(|path| self.get(path).map(|kind| (path.to_owned(), kind.clone())));
        kept.collect()
    }

    /// What lies in a directory, at any depth, with paths from there.
    fn below<'a>(&'a self, directory: &str) -> impl Iterator<Item = (&'a str, &'a EntryKind)> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let length = prefix.len();
        let from = self.entries.partition_point(|(path, _)| *path < prefix);
        let from = self.entries[from..].iter();
        from.take_while(move |(path, _)| path.starts_with(&prefix))
            .map(move |(path, kind)| (&path[length..], kind))
    }

    /// The path of what stands at a path once all links are followed, inside the tree; `None` for
    /// nothing.
    pub fn followed(&self, path: &str) -> Option<String> {
        self.resolve(path).ok().flatten().map(|(path, _)| path)
    }

    /// The path with all links followed, inside the tree, and what stands there: `None` for
    /// nothing, a directory for the root.
    fn resolve(&self, path: &str) -> Result<Option<(String, &EntryKind)>, SelectError> {
        let mut resolved = String::new();
        let mut kind = &EntryKind::Directory;
        let mut rest: Vec<String> = parts(&clean(&format!("/{path}")));
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                resolved.truncate(resolved.rfind('/').unwrap_or(0));
                kind = &EntryKind::Directory;
                continue;
            }
            let next = if resolved.is_empty() { part } else { format!("{resolved}/{part}") };
            match self.get(&next) {
                None => return Ok(None),
                Some(EntryKind::Symlink(target)) => {
                    links += 1;
                    if links > limits::LINK_DEPTH_MAX {
                        return Err(SelectError::Links(format!("/{}", path.trim_matches('/'))));
                    }
                    if target.starts_with('/') {
                        resolved.clear();
                    }
                    kind = &EntryKind::Directory;
                    rest.extend(parts(target));
                }
                Some(found) => {
                    if *found == EntryKind::File && !rest.is_empty() {
                        return Ok(None);
                    }
                    kind = found;
                    resolved = next;
                }
            }
        }
        Ok(Some((resolved, kind)))
    }

    /// Paths that fit a path or pattern, not those in a directory that fits.
    fn expand(&self, pattern: &str) -> Result<Vec<String>, SelectError> {
        let pattern = pattern.trim_matches('/');
        if !has_wildcards(pattern) {
            return Ok(vec![unescaped(pattern)]);
        }
        let parts: Vec<&str> = pattern.split('/').collect();
        let fixed = parts.iter().take_while(|part| !has_wildcards(part)).count();
        let (fixed, rest) = parts.split_at(fixed);
        let glob = Glob::parse(&rest.join("/"))?;
        let Some((directory, EntryKind::Directory)) = self.resolve(&fixed.join("/"))? else {
            return Ok(Vec::new());
        };
        let mut found: Vec<String> = Vec::new();
        for (path, _) in self.below(&directory).filter(|(path, _)| glob.matches(path)) {
            let path =
                if directory.is_empty() { path.to_owned() } else { format!("{directory}/{path}") };
            found.push(path);
        }
        Ok(found)
    }

    /// What one source of a copy takes, in order of paths. A pattern may take nothing.
    pub fn select(
        &self,
        source: &CopySource,
        exclude: &[String],
    ) -> Result<Vec<Taken>, SelectError> {
        let exclude = Ignore::patterns(exclude)?;
        let mut taken = Vec::new();
        match source {
            CopySource::All => self.take_tree("", &exclude, &mut taken),
            CopySource::Path(path) => {
                for path in self.expand(path)? {
                    self.take(&path, &exclude, &mut taken)?;
                }
            }
            CopySource::Parents { directory, pattern, required } => {
                let include = Ignore::patterns([pattern])?;
                for path in self.expand(directory)? {
                    let Some((directory, EntryKind::Directory)) = self.resolve(&path)? else {
                        continue;
                    };
                    self.take_fitting(&directory, &include, &exclude, &mut taken);
                }
                if *required && taken.is_empty() {
                    return Err(SelectError::NotFound(join(directory, pattern)));
                }
            }
        }
        Ok(taken)
    }

    fn take(
        &self,
        path: &str,
        exclude: &Ignore,
        taken: &mut Vec<Taken>,
    ) -> Result<(), SelectError> {
        let Some((source, kind)) = self.resolve(path)? else {
            return Err(SelectError::NotFound(clean(&format!("/{path}"))));
        };
        if *kind == EntryKind::Directory {
            self.take_tree(&source, exclude, taken);
            return Ok(());
        }
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if !exclude.matches(name) {
            taken.push(Taken { source, target: Target::As(name.to_owned()) });
        }
        Ok(())
    }

    /// What is in a directory.
    fn take_tree(&self, directory: &str, exclude: &Ignore, taken: &mut Vec<Taken>) {
        taken.push(Taken { source: directory.to_owned(), target: Target::Directory });
        if exclude.is_empty() {
            let all = self.below(directory).map(|(path, _)| Taken {
                source: join_below(directory, path),
                target: Target::Below(path.to_owned()),
            });
            taken.extend(all);
            return;
        }
        let mut walk = IgnoreWalk::new(exclude);
        let kept = self.below(directory).map(|(path, _)| path);
        let kept: Vec<&str> = kept.filter(|path| !walk.is_ignored(path)).collect();
        self.push(directory, kept, taken);
    }

    /// What fits in a directory, with the directories that it is in.
    fn take_fitting(
        &self,
        directory: &str,
        include: &Ignore,
        exclude: &Ignore,
        taken: &mut Vec<Taken>,
    ) {
        let (mut fitting, mut excluded) = (IgnoreWalk::new(include), IgnoreWalk::new(exclude));
        let kept = self.below(directory).map(|(path, _)| path);
        let kept: Vec<&str> =
            kept.filter(|path| fitting.is_ignored(path) && !excluded.is_ignored(path)).collect();
        self.push(directory, kept, taken);
    }

    fn push(&self, directory: &str, kept: Vec<&str>, taken: &mut Vec<Taken>) {
        for path in with_parents(kept.into_iter()) {
            let source = join_below(directory, path);
            if self.find(&source).is_some() {
                taken.push(Taken { source, target: Target::Below(path.to_owned()) });
            }
        }
    }
}

fn join_below(directory: &str, path: &str) -> String {
    if directory.is_empty() { path.to_owned() } else { format!("{directory}/{path}") }
}

/// The parts of a path, the last one first.
fn parts(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.rev().map(str::to_owned).collect()
}

/// A path whose wildcards are escaped, as it stands in the tree.
fn unescaped(pattern: &str) -> String {
    let mut chars = pattern.chars();
    let mut path = String::with_capacity(pattern.len());
    while let Some(c) = chars.next() {
        path.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    path
}

/// The paths and all directories that they are in.
fn with_parents<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut all = BTreeSet::new();
    for mut path in paths {
        while all.insert(path) {
            match path.rsplit_once('/') {
                Some((parent, _)) => path = parent,
                None => break,
            }
        }
    }
    all
}

/// Asks patterns path by path, and remembers what was answered for directories.
struct IgnoreWalk<'a> {
    ignore: &'a Ignore,
    directories: HashMap<String, Fits>,
}

impl<'a> IgnoreWalk<'a> {
    fn new(ignore: &'a Ignore) -> Self {
        Self { ignore, directories: HashMap::new() }
    }

    fn is_ignored(&mut self, path: &str) -> bool {
        if self.ignore.is_empty() {
            return false;
        }
        let fits = match path.rsplit_once('/') {
            Some((directory, _)) => self.fits(directory),
            None => Fits::default(),
        };
        self.ignore.matches_in(path, &fits).0
    }

    fn fits(&mut self, directory: &str) -> Fits {
        if let Some(fits) = self.directories.get(directory) {
            return fits.clone();
        }
        let mut fits = Fits::default();
        let ends = directory.match_indices('/').map(|(at, _)| at).chain([directory.len()]);
        for end in ends {
            fits = self.ignore.matches_in(&directory[..end], &fits).1;
        }
        self.directories.insert(directory.to_owned(), fits.clone());
        fits
    }
}
