//! What of a directory is found: what is not ignored, and what steps can take.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    thread,
};

use varve_fs::{
    root::Root,
    walk::{self, Choice, Found, FoundKind, WalkError},
};
use varve_types::limits;

use super::super::name::text_of;
use crate::{
    glob::{Glob, clean, has_wildcards},
    ignore::{Fits, Ignore},
};

/// More find no quicker, whatever the machine.
const THREADS_MAX: usize = 8;

/// Finds what steps can take with these paths, less what is ignored; with it the links that are on
/// the way, and all directories that anything of it lies in.
pub(super) fn find(
    root: &Root,
    ignore: &Ignore,
    paths: Option<&[String]>,
) -> Result<Vec<Found>, WalkError> {
    let mut search = Search { root, ignore, seen: Vec::new() };
    let Some(paths) = paths else {
        search.walk(b"", Fits::default())?;
        return Ok(search.finish());
    };
    let mut queue: Vec<Way> = Vec::new();
    for path in paths {
        let parts = clean(&format!("/{path}"));
        let rest = parts.split('/').filter(|part| !part.is_empty()).rev();
        let rest = rest.map(|part| Part { text: part.as_bytes().to_vec(), is_pattern: true });
        queue.push(Way { directory: Vec::new(), rest: rest.collect(), links: 0 });
    }
    while let Some(way) = queue.pop() {
        search.follow(way, &mut queue)?;
    }
    Ok(search.finish())
}

/// A path on the way: a directory that was found, and what is still to come, the next part last.
struct Way {
    directory: Vec<u8>,
    rest: Vec<Part>,
    /// Links followed so far.
    links: usize,
}

#[derive(Clone)]
struct Part {
    text: Vec<u8>,
    /// Whether wildcards count: it stands in a pattern, not in a link.
    is_pattern: bool,
}

struct Search<'a> {
    root: &'a Root,
    ignore: &'a Ignore,
    /// All that was looked at, some of it more than once, and whether it is not ignored.
    seen: Vec<(Found, bool)>,
}

impl Search<'_> {
    /// Goes one part further.
    fn follow(&mut self, mut way: Way, queue: &mut Vec<Way>) -> Result<(), WalkError> {
        let Some(part) = way.rest.pop() else {
            let fits = self.fits(&way.directory);
            return self.walk(&way.directory, fits);
        };
        let text = String::from_utf8_lossy(&part.text).into_owned();
        if part.is_pattern && has_wildcards(&text) {
            return self.fan_out(way, &text, queue);
        }
        if part.text == b".." {
            let up = way.directory.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
            way.directory.truncate(up);
            queue.push(way);
            return Ok(());
        }
        let name = if part.is_pattern { unescaped(&text).into_bytes() } else { part.text };
        let path = join(&way.directory, &name);
        if let Some(found) = walk::look(self.root, &path)? {
            self.go_on(found, way, queue);
        }
        Ok(())
    }

    /// Goes on with all names in a directory that fit a pattern.
    fn fan_out(&mut self, way: Way, pattern: &str, queue: &mut Vec<Way>) -> Result<(), WalkError> {
        let fits = self.fits(&way.directory);
        let glob = match Glob::parse(pattern) {
            Ok(glob) if !pattern.contains("**") => glob,
            // Whoever selects tells what is wrong with a pattern.
            _ => return self.walk(&way.directory, fits),
        };
        let choose = |(): &(), found: &Found| {
            let name = found.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
            if glob.matches(&text_of(name)) { Choice::Keep } else { Choice::Skip }
        };
        for found in walk::walk(self.root, &way.directory, (), 1, &choose)? {
            // Patterns lead through no links, only to them.
            let is_link = matches!(found.kind, FoundKind::Symlink(_));
            if way.rest.is_empty() || !is_link {
                let (directory, rest) = (way.directory.clone(), way.rest.clone());
                self.go_on(found, Way { directory, rest, links: way.links }, queue);
            }
        }
        Ok(())
    }

    /// Takes what was found at the end of a way, or goes on from there.
    fn go_on(&mut self, found: Found, way: Way, queue: &mut Vec<Way>) {
        let Way { directory, mut rest, links } = way;
        let path = found.path.clone();
        match &found.kind {
            FoundKind::Directory => queue.push(Way { directory: path.clone(), rest, links }),
            FoundKind::Symlink(text) => {
                let parts = text.split(|&byte| byte == b'/');
                let parts = parts.filter(|part| !part.is_empty() && *part != b".").rev();
                rest.extend(parts.map(|part| Part { text: part.to_vec(), is_pattern: false }));
                let is_absolute = text.first() == Some(&b'/');
                let directory = if is_absolute { Vec::new() } else { directory };
                // Links that lead to each other are an error of whoever takes them.
                if links < limits::LINK_DEPTH_MAX {
                    queue.push(Way { directory, rest, links: links + 1 });
                }
            }
            // Nothing is in a file.
            _ if !rest.is_empty() => return,
            _ => {}
        }
        let is_kept = found.kind != FoundKind::Socket && !self.is_ignored(&path);
        self.seen.push((found, is_kept));
    }

    /// Finds all in a directory.
    fn walk(&mut self, directory: &[u8], fits: Fits) -> Result<(), WalkError> {
        // Those that are walked although they are ignored, because something in them may not be.
        let ignored = Mutex::new(HashSet::new());
        let choose = |fits: &Fits, found: &Found| {
            let text = text_of(&found.path);
            let (is_ignored, fits) = if self.ignore.is_empty() {
                (false, Fits::default())
            } else {
                self.ignore.matches_in(&text, fits)
            };
            let is_directory = found.kind == FoundKind::Directory;
            if found.kind == FoundKind::Socket
                || is_ignored && !(is_directory && self.ignore.may_hold(&text))
            {
                return Choice::Skip;
            }
            if is_ignored {
                let mut ignored = ignored.lock().unwrap_or_else(PoisonError::into_inner);
                ignored.insert(found.path.clone());
            }
            if is_directory { Choice::Enter(fits) } else { Choice::Keep }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let found = walk::walk(self.root, directory, fits, threads, &choose)?;
        let ignored = ignored.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.seen.extend(found.into_iter().map(|found| {
            let is_kept = ignored.is_empty() || !ignored.contains(&found.path);
            (found, is_kept)
        }));
        Ok(())
    }

    fn is_ignored(&self, path: &[u8]) -> bool {
        self.ignore.matches(&text_of(path))
    }

    /// Which patterns fit a directory.
    fn fits(&self, directory: &[u8]) -> Fits {
        let text = text_of(directory);
        let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
        let ends = ends.filter(|end| *end > 0 && !self.ignore.is_empty());
        ends.fold(Fits::default(), |fits, end| self.ignore.matches_in(&text[..end], &fits).1)
    }

    /// What is kept, with the directories that it lies in, in the order of paths.
    fn finish(mut self) -> Vec<Found> {
        self.seen.sort_unstable_by(|(one, kept), (other, other_kept)| {
            one.path.cmp(&other.path).then(other_kept.cmp(kept))
        });
        // Of the same path, the one that is kept comes first.
        self.seen.dedup_by(|(one, _), (other, _)| one.path == other.path);
        if self.seen.iter().all(|(_, is_kept)| *is_kept) {
            return self.seen.into_iter().map(|(found, _)| found).collect();
        }
        let mut holding = HashSet::new();
        for (found, _) in self.seen.iter().filter(|(_, is_kept)| *is_kept) {
            let mut path = found.path.as_slice();
            while let Some(slash) = path.iter().rposition(|&byte| byte == b'/') {
                path = &path[..slash];
                if !holding.insert(path.to_vec()) {
                    break;
                }
            }
        }
        let kept = self.seen.into_iter();
        let kept = kept.filter(|(found, is_kept)| *is_kept || holding.contains(&found.path));
        kept.map(|(found, _)| found).collect()
    }
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// A part whose wildcards are escaped, as it stands in the directory.
fn unescaped(pattern: &str) -> String {
    let mut chars = pattern.chars();
    let mut name = String::with_capacity(pattern.len());
    while let Some(c) = chars.next() {
        name.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    name
}
