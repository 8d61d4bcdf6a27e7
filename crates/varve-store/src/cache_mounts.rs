//! Cache mounts: directories that outlive builds, `varve/cache-mounts/<hex>[-<n>]/`.
//!
//! ```text
//! <hex of the id>      the first directory of an id; others where one is in use and not shared
//! ├── lock             held by who uses it: shared, or exclusively
//! ├── record.json      id, when it was made and last used, how often, bytes
//! ├── sight …          what programs that used it saw
//! ├── tree/            the files; there when they are whole
//! └── new/tree         files being made that it begins with
//! ```
//!
//! What programs leave in them is theirs: nothing of it is synced, and nothing verified. After each
//! use it is measured, and where all of them together take more than they may, those that were
//! used longest ago go. Who runs a program asks [`CacheMount::size_bytes`] meanwhile.

mod record;
mod sight;

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use varve_fs::{durable, lock::FileLock, upper};
use varve_types::{Digest, Printable, limits};

use self::sight::Look;
use crate::{
    Error, Result, Store, error::cannot, mounts::existing, store::DIRECTORY_MODE, sweep::entries,
};

pub use record::CacheMountRecord;
pub(crate) use record::Place;
pub use sight::{Before, SeenFile, Sight};

pub(crate) const LOCK: &str = "lock";
pub(crate) const TREE: &str = "tree";
pub(crate) const NEW: &str = "new";

/// Bytes that all cache mounts may take where nothing else is said; on a small disk, a tenth of it.
const SIZE_BYTES_MAX: u64 = 10_000_000_000;
/// How often a directory that another build has is asked for.
const PATIENCE: Duration = Duration::from_millis(20);

/// What other builds may do meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Use the same directory.
    #[default]
    Shared,
    /// Use another directory of this id.
    Private,
    /// Wait.
    Locked,
}

/// A cache mount that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct CacheMountRequest<'a> {
    /// Which.
    pub id: &'a str,
    /// What others may do meanwhile.
    pub sharing: Sharing,
    /// The time.
    pub now: Timestamp,
}

/// A cache mount in use, until it is [finished](Self::finish). When it is dropped before that, it is
/// not measured.
#[derive(Debug)]
pub struct CacheMount {
    store: Store,
    place: Place,
    tree: PathBuf,
    lock: FileLock,
    look: Option<Look>,
}

impl CacheMount {
    /// Its files. Who may see them is for its own mode to say; the way to it is closed.
    pub fn path(&self) -> &Path {
        &self.tree
    }

    /// Bytes of disk that it takes now.
    pub fn size_bytes(&self) -> Result<u64> {
        Ok(self.usage()?.allocated_bytes)
    }

    fn usage(&self) -> Result<upper::Usage> {
        let tree = File::open(&self.tree).map_err(cannot("open", &self.tree))?;
        upper::usage(tree.as_fd())
            .map_err(|source| Error::Measure { path: self.tree.clone(), source: Box::new(source) })
    }

    /// Ends the use: measures what is there, and makes room where all cache mounts together take
    /// more than they may. Returns those that went for it, which may be this one.
    pub fn finish(mut self, now: Timestamp) -> Result<Vec<CacheMountRecord>> {
        let usage = self.usage()?;
        if let Some(mut record) = self.place.read()? {
            record.size_bytes = usage.allocated_bytes;
            record.last_used = record.last_used.max(now);
            self.place.write(&record)?;
        }
        self.end(usage.changed)?;
        let Self { store, lock, .. } = self;
        drop(lock);
        store.shrink_cache_mounts(store.cache_mounts_size_bytes_max())
    }
}

impl Store {
    /// A directory that outlives the build. A new one is first filled by `fill`, which is given an
    /// empty directory of mode 0755, nobody else's until then; when that fails, nothing is kept of
    /// it. While another build has it for itself, `goes_on` is asked whether to wait on; `None`: no.
    pub fn cache_mount<E: From<Error>>(
        &self,
        request: &CacheMountRequest<'_>,
        fill: &mut dyn FnMut(&Path) -> Result<(), E>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<CacheMount>, E> {
        self.make()?;
        let above = self.root().join("varve/cache-mounts");
        durable::create_directories(&above, DIRECTORY_MODE).map_err(cannot("create", &above))?;
        let mut number = 0;
        loop {
            let place = Place::new(self, request.id, number);
            match self.enter_cache_mount(&place, request.sharing)? {
                Entered::Ready(lock) => {
                    place.note_use(request)?;
                    let (store, tree) = (self.clone(), place.path.join(TREE));
                    return Ok(Some(CacheMount { store, place, tree, lock, look: None }));
                }
                // It is entered once more: only then is the lock the wanted one.
                Entered::New(_lock) => make_cache_mount(self, &place, request, fill)?,
                Entered::Taken if request.sharing != Sharing::Locked => number += 1,
                Entered::Taken | Entered::BeingMade if goes_on() => thread::sleep(PATIENCE),
                Entered::Taken | Entered::BeingMade => return Ok(None),
            }
            if number >= limits::CACHE_MOUNT_PLACES_MAX {
                let limit = u64::from(limits::CACHE_MOUNT_PLACES_MAX);
                let what = "number of directories of a cache mount";
                return Err(Error::Limit { what, actual: limit + 1, limit }.into());
            }
        }
    }

    /// All cache mounts, those that were used last first.
    pub fn cache_mounts(&self) -> Result<Vec<CacheMountRecord>> {
        let _judging = self.judge_cache_mounts()?;
        let mut records = Vec::new();
        for place in self.cache_mount_places()? {
            let Some(mut record) = place.read()? else { continue };
            record.in_use = place.try_lock()?.is_none();
            records.push(record);
        }
        records.sort_by_key(|record| (std::cmp::Reverse(record.last_used), record.name.clone()));
        Ok(records)
    }

    /// Removes cache mounts that `goes` says so of and nobody uses, and what is left of those that were
    /// never finished. Returns those that went.
    pub(crate) fn remove_cache_mounts(
        &self,
        goes: impl Fn(&CacheMountRecord) -> bool,
    ) -> Result<Vec<CacheMountRecord>> {
        let mut removed = Vec::new();
        {
            let judging = self.judge_cache_mounts()?;
            for place in self.cache_mount_places()? {
                match place.read()? {
                    Some(record) if !goes(&record) => {}
                    // What a process that died was making has no record yet.
                    record => {
                        if place.throw_away(self, judging.as_ref())? {
                            removed.extend(record);
                        }
                    }
                }
            }
        }
        if self.is_made() {
            self.empty_trash()?;
        }
        Ok(removed)
    }

    /// Removes cache mounts that nobody uses, those that were used longest ago first, until all
    /// together take at most this many bytes of disk.
    pub fn shrink_cache_mounts(&self, size_bytes_max: u64) -> Result<Vec<CacheMountRecord>> {
        // What processes that died were making.
        self.remove_cache_mounts(|_| false)?;
        let mut records = self.cache_mounts()?;
        let mut total: u64 = records.iter().map(|record| record.size_bytes).sum();
        let mut removed = Vec::new();
        while total > size_bytes_max {
            let Some(oldest) = records.pop() else { break };
            // Used or measured since, it is another one.
            let gone = self.remove_cache_mounts(|record| {
                record.name == oldest.name && record.last_used == oldest.last_used
            })?;
            total = total.saturating_sub(gone.iter().map(|record| record.size_bytes).sum());
            removed.extend(gone);
        }
        Ok(removed)
    }

    /// Bytes of disk that all cache mounts together may take.
    pub fn cache_mounts_size_bytes_max(&self) -> u64 {
        let disk = rustix::fs::statvfs(self.root());
        let tenth = disk.map(|it| it.f_blocks.saturating_mul(it.f_frsize) / 10);
        let usual = SIZE_BYTES_MAX.min(tenth.unwrap_or(SIZE_BYTES_MAX));
        self.options().cache_mounts_size_bytes_max.unwrap_or(usual)
    }

    fn enter_cache_mount(&self, place: &Place, sharing: Sharing) -> Result<Entered> {
        let _entering = self.enter_cache_mounts()?;
        durable::create_directory(&place.path, DIRECTORY_MODE)
            .map_err(cannot("create", &place.path))?;
        let is_whole = || place.path.join(TREE).is_dir();
        let path = place.path.join(LOCK);
        loop {
            let (was_whole, is_shared) = (is_whole(), sharing == Sharing::Shared);
            let lock = if was_whole && is_shared {
                FileLock::try_shared(&path)
            } else {
                FileLock::try_exclusive(&path)
            };
            return Ok(match lock.map_err(cannot("lock", &path))? {
                // It was filled in between: others may use it, too.
                Some(_lock) if is_whole() && !was_whole && is_shared => continue,
                Some(lock) if is_whole() => Entered::Ready(lock),
                Some(lock) => Entered::New(lock),
                // Whoever fills it has it for himself a moment longer than it takes.
                None if place.read()?.is_some_and(|record| record.uses > 0) => Entered::Taken,
                None => Entered::BeingMade,
            });
        }
    }

    /// Keeps those away who judge what is in use, for a moment: their looking at a lock would be
    /// taken for use.
    fn enter_cache_mounts(&self) -> Result<FileLock> {
        let path = self.root().join("varve/cache-mounts").join(LOCK);
        FileLock::shared(&path).map_err(cannot("lock", &path))
    }

    /// `None`: there are none.
    fn judge_cache_mounts(&self) -> Result<Option<FileLock>> {
        let above = self.root().join("varve/cache-mounts");
        if !above.is_dir() {
            return Ok(None);
        }
        let path = above.join(LOCK);
        FileLock::exclusive(&path).map(Some).map_err(cannot("lock", &path))
    }

    pub(crate) fn cache_mount_places(&self) -> Result<Vec<Place>> {
        let paths = existing(&self.root().join("varve/cache-mounts"))?;
        Ok(paths.into_iter().filter_map(Place::of_path).collect())
    }
}

/// What was found of a directory.
enum Entered {
    /// Its files are there.
    Ready(FileLock),
    /// It is ours to fill.
    New(FileLock),
    /// Another build has it for itself.
    Taken,
    /// Another build is about to fill it.
    BeingMade,
}

fn make_cache_mount<E: From<Error>>(
    store: &Store,
    place: &Place,
    request: &CacheMountRequest<'_>,
    fill: &mut dyn FnMut(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let new = place.path.join(NEW);
    // What a process that died was making.
    throw(store, &new)?;
    store.empty_trash()?;
    durable::create_directory(&new, DIRECTORY_MODE).map_err(cannot("create", &new))?;
    let tree = new.join(TREE);
    durable::create_directory(&tree, 0o755).map_err(cannot("create", &tree))?;
    let directory = File::open(&tree).map_err(cannot("open", &tree))?;
    durable::set_mode(&directory, 0o755).map_err(cannot("change", &tree))?;
    fill(&tree)?;
    place.write(&CacheMountRecord::new(place, request))?;
    let there = place.path.join(TREE);
    durable::rename(&tree, &there).map_err(cannot("rename", &tree))?;
    durable::remove_directory(&new).map_err(cannot("remove", &new))?;
    Ok(())
}

/// Takes something out of sight, if it is there. What it holds is freed with the trash.
pub(crate) fn throw(store: &Store, path: &Path) -> Result<bool> {
    let trash = store.root().join("varve/trash");
    let name = durable::random_name().map_err(cannot("name", &trash))?;
    match durable::rename(path, &trash.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        done => done.map(|()| true).map_err(cannot("remove", path)),
    }
}

/// What is wrong with a cache mount. One without a record was being made, or power was lost.
pub(crate) fn problem(place: &Place, path: &Path) -> Result<Option<String>> {
    let known = [LOCK, TREE, NEW, record::FILE_NAME];
    let names = match entries(path) {
        // It went in the meantime.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    for (name, _) in names {
        let name = name.to_string_lossy().into_owned();
        let is_known = known.contains(&&*name) || sight::is_of_sights(&name);
        if !is_known && !name.starts_with('.') {
            return Ok(Some(format!("it holds {}, which does not belong there", Printable(&name))));
        }
    }
    let Some(record) = place.read()? else { return Ok(None) };
    let hex = place.name.split('-').next().unwrap_or_default();
    let is_its_own = Digest::of(record.id.as_bytes()).hex() == hex;
    Ok((!is_its_own).then(|| "its record is that of another cache mount".to_owned()))
}

/// The id of a cache mount decides its directory's name.
fn directory_name(id: &str, number: u32) -> String {
    let hex = Digest::of(id.as_bytes()).hex();
    if number == 0 { hex } else { format!("{hex}-{number}") }
}

fn read_text(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(cannot("read", path)(source)),
    }
}
