//! Which backend works, found out by using it.
//!
//! What works depends on the kernel, on the file system that the store lies on and on who we are,
//! and no version number tells. So two tiny layers are made where the store is, shown by one
//! backend after the other and put one upon the other, with an upper over them: the first with
//! which all of that is right is taken.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Backend, BackendError, BackendKind, Directory, Erofs, ErofsLoop, LayerFiles};
use crate::{
    durable,
    erofs::{self, BlockSize},
    extract::Source,
    layer::LayerParser,
    mount::{InUse, Marks, Mount, Overlay, Upper, table::Table, unmount},
    tar::{NewEntry, Writer},
    tree::Tree,
};

/// What was found out, as data: it may be kept and used again as long as it
/// [`holds`](Self::holds_for), and tells what it was found out with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probed {
    /// The best backend that works.
    pub kind: BackendKind,
    /// The attributes that overlays use with it.
    pub marks: Marks,
    /// Where overlays may have their uppers.
    pub uppers: Uppers,
    /// Better backends, and why they do not work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
    /// Names the boot of the kernel.
    pub boot_id: String,
    /// Device number of the file system that the store lies on.
    pub device: u64,
    /// Inode of the user namespace, when it is the machine's first; 0 for any other: what works is the
    /// same in all that a user makes.
    pub user_namespace: u64,
}

/// Where overlays may have their uppers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uppers {
    /// On the store's own file system.
    Here,
    /// Not there (it is an overlay itself, or a network's): another must be found, such as a
    /// tmpfs; [`check_upper`] tries a place.
    Elsewhere,
}

/// A backend that does not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Which.
    pub kind: BackendKind,
    /// Why not: the error and its causes.
    pub why: String,
}

/// Finds the best backend for a store, or tries the `wanted` one alone, which is an error when it
/// does not work.
///
/// `place` is a path in the store that is ours alone; the caller holds a lock. It is made and
/// taken away again, as is whatever lies or is mounted there of a probe that was killed.
pub fn probe(place: &Path, wanted: Option<BackendKind>) -> Result<Probed, BackendError> {
    let trial = Trial::begin(place)?;
    let kinds = wanted.as_ref().map_or(&BackendKind::ALL[..], std::slice::from_ref);
    let mut passed_over = Vec::new();
    for &kind in kinds {
        match trial.kind(kind) {
            Ok((marks, uppers)) => {
                let (boot_id, device, user_namespace) = circumstances(place)?;
                trial.end()?;
                return Ok(Probed {
                    kind,
                    marks,
                    uppers,
                    passed_over,
                    boot_id,
                    device,
                    user_namespace,
                });
            }
            Err(error) if wanted.is_some() => {
                return Err(BackendError::Unusable { kind, source: Box::new(error) });
            }
            Err(error) => passed_over.push(PassedOver { kind, why: in_full(&error) }),
        }
    }
    Err(BackendError::NoneUsable { tried: passed_over })
}

/// Tries whether overlays may have their uppers at a place, which is as in [`probe`].
pub fn check_upper(place: &Path, marks: Marks) -> Result<(), BackendError> {
    let trial = Trial::begin(place)?;
    trial.upper_alone(marks)?;
    trial.end()
}

impl Probed {
    /// The backend.
    pub fn backend(&self) -> Box<dyn Backend> {
        match self.kind {
            BackendKind::Erofs => Box::new(Erofs),
            BackendKind::ErofsLoop => Box::new(ErofsLoop),
            BackendKind::Directory => Box::new(Directory { marks: self.marks }),
        }
    }

    /// Whether it still says what a new probe would: the kernel is the same and was not started
    /// again, we are in the same user namespace, and the store, in which `directory` is, lies on
    /// the same file system.
    pub fn holds_for(&self, directory: &Path) -> Result<bool, BackendError> {
        let (boot_id, device, user_namespace) = circumstances(directory)?;
        Ok((self.boot_id == boot_id)
            && (self.device, self.user_namespace) == (device, user_namespace))
    }
}

fn circumstances(directory: &Path) -> Result<(String, u64, u64), BackendError> {
    const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
    const USER_NAMESPACE: &str = "/proc/self/ns/user";
    const USERS: &str = "/proc/self/uid_map";
    let boot_id = fs::read_to_string(BOOT_ID);
    let boot_id = boot_id.map_err(BackendError::at("read", Path::new(BOOT_ID)))?;
    let number = |path: &Path| path.metadata().map_err(BackendError::at("read", path));
    let device = number(directory)?.dev();
    let map = fs::read_to_string(USERS).map_err(BackendError::at("read", Path::new(USERS)))?;
    let is_first = map.split_whitespace().eq(["0", "0", "4294967295"]);
    let namespace = if is_first { number(Path::new(USER_NAMESPACE))?.ino() } else { 0 };
    Ok((boot_id.trim().to_owned(), device, namespace))
}

/// An error and its causes in one line.
fn in_full(error: &BackendError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The tiny layers, the lower one first. The file's data is in a block of the tar.
const CONTENT: &str =
    "the data of a file that lies in the tar and fills more than one of its blocks";
const LOWER: &[&str] = &["gone", "d/", "d/hidden", "kept"];
const HIGHER: &[&str] = &[".wh.gone", "d/", "d/.wh..wh..opq", "d/seen"];

/// A layer to be tried: its files lie in a directory of their own.
struct TrialLayer {
    tree: Tree,
    tar: File,
    paths: [PathBuf; 3],
}

/// A place in which backends are tried; emptied when it goes.
struct Trial<'a> {
    place: &'a Path,
    layers: [TrialLayer; 2],
}

impl<'a> Trial<'a> {
    fn begin(place: &'a Path) -> Result<Self, BackendError> {
        clean(place)?;
        let begin = || {
            make(place)?;
            let layers = [
                TrialLayer::new(&place.join("lower"), LOWER)?,
                TrialLayer::new(&place.join("higher"), HIGHER)?,
            ];
            Ok(Self { place, layers })
        };
        begin().inspect_err(|_| drop(clean(place)))
    }

    /// Ends, and tells when something could not be taken away.
    fn end(self) -> Result<(), BackendError> {
        clean(self.place)
    }

    /// Tries a backend; returns the marks with which it works, and where uppers may be.
    fn kind(&self, kind: BackendKind) -> Result<(Marks, Uppers), BackendError> {
        match kind {
            BackendKind::Erofs => Ok((Marks::Trusted, self.backend(&Erofs)?)),
            BackendKind::ErofsLoop => Ok((Marks::Trusted, self.backend(&ErofsLoop)?)),
            BackendKind::Directory => {
                let all = [Marks::Trusted, Marks::User, Marks::UserAttributes];
                let mut works = None;
                let mut last = None;
                for marks in all {
                    match self.backend(&Directory { marks }) {
                        Ok(Uppers::Here) => return Ok((marks, Uppers::Here)),
                        Ok(uppers) => works = works.or(Some((marks, uppers))),
                        Err(error) => last = Some(error),
                    }
                }
                works.ok_or_else(|| last.expect("either something works or not"))
            }
        }
    }

    fn backend(&self, backend: &dyn Backend) -> Result<Uppers, BackendError> {
        let round = self.place.join("round");
        clean(&round)?;
        make(&round)?;
        let tried = self.round(backend, &round);
        clean(&round)?;
        tried
    }

    fn round(&self, backend: &dyn Backend, round: &Path) -> Result<Uppers, BackendError> {
        let mut lowers = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let [index, tar, _] = &layer.paths;
            let (tree, place) =
                (round.join(format!("tree{number}")), round.join(format!("{number}")));
            make(&place)?;
            let files = LayerFiles { index, tar: Some(tar), tree: &tree };
            let prepared = backend.prepare(&files, Source::Layer(&layer.tree, &layer.tar), 1)?;
            if prepared.xattrs_refused > 0 {
                return Err(BackendError::WrongOverlay);
            }
            lowers.push(backend.attach(&files, &place)?);
        }
        let marks = backend.marks();
        let writable = overlay(round, &lowers, marks, true);
        if writable.and_then(|merged| check_written(&merged, round)).is_ok() {
            return Ok(Uppers::Here);
        }
        let merged = overlay(round, &lowers, marks, false)?;
        check_merged(&merged).map(|()| Uppers::Elsewhere)
    }

    /// Tries an upper over a lower that is extracted beside it and hides nothing.
    fn upper_alone(&self, marks: Marks) -> Result<(), BackendError> {
        let lower = self.place.join("plain");
        make(&lower)?;
        write(&lower.join("kept"), CONTENT)?;
        let merged = overlay(self.place, &[lower], marks, true)?;
        check_upper_takes(&merged)
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        // Whoever minds has called `end`; after an error there is one to tell already.
        let _ = clean(self.place);
    }
}

impl TrialLayer {
    fn new(directory: &Path, paths: &[&str]) -> Result<Self, BackendError> {
        make(directory)?;
        let names = ["index.erofs", "layer.tar", "tree"].map(|name| directory.join(name));
        let mut writer = Writer::new(Vec::new());
        let content = CONTENT.repeat(20);
        let mut written = Ok(());
        for path in paths {
            let is_empty = path.ends_with('/') || path.contains(".wh.");
            let data = if is_empty { "" } else { &*content };
            let entry = if path.ends_with('/') {
                NewEntry::directory(path.as_bytes())
            } else {
                NewEntry::file(path.as_bytes(), data.len() as u64)
            };
            written = written.and_then(|()| writer.append_bytes(&entry, data.as_bytes()));
        }
        let failed = BackendError::at("write", &names[1]);
        let tar = written.and_then(|()| writer.finish()).map_err(failed)?;
        let mut parser = LayerParser::new();
        let parsed = parser.update(&tar).and_then(|()| parser.finish());
        let (summary, tree) = parsed.expect("our own tar is sound");
        let tar_size_bytes = tar.len() as u64;
        let layer = erofs::Layer {
            tree: &tree,
            diff_id: summary.diff_id,
            tar_size_bytes,
            block_size: BlockSize::Tar,
        };
        let mut index = Vec::new();
        erofs::write_index(layer, &tar, &mut index)?;
        write(&names[0], &index)?;
        write(&names[1], &tar)?;
        let opened = File::open(&names[1]).map_err(BackendError::at("open", &names[1]))?;
        Ok(Self { tree, tar: opened, paths: names })
    }
}

/// Mounts an overlay in `round`.
fn overlay(
    round: &Path,
    lowers: &[PathBuf],
    marks: Marks,
    is_writable: bool,
) -> Result<PathBuf, BackendError> {
    let name = if is_writable { "writable" } else { "merged" };
    let (merged, upper, work) = (round.join(name), round.join("upper"), round.join("work"));
    make(&merged)?;
    let upper = if is_writable {
        make(&upper)?;
        make(&work)?;
        Some(Upper { directory: upper, work, is_fleeting: false })
    } else {
        None
    };
    let lowers = lowers.to_vec();
    Mount::Overlay(Overlay { lowers, upper, marks, context: None }).mount(&merged)?;
    Ok(merged)
}

/// Whether an overlay of the two layers shows what it should.
fn check_merged(merged: &Path) -> Result<(), BackendError> {
    let names = |path: &Path| {
        let entries = fs::read_dir(path).map_err(BackendError::at("list", path))?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(BackendError::at("list", path))?.file_name();
            names.push(name.to_string_lossy().into_owned());
        }
        names.sort();
        Ok::<_, BackendError>(names)
    };
    if names(merged)? != ["d", "kept"] || names(&merged.join("d"))? != ["seen"] {
        return Err(BackendError::WrongOverlay);
    }
    for name in ["kept", "d/seen"] {
        let path = merged.join(name);
        let read = fs::read_to_string(&path).map_err(BackendError::at("read", &path))?;
        if read != CONTENT.repeat(20) {
            return Err(BackendError::WrongContent);
        }
    }
    Ok(())
}

fn check_written(merged: &Path, round: &Path) -> Result<(), BackendError> {
    check_merged(merged)?;
    check_upper_takes(merged)?;
    let seen = merged.join("d/seen");
    fs::remove_file(&seen).map_err(BackendError::at("remove", &seen))?;
    let upper = round.join("upper/d/seen");
    // The whiteout.
    upper.symlink_metadata().map(drop).map_err(BackendError::at("read", &upper))
}

/// Writes, replaces and removes files of an overlay.
fn check_upper_takes(merged: &Path) -> Result<(), BackendError> {
    let (kept, new) = (merged.join("kept"), merged.join("new"));
    write(&new, "new")?;
    fs::rename(&new, &kept).map_err(BackendError::at("replace", &kept))?;
    fs::remove_file(&kept).map_err(BackendError::at("remove", &kept))?;
    if kept.symlink_metadata().is_ok() { Err(BackendError::WrongOverlay) } else { Ok(()) }
}

fn make(directory: &Path) -> Result<(), BackendError> {
    let made = durable::create_directory(directory, 0o755);
    made.map(drop).map_err(BackendError::at("create", directory))
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), BackendError> {
    let written =
        durable::create_new(path, 0o600).and_then(|mut file| file.write_all(bytes.as_ref()));
    written.map_err(BackendError::at("write", path))
}

/// Takes away a directory with all in it and all that is mounted there.
fn clean(directory: &Path) -> Result<(), BackendError> {
    if directory.symlink_metadata().is_err() {
        return Ok(());
    }
    let directory = &directory.canonicalize().map_err(BackendError::at("find", directory))?;
    for row in Table::read()?.beneath(directory) {
        unmount(&row.place, InUse::Detached)?;
    }
    durable::discard_tree(directory).map_err(BackendError::at("remove", directory))
}
