//! Repositories: `ADD https://….git#v1:dir`, and contexts that are repositories.
//!
//! ```text
//! name of a branch or tag ─► commit (asked of the server each time)
//!   commit, directory, what is kept ─► a layer of the cache? ─► its files
//!     └─ no: fetch that commit alone into the mirror ─► check it out ─► layer
//! ```
//!
//! The mirror is a cache mount of the repository's own, so that it is measured, pruned, and used by
//! one build at a time. What was checked out lies in it until it is a layer.
//!
//! # Invariants
//!
//! 1. What is in the layer depends on the commit, the directory and what is kept, and on no umask,
//!    clock or owner.
//! 2. Nothing is read outside of the checkout, whatever its links say.

mod program;

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use varve_build::{
    Ignore,
    git::without_password,
    plan::{CopyAction, CopySource, CopyStep, Destination, GitStep},
    select::Listing,
    solve::{
        Context, ContextRequest, CopyError, Fault, FileKind, FileStatus, Files, LayerTimes, StepId,
        Stream, TarFiles, Timestamps, write_copy,
    },
};
use varve_fs::{durable, root::Root, tar::Time};
use varve_store::{CacheKind, CacheMount, CacheMountRequest, CacheRecord, Sharing};
use varve_types::{DiffId, Digest, Kind, Printable};

use self::program::{From, Git};
use super::remote::Remotes;
use crate::error::io_kind;

/// The references that the mirror has of its own.
const KEPT: &str = "refs/kept";

/// A commit, and the name on the server that led to it: empty when the commit itself was given.
#[derive(Debug)]
struct Found {
    commit: String,
    name: String,
}

/// Since when a repository's files are as they are, for programs that compare times.
#[derive(Debug, Serialize, Deserialize)]
struct Since {
    key: Digest,
    seconds: i64,
}

impl Remotes<'_> {
    /// The files of a repository.
    pub(super) fn repository(&self, step: &GitStep, id: StepId) -> Result<Arc<dyn Files>, Fault> {
        let git = Git::new(self, &step.remote, id)?;
        let mount = self.mirror(&step.remote)?;
        let found = find(&git, mount.path(), step)?;
        if !step.checksum.is_empty() && !found.commit.starts_with(&step.checksum) {
            let (wanted, commit) = (Printable(&step.checksum), &found.commit);
            let text = format!("expected checksum to match {wanted}, got {commit}");
            return Err(Fault::new(Kind::Invalid, text));
        }
        let directory = clean(&step.subdirectory);
        let keeps_git = step.keep_git_dir && directory.is_empty();
        let key = key(step, &found.commit, &directory, keeps_git);
        let layer = if let Some(layer) = self.known_checkout(&key)? {
            layer
        } else {
            let checkout = Checkout { git: &git, place: mount.path(), step, keeps_git };
            let layer = checkout.layer(self, &found, &directory)?;
            self.remember_checkout(&key, layer, &step.remote, &found.commit)?;
            layer
        };
        let now = self.ctx.now();
        // Whatever went to make room, the layer stays.
        mount.finish(now).map_err(of_store)?;
        let time = self.unchanged_since(&step.remote, key)?;
        Ok(Arc::new(TarFiles::kept(&self.engine.store, &layer, time)?))
    }

    /// The directory in which a repository's objects are kept, for this build alone.
    fn mirror(&self, remote: &str) -> Result<CacheMount, Fault> {
        let id = format!("git repository {}", without_password(remote));
        let now = self.ctx.now();
        let request = CacheMountRequest { id: &id, sharing: Sharing::Locked, now };
        let goes_on = || !self.is_interrupted();
        let mount = self.engine.store.cache_mount(&request, &mut |_| Ok(()), &goes_on);
        let canceled = || Fault::new(Kind::Unavailable, "context canceled");
        let mount = mount.map_err(|error: varve_store::Error| of_store(error))?;
        mount.ok_or_else(canceled)
    }

    fn known_checkout(&self, key: &Digest) -> Result<Option<DiffId>, Fault> {
        let record = self.engine.store.cached(self.lease, key, self.ctx.now());
        Ok(record.map_err(of_store)?.and_then(|record| record.layer))
    }

    fn remember_checkout(
        &self,
        key: &Digest,
        layer: DiffId,
        remote: &str,
        commit: &str,
    ) -> Result<(), Fault> {
        let text = format!("git snapshot for {} {commit}", without_password(remote));
        let mut record = CacheRecord::new(*key, CacheKind::Git, text, self.ctx.now());
        record.layer = Some(layer);
        self.engine.store.remember(self.lease, &record, None).map(drop).map_err(of_store)
    }

    /// The time that programs see: when these files took the place of others. What comes back after
    /// something else was there must not look old.
    fn unchanged_since(&self, remote: &str, key: Digest) -> Result<Time, Fault> {
        let store = &self.engine.store;
        let place = Digest::of(format!("files of {}", without_password(remote)).as_bytes());
        let notes = store.context_notes(&place).map_err(of_store)?;
        let known: Option<Since> = notes.and_then(|notes| serde_json::from_slice(&notes).ok());
        let seconds = match known {
            Some(known) if known.key == key => known.seconds,
            _ => {
                let since = Since { key, seconds: self.ctx.now().as_second() };
                let notes =
                    serde_json::to_vec(&since).map_err(|e| Fault::new(Kind::Internal, e))?;
                store.keep_context_notes(&place, &notes).map_err(of_store)?;
                since.seconds
            }
        };
        Ok(Time { seconds, nanoseconds: 0 })
    }
}

fn of_store(error: varve_store::Error) -> Fault {
    Fault::new(error.kind(), error)
}

fn of_io(error: std::io::Error) -> Fault {
    Fault::new(io_kind(&error), error)
}

fn key(step: &GitStep, commit: &str, directory: &str, keeps_git: bool) -> Digest {
    // What a repository's address decides are its submodules, and what `.git` says.
    let parts = [
        "varve checkout 1",
        &without_password(&step.remote),
        commit,
        directory,
        if keeps_git { "with .git" } else { "" },
        if step.submodules { "with submodules" } else { "" },
    ];
    Digest::of(parts.join("\n").as_bytes())
}

/// A path without empty parts and dots. One with `..` was refused when the address was read.
fn clean(path: &str) -> String {
    let parts: Vec<&str> =
        path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    parts.join("/")
}

/// Which commit is meant. A branch wins over a tag of the same name, as with `git checkout`.
fn find(git: &Git<'_>, place: &Path, step: &GitStep) -> Result<Found, Fault> {
    let wanted = match (step.reference.as_str(), step.checksum.as_str()) {
        ("", commit) if is_commit(commit) => commit,
        (reference, _) => reference,
    };
    if is_commit(wanted) {
        return Ok(Found { commit: wanted.to_owned(), name: String::new() });
    }
    let shown = without_password(&step.remote);
    let below = |prefix: &str| format!("{prefix}{}", wanted.strip_prefix(prefix).unwrap_or(wanted));
    let (head, tag) = (below("refs/heads/"), below("refs/tags/"));
    let names = match wanted {
        "" => vec!["HEAD".to_owned()],
        _ => vec![below("refs/"), head, format!("{tag}^{{}}"), tag],
    };
    let mut words = vec!["ls-remote", "--", step.remote.as_str()];
    words.extend(names.iter().map(String::as_str));
    let output = git.run(place, From::Servers, &words).map_err(|fault| {
        Fault::new(fault.kind(), format!("failed to fetch remote {}: {fault}", Printable(&shown)))
    })?;
    let output = String::from_utf8_lossy(&output);
    let lines: BTreeMap<&str, &str> = output
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(id, name)| (name, id))
        .collect();
    let found = names.iter().find_map(|name| {
        let commit = lines.get(name.as_str()).filter(|id| is_commit(id))?;
        let name = name.trim_end_matches("^{}").to_owned();
        Some(Found { commit: (*commit).to_owned(), name })
    });
    let Some(found) = found else {
        let (shown, wanted) = (Printable(&shown), Printable(wanted));
        let text = match wanted.0 {
            "" => format!("error fetching default branch for repository {shown}"),
            _ => format!("repository {shown} does not contain ref {wanted}"),
        };
        return Err(Fault::new(Kind::NotFound, text));
    };
    git.tell(Stream::Output, format!("{}\t{}\n", found.commit, found.name).as_bytes());
    Ok(found)
}

/// Whether a text is the whole name of a commit.
fn is_commit(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    matches!(text.len(), 40 | 64) && text.bytes().all(hex)
}

/// A checkout that is to be made.
struct Checkout<'a> {
    git: &'a Git<'a>,
    /// The directory that is this build's alone.
    place: &'a Path,
    step: &'a GitStep,
    keeps_git: bool,
}

impl Checkout<'_> {
    /// Fetches a commit, checks it out, and makes a layer of what is there.
    fn layer(
        &self,
        remotes: &Remotes<'_>,
        found: &Found,
        directory: &str,
    ) -> Result<DiffId, Fault> {
        let kept = self.fetch(found).map_err(|fault| {
            let remote = without_password(&self.step.remote);
            let text = format!("failed to fetch remote {}: {fault}", Printable(&remote));
            Fault::new(fault.kind(), text)
        })?;
        let tree = self.place.join("checkout");
        // What a build left that was killed.
        discard(&tree)?;
        self.check_out(&tree, &kept, found)?;
        let layer = self.write(remotes, &tree, directory);
        discard(&tree)?;
        layer
    }

    fn mirror(&self) -> PathBuf {
        self.place.join("mirror")
    }

    /// Brings a commit into the mirror, alone where the server can do that; returns its name there.
    fn fetch(&self, found: &Found) -> Result<String, Fault> {
        let mirror = self.mirror();
        let (source, kept) = match found.name.as_str() {
            "" => (found.commit.clone(), format!("{KEPT}/commits/{}", found.commit)),
            name => (name.to_owned(), format!("{KEPT}/{}", name.trim_start_matches("refs/"))),
        };
        let has = || {
            let commit = format!("{}^{{commit}}", found.commit);
            let words = ["cat-file", "-e", &commit];
            self.git.run(&mirror, From::OurDirectories, &words).is_ok()
        };
        let remote = self.step.remote.as_str();
        let alone = format!("+{source}:{kept}");
        if mirror.join("HEAD").exists() || self.begin(&mirror).is_ok() {
            let words = ["fetch", "--quiet", "--no-tags", "--depth=1", "--", remote, &alone];
            let fetched = self.git.run(&mirror, From::Servers, &words);
            if fetched.is_ok() && has() {
                return self.keep(&kept, found);
            }
        }
        // The mirror is damaged, or the server gives no commit alone.
        discard(&mirror)?;
        self.begin(&mirror)?;
        let all = [format!("+refs/heads/*:{KEPT}/heads/*"), format!("+refs/tags/*:{KEPT}/tags/*")];
        let words = ["fetch", "--quiet", "--no-tags", "--", remote, &all[0], &all[1]];
        self.git.run(&mirror, From::Servers, &words)?;
        if !has() {
            let text = format!("the repository does not give commit {}", found.commit);
            return Err(Fault::new(Kind::NotFound, text));
        }
        self.keep(&kept, found)
    }

    /// Makes a name of the mirror stand for the commit, which by now may be another on the server.
    fn keep(&self, kept: &str, found: &Found) -> Result<String, Fault> {
        let words = ["update-ref", kept, &found.commit];
        self.git.run(&self.mirror(), From::OurDirectories, &words)?;
        Ok(kept.to_owned())
    }

    fn begin(&self, mirror: &Path) -> Result<(), Fault> {
        durable::create_directories_unsynced(mirror, 0o700).map_err(of_io)?;
        let words = ["init", "--quiet", "--bare", "--template="];
        self.git.run(mirror, From::OurDirectories, &words).map(drop)
    }

    /// Checks the commit out of the mirror, with its submodules.
    fn check_out(&self, tree: &Path, kept: &str, found: &Found) -> Result<(), Fault> {
        durable::create_directories_unsynced(tree, 0o700).map_err(of_io)?;
        let git = |words: &[&str]| self.git.run(tree, From::OurDirectories, words).map(drop);
        git(&["init", "--quiet", "--template="])?;
        // Of a branch or a tag, who looks into `.git` finds the name.
        let own = match found.name.strip_prefix("refs/") {
            Some(_) if self.keeps_git => format!("+{kept}:{}", found.name),
            _ => kept.to_owned(),
        };
        let fetch = ["fetch", "--quiet", "--no-tags", "--depth=1", "--update-head-ok", "../mirror"];
        git(&[&fetch[..], &[&own]].concat())?;
        git(&["remote", "add", "origin", &without_password(&self.step.remote)])?;
        git(&["checkout", "--quiet", "--force", "--detach", &found.commit])?;
        if self.step.submodules && tree.join(".gitmodules").symlink_metadata().is_ok() {
            git(&["remote", "set-url", "origin", &self.step.remote])?;
            let words = ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"];
            self.git.run(tree, From::Servers, &words).map_err(|fault| {
                let remote = without_password(&self.step.remote);
                let text =
                    format!("failed to update submodules for {}: {fault}", Printable(&remote));
                Fault::new(fault.kind(), text)
            })?;
            git(&["remote", "set-url", "origin", &without_password(&self.step.remote)])?;
        }
        if !self.keeps_git {
            return Ok(());
        }
        // What tells of this machine and this moment goes: the index is written anew without times.
        git(&["repack", "-adfq"])?;
        git(&["pack-refs", "--all"])?;
        for name in ["index", "FETCH_HEAD", "ORIG_HEAD"] {
            durable::unlink(&tree.join(".git").join(name)).map_err(of_io)?;
        }
        discard(&tree.join(".git/logs"))?;
        git(&["read-tree", "HEAD"])
    }

    /// Makes a layer of the files below a directory of the checkout.
    fn write(&self, remotes: &Remotes<'_>, tree: &Path, directory: &str) -> Result<DiffId, Fault> {
        let mut root = Root::open(tree).map_err(of_io)?;
        if !directory.is_empty() {
            root = root.open_directory(Path::new(directory)).map_err(|error| {
                let (shown, why) = (Printable(directory), super::failure::go_file_text(&error));
                let text = format!("failed to open subdir {shown}: {why}");
                Fault::new(io_kind(&error), text)
            })?;
        }
        // Nothing that git keeps can be called so.
        let ignored: &[u8] = if self.keeps_git { b"" } else { b"**/.git\n" };
        let ignore = Ignore::parse(ignored).map_err(|e| Fault::new(e.kind(), e))?;
        let now = Time { seconds: remotes.ctx.now().as_second(), nanoseconds: 0 };
        let request =
            ContextRequest { shown: tree, ignore: &ignore, paths: None, hashes: None, now };
        let files: Arc<dyn Files> = Arc::new(Checked(Context::open(root, &request)?));
        let times = LayerTimes { how: Timestamps::Epoch, epoch: Time::default() };
        let store = &remotes.engine.store;
        let (record, _) = store.write_cache_layer(remotes.lease, |out| {
            write_copy(&everything(), None, &[Some(files)], &times, out).map_err(WriteError::Copy)
        })?;
        Ok(record.summary.diff_id)
    }
}

/// Why a checkout could not be made a layer.
enum WriteError {
    Store(varve_store::Error),
    Copy(CopyError),
}

impl std::convert::From<varve_store::Error> for WriteError {
    fn from(error: varve_store::Error) -> Self {
        Self::Store(error)
    }
}

impl std::convert::From<WriteError> for Fault {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => of_store(error),
            WriteError::Copy(error) => Fault::new(error.kind(), error),
        }
    }
}

/// All files, where they are.
fn everything() -> CopyStep {
    let source = CopySource::Path("/".to_owned());
    CopyStep {
        base: None,
        actions: vec![CopyAction { from: None, source, unpack: false }],
        destination: Destination { path: "/".to_owned(), directory: true },
        owner: String::new(),
        mode: None,
        exclude: Vec::new(),
    }
}

fn discard(path: &Path) -> Result<(), Fault> {
    match durable::discard_tree(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(of_io),
    }
}

/// A checkout as git means it: of a file's mode only whether it can be executed counts.
struct Checked(Context);

impl Files for Checked {
    fn listing(&self) -> &Listing {
        self.0.listing()
    }

    fn status(&self, path: &str) -> Result<FileStatus, Fault> {
        let status = self.0.status(path)?;
        let mode = match status.kind {
            FileKind::File(_) if status.mode & 0o100 == 0 => 0o644,
            FileKind::Symlink(_) => 0o777,
            _ => 0o755,
        };
        Ok(FileStatus { mode, ..status })
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send + '_>, Fault> {
        self.0.open(path)
    }

    fn digest(&self, path: &str) -> Result<Digest, Fault> {
        self.0.digest(path)
    }
}
