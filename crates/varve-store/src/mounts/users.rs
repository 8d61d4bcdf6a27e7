//! Who uses layers: a file for each holder in `users/` of the run directory.
//!
//! The kernel does not count: a layer is unmounted under a living overlay without a word. So
//! before anything is mounted for a holder, the holder's file says of which layers. The process
//! that mounts for it or unmounts has the file locked meanwhile.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use varve_fs::{durable, lock::FileLock, mount::MountError};
use varve_types::{ChainId, DiffId, Digest, ImageId, Printable};

use super::run::{self, Mounting, Run};
use crate::{Error, Result, error::cannot};

/// Who uses layers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A container, by its ID: until it is released.
    Container(String),
    /// An image that was mounted to be looked into: until it is released, or its overlay is gone.
    Image(ImageId),
    /// A process, by a name that nobody else has: until it is released, or the process dies.
    Process(String),
}

/// What a mount shows, and what is kept for its sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Used {
    Layer(DiffId),
    /// A second index of a layer.
    Times(Digest),
    /// What mends a chain.
    Chain(ChainId),
}

/// Bytes of a name: with the kind in front it is a file's.
const NAME_SIZE_BYTES_MAX: usize = 200;

impl Holder {
    /// This process, for as long as what [`Store::mount`](crate::Store::mount) returns is kept.
    pub fn process() -> Result<Self> {
        let name = durable::random_name().map_err(cannot("name", Path::new("users")))?;
        Ok(Self::Process(name))
    }

    /// Its file's name.
    pub(crate) fn file_name(&self) -> Result<String> {
        let (kind, name) = match self {
            Holder::Container(id) => ("container", id.clone()),
            Holder::Image(id) => ("image", id.0.hex()),
            Holder::Process(name) => ("process", name.clone()),
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || name.len() > NAME_SIZE_BYTES_MAX || !name.bytes().all(is_plain) {
            return Err(Error::HolderName(Printable(&name).to_string()));
        }
        Ok(format!("{kind}-{name}"))
    }

    pub(crate) fn of_file_name(name: &str) -> Option<Self> {
        match name.split_once('-')? {
            ("container", id) => Some(Holder::Container(id.to_owned())),
            ("image", hex) => Digest::from_hex(hex).ok().map(|id| Holder::Image(ImageId(id))),
            ("process", name) => Some(Holder::Process(name.to_owned())),
            _ => None,
        }
    }

    /// Where its overlay is, in the run directory.
    pub(crate) fn place(&self) -> PathBuf {
        match self {
            Holder::Container(id) => Path::new("containers").join(id).join("rootfs"),
            Holder::Image(id) => Path::new("images").join(id.0.hex()),
            Holder::Process(name) => Path::new("processes").join(name).join("rootfs"),
        }
    }
}

/// A holder's file, locked.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
    /// `None` of a process, when nothing is written.
    lock: Option<FileLock>,
}

impl Entry {
    /// The file of a process, which nobody else mounts for; to be removed.
    pub(crate) fn of_process(run: &Run, holder: &Holder) -> Result<Self> {
        Ok(Self { path: run.path("users").join(holder.file_name()?), lock: None })
    }

    /// Makes or finds a holder's file, and waits while another process mounts for the same holder.
    pub(crate) fn enter(run: &Run, holder: &Holder) -> Result<Self> {
        let path = run.make("users")?.join(holder.file_name()?);
        loop {
            let lock = FileLock::exclusive(&path).map_err(cannot("lock", &path))?;
            if lock.is_at(&path).map_err(cannot("lock", &path))? {
                return Ok(Self { path, lock: Some(lock) });
            }
        }
    }

    /// Says what the holder uses, in place of what was there.
    pub(crate) fn write(&self, used: &[Used], _mounting: &Mounting) -> Result<()> {
        let lines = used.iter().map(|used| match used {
            Used::Layer(layer) => format!("layer {layer}\n"),
            Used::Times(times) => format!("times {times}\n"),
            Used::Chain(chain) => format!("chain {chain}\n"),
        });
        let text: String = lines.collect();
        let Some(lock) = &self.lock else { return Ok(()) };
        let file = lock.file();
        durable::truncate(file, 0).map_err(cannot("write", &self.path))?;
        durable::write_all_at(file, text.as_bytes(), 0).map_err(cannot("write", &self.path))
    }

    /// Forgets the holder.
    pub(crate) fn remove(self, _mounting: &Mounting) -> Result<()> {
        durable::unlink(&self.path).map_err(cannot("remove", &self.path))?;
        Ok(())
    }

    /// The lock alone, for as long as a process holds what it has.
    pub(crate) fn into_lock(self) -> Option<FileLock> {
        self.lock
    }
}

/// Whether nothing is there of a holder: neither its file nor the place of its overlay, of which
/// the file is the first to come and the last to go.
pub(crate) fn is_nobody(run: &Run, holder: &Holder) -> Result<bool> {
    let paths = [Path::new("users").join(holder.file_name()?), holder.place()];
    for path in paths.map(|path| run.path(path)) {
        if path.try_exists().map_err(cannot("read", &path))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What one holder uses; nothing, if there is no such holder.
pub(crate) fn used_by(run: &Run, holder: &Holder) -> Result<HashSet<Used>> {
    let path = run.path("users").join(holder.file_name()?);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter_map(parse).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HashSet::new()),
        Err(source) => Err(cannot("read", &path)(source)),
    }
}

/// What all holders use.
pub(crate) fn used(directory: &Path) -> Result<HashSet<Used>> {
    let mut used = HashSet::new();
    for path in run::existing(&directory.join("users"))? {
        match fs::read_to_string(&path) {
            Ok(text) => used.extend(text.lines().filter_map(parse)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(cannot("read", &path)(source)),
        }
    }
    Ok(used)
}

/// The holders there are.
pub(crate) fn holders(run: &Run) -> Result<Vec<Holder>> {
    let files = run::existing(&run.path("users"))?;
    let name = |path: &PathBuf| Holder::of_file_name(path.file_name()?.to_str()?);
    Ok(files.iter().filter_map(name).collect())
}

/// Removes the files of holders that are gone: of a process that died, and of an image whose
/// mount was not finished or is there no more. `is_mounted` says so of a place.
pub(crate) fn forget_dead(
    run: &Run,
    _mounting: &Mounting,
    is_mounted: impl Fn(&Path) -> Result<bool, MountError>,
) -> Result<()> {
    for holder in holders(run)? {
        let stays = match &holder {
            Holder::Container(_) => true,
            Holder::Image(_) => is_mounted(&run.path(holder.place()))?,
            Holder::Process(_) => false,
        };
        let path = run.path("users").join(holder.file_name()?);
        if stays {
            continue;
        }
        if lock_if_free(&path)?.is_some() {
            durable::unlink(&path).map_err(cannot("remove", &path))?;
        }
    }
    Ok(())
}

/// Locks a holder's file; `None` when somebody has it, or it is not there.
pub(super) fn lock_if_free(path: &Path) -> Result<Option<FileLock>> {
    match File::open(path) {
        Ok(file) => FileLock::try_exclusive_on(file).map_err(cannot("lock", path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(cannot("open", path)(source)),
    }
}

fn parse(line: &str) -> Option<Used> {
    match line.split_once(' ')? {
        ("layer", layer) => layer.parse().ok().map(Used::Layer),
        ("times", times) => times.parse().ok().map(Used::Times),
        ("chain", chain) => chain.parse().ok().map(Used::Chain),
        _ => None,
    }
}
