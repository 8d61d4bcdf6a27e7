//! The two ends of a copy, by Docker's rules for paths.
//!
//! ```text
//! destination     source      what comes of it
//! a directory     any         DESTINATION/NAME; of NAME/. what is in it
//! a file          a file      is replaced
//! a file          a directory refused
//! nothing         a directory it is called so
//! nothing         a file      it is called so; with a slash at the end refused
//! ```

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::FileTypeExt as _},
    },
    path::Path,
};

use rustix::fs::FileType;
use varve_fs::root::Root;

use super::CopyOut;
use crate::{Error, Result, container::ContainerError};

/// Links at the end of a path that are followed, as in Docker.
const LINKS_MAX: usize = 10;

/// What is copied.
#[derive(Debug)]
pub(super) struct Source {
    /// The directory it is in; or itself, when it is one.
    directory: OwnedFd,
    /// Its name there; `.` of a directory.
    name: Vec<u8>,
    /// What it is called by whoever copies it.
    base: Vec<u8>,
    is_directory: bool,
    /// Where it is: the container, or the path on the host.
    owner: String,
}

/// Where it is copied to.
#[derive(Debug)]
pub(super) struct Destination {
    directory: String,
    base: String,
    /// Whether something is there; whether that is a directory.
    there: Option<bool>,
    /// Whether the path says that it is a directory.
    wants_directory: bool,
}

impl Source {
    /// What lies at a path of a container.
    pub(super) fn in_container(root: &Root, request: CopyOut<'_>) -> Result<Self> {
        let missing = |error: io::Error| -> Error {
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ContainerError::NoFile {
                    path: request.path.to_owned(),
                    container: request.container.to_owned(),
                }
                .into(),
                _ => {
                    let path = request.path.to_owned();
                    Error::File { action: "lstat", path, source: error }
                }
            }
        };
        let mut path = absolute(request.path);
        let base = base_of(&path).to_owned();
        if request.follow_link {
            path = followed(root, path);
        }
        let stat = root.stat(Path::new(&path)).map_err(missing)?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let (parent, name) = split(&path);
        let (place, name) = if is_directory { (&*path, ".") } else { (&*parent, &*name) };
        Ok(Self {
            directory: root.open_to_change(Path::new(place)).map_err(missing)?,
            name: name.as_bytes().to_vec(),
            base: base.into_bytes(),
            is_directory,
            owner: request.container.to_owned(),
        })
    }

    /// What lies at a path of the host.
    pub(super) fn on_host(path: &str, follow_link: bool) -> Result<Self> {
        let cleaned = clean_with_end(path);
        let failed = |action, path: &str| {
            let path = path.to_owned();
            move |source| Error::File { action, path, source }
        };
        let facts =
            if follow_link { fs::metadata(&cleaned) } else { fs::symlink_metadata(&cleaned) };
        let facts = facts.map_err(failed("lstat", &cleaned))?;
        let resolved = if follow_link {
            let resolved = fs::canonicalize(&cleaned).map_err(failed("lstat", &cleaned))?;
            resolved.to_string_lossy().into_owned()
        } else {
            cleaned.clone()
        };
        let is_directory = facts.is_dir();
        let (parent, name) = split(&resolved);
        let (place, name) = if is_directory { (&*resolved, ".") } else { (&*parent, &*name) };
        Ok(Self {
            directory: File::open(place).map_err(failed("open", place))?.into(),
            name: name.as_bytes().to_vec(),
            base: base_of(&cleaned).as_bytes().to_vec(),
            is_directory,
            owner: cleaned,
        })
    }

    /// The directory it is in, and its name there.
    pub(super) fn place(&self) -> (BorrowedFd<'_>, &[u8]) {
        (self.directory.as_fd(), &self.name)
    }

    /// Its name.
    pub(super) fn base(&self) -> &[u8] {
        &self.base
    }

    /// Where it is, for messages.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }
}

impl Destination {
    /// A path of the host.
    pub(super) fn on_host(path: &str) -> Result<Self> {
        let cleaned = clean_with_end(path);
        let parent = split(&cleaned).0;
        if !Path::new(&parent).exists() {
            let text = format!("invalid output path: directory {parent:?} does not exist");
            return Err(Error::Copy(text));
        }
        let mut place = cleaned.clone();
        for _ in 0..LINKS_MAX {
            let Ok(text) = fs::read_link(place.trim_end_matches('/')) else { break };
            place = beside(&place, text.as_os_str());
        }
        let there = fs::symlink_metadata(&place).ok();
        if let Some(facts) = &there {
            let kind = facts.file_type();
            if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() {
                let text = format!(
                    "invalid output path: {cleaned:?} must be a directory or a regular file"
                );
                return Err(Error::Copy(text));
            }
        }
        Ok(Self::new(&place, there.map(|facts| facts.is_dir())))
    }

    /// A path of a container.
    pub(super) fn in_container(root: &Root, path: &str) -> Self {
        let place = followed(root, absolute(path));
        let there = match root.stat(Path::new(&place)) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
            Err(_) => None,
        };
        Self::new(&place, there)
    }

    fn new(path: &str, there: Option<bool>) -> Self {
        let (parent, base) = split(path);
        let directory = if there == Some(true) { path.to_owned() } else { parent };
        let wants_directory = path.ends_with('/') || path.ends_with("/.");
        Self { directory, base, there, wants_directory }
    }

    /// Where the tar is to be unpacked.
    pub(super) fn directory(&self) -> &str {
        &self.directory
    }

    /// Whether a directory is there.
    pub(super) fn is_directory(&self) -> bool {
        self.there == Some(true)
    }

    /// What the source is to be called there.
    pub(super) fn name_of(&self, source: &Source) -> Result<Vec<u8>> {
        let base = self.base.as_bytes().to_vec();
        match (self.there, source.is_directory) {
            (Some(true), _) => Ok(source.base.clone()),
            (Some(false), true) => Err(Error::Copy("cannot copy directory".to_owned())),
            (None, false) if self.wants_directory => {
                Err(Error::Copy("no such directory".to_owned()))
            }
            _ => Ok(base),
        }
    }
}

/// A path of a container from its root, with what its end says.
fn absolute(path: &str) -> String {
    clean_with_end(&format!("/{path}"))
}

/// The path with the links at its end followed, also to where nothing is.
fn followed(root: &Root, mut path: String) -> String {
    for _ in 0..LINKS_MAX {
        let Ok(text) = root.read_link(Path::new(path.trim_end_matches('/'))) else { break };
        path = beside(&path, &text);
    }
    path
}

/// What a link's text means beside the link.
fn beside(path: &str, text: &OsStr) -> String {
    let text = String::from_utf8_lossy(text.as_bytes());
    if text.starts_with('/') {
        return clean_with_end(&text);
    }
    let (parent, _) = split(path.trim_end_matches('/'));
    clean_with_end(&format!("{parent}/{text}"))
}

/// An absolute path without double slashes and dots; `..` goes up, and stays at the root.
pub(in crate::container) fn clean_absolute(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The same, keeping a slash or a dot at its end, which have a meaning of their own.
fn clean_with_end(path: &str) -> String {
    let cleaned = clean_absolute(path);
    if path.ends_with("/.") || path == "." {
        return format!("{}/.", cleaned.trim_end_matches('/'));
    }
    if path.ends_with('/') && cleaned != "/" { format!("{cleaned}/") } else { cleaned }
}

/// A path's last part; `.` of one that means what is in a directory.
fn base_of(path: &str) -> &str {
    if path.ends_with("/.") {
        return ".";
    }
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if name.is_empty() { "." } else { name }
}

/// The directory that a path's last part is in, and that part.
fn split(path: &str) -> (String, String) {
    if let Some(directory) = path.strip_suffix("/.") {
        let directory = if directory.is_empty() { "/" } else { directory };
        return (directory.to_owned(), ".".to_owned());
    }
    let path = path.trim_end_matches('/');
    match path.rsplit_once('/') {
        Some(("", name)) => ("/".to_owned(), name.to_owned()),
        Some((parent, name)) => (parent.to_owned(), name.to_owned()),
        None => ("/".to_owned(), ".".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_path_keeps_its_meaning() {
        for (path, cleaned, base) in [
            ("/a//b/../c", "/a/c", "c"),
            ("/a/", "/a/", "a"),
            ("/a/.", "/a/.", "."),
            ("/", "/", "."),
            ("/../..", "/", "."),
            ("/a/./b/.", "/a/b/.", "."),
        ] {
            assert_eq!(clean_with_end(path), cleaned, "{path}");
            assert_eq!(base_of(&clean_with_end(path)), base, "{path}");
        }
        let split = |path| split(path);
        assert_eq!(split("/a/b/"), ("/a".to_owned(), "b".to_owned()));
        assert_eq!(split("/a/b/."), ("/a/b".to_owned(), ".".to_owned()));
        assert_eq!(split("/a"), ("/".to_owned(), "a".to_owned()));
        assert_eq!(beside("/a/link", OsStr::new("../b")), "/b");
        assert_eq!(beside("/a/link/", OsStr::new("/c/")), "/c/");
    }
}
