//! The run directory: where this store's mounts are, and who uses them.
//!
//! It lies on a file system that is empty after a restart (`/run/varve`), in a directory named for
//! the store. Mounts are of one mount namespace, so the directory is too: it is that of the
//! machine's own namespace, or of the first that used it, and any other has one of its own in it,
//! in `namespaces/`. There nothing is shared with others, and all ends with the namespace.
//!
//! Who is root in a user namespace only has that namespace's mounts, and shares them with all
//! commands in it, so the store's directory is theirs; when the last of them has ended, it is as
//! after a restart for the first of the next. A lock that each of them has tells (`alive`). Commands
//! of the same user outside of it mount nothing, and leave it alone.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{AtFlags, StatxFlags};
use varve_fs::{
    durable,
    lock::FileLock,
    mount::{self, table::Table},
};

use crate::{
    Error, Result, Store,
    error::cannot,
    store::{DIRECTORY_MODE, PRIVATE_MODE},
    sweep::entries,
};

/// The run directory of a store in this mount namespace.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// As the kernel writes it: through no symbolic link.
    path: PathBuf,
    /// Whether the mount namespace is another than the one that made the store's directory.
    pub(crate) is_private: bool,
    /// The mount namespace that it was found in.
    mounts: String,
    /// Says that somebody of this user namespace is there.
    _alive: Option<Arc<FileLock>>,
}

/// Locked by each process of a user namespace that uses a directory.
const ALIVE: &str = "alive";

/// Proof that nobody else mounts, unmounts or judges holders. Whoever has it takes no lock of the
/// store or of a holder.
#[derive(Debug)]
pub(crate) struct Mounting {
    _lock: FileLock,
}

impl Run {
    /// Locks the directory, for moments.
    pub(crate) fn lock(&self) -> Result<Mounting> {
        let path = self.path.join("lock");
        let lock = FileLock::exclusive(&path).map_err(cannot("lock", &path))?;
        Ok(Mounting { _lock: lock })
    }

    /// Whether it is there, and this process still sees the mounts in it.
    fn is_still_ours(&self) -> bool {
        let here = read_link(Path::new("/proc/self/ns/mnt"));
        here.is_some_and(|here| here == self.mounts) && self.path.join(RECORD).exists()
    }

    /// A path in the directory.
    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.path.join(below)
    }

    /// Makes a directory in it, with its parents.
    pub(crate) fn make(&self, below: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.path.join(below);
        make(&path)?;
        Ok(path)
    }

    /// Makes a directory in it that containers may see as their root.
    pub(crate) fn make_shown(&self, below: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.make(below)?;
        let directory = fs::File::open(&path).map_err(cannot("open", &path))?;
        durable::set_mode(&directory, 0o755).map_err(cannot("change", &path))?;
        Ok(path)
    }
}

impl Store {
    /// The run directory, made where it is missing.
    pub(crate) fn run(&self) -> Result<Run> {
        if let Some(known) = self.known_run().get()
            && known.is_still_ours()
        {
            return Ok(known.clone());
        }
        let run = self.make_run()?;
        // The first stays: one process is in one mount namespace, but for tests.
        let _ = self.known_run().set(run.clone());
        Ok(run)
    }

    fn make_run(&self) -> Result<Run> {
        self.make()?;
        let top = self.run_root();
        make(top)?;
        let top = top.canonicalize().map_err(cannot("open", top))?;
        let lock_path = top.join("lock");
        let _lock = FileLock::exclusive(&lock_path).map_err(cannot("lock", &lock_path))?;
        let whole = top.join(self.run_name()?);
        let here = Namespace::of_this_process(self.boot());
        let mut owner = Namespace::read(&whole);
        if owner.as_ref().is_some_and(|owner| owner.boot != here.boot) {
            // Not on a file system that a restart empties. Nothing in it can be mounted.
            durable::discard_tree(&whole).map_err(cannot("remove", &whole))?;
            owner = None;
        }
        let by_name_only = is_root_by_name_only();
        if by_name_only
            && owner.as_ref().is_some_and(|owner| owner.mounts != here.mounts)
            && is_deserted(&whole)?
        {
            clear(&whole)?;
            owner = None;
        }
        let is_private = match &owner {
            _ if !rustix::process::geteuid().is_root() => true,
            Some(owner) => owner.mounts != here.mounts,
            None if by_name_only => false,
            None => namespace_of("1").is_some_and(|first| first != here.mounts),
        };
        make(&whole)?;
        let path = if is_private { whole.join(here.directory()) } else { whole };
        make(&path)?;
        if Namespace::read(&path).is_none() {
            here.write(&path)?;
        }
        let alive = path.join(ALIVE);
        let lock = || FileLock::shared(&alive).map(Arc::new).map_err(cannot("lock", &alive));
        let held = by_name_only.then(lock).transpose()?;
        keep_to_itself(&path)?;
        Ok(Run { path, is_private, mounts: here.mounts, _alive: held })
    }

    /// The names in a [directory](Self::run_directory) of the run directory, which may be missing.
    pub fn run_directory_names(&self, below: impl AsRef<Path>) -> Result<Vec<String>> {
        let Some(run) = self.run_if_there()? else { return Ok(Vec::new()) };
        let paths = existing(&run.path(below))?.into_iter();
        Ok(paths.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    /// A directory below the run directory for what is the machine's and of no mount namespace, such
    /// as networks; made where it is missing. Empty after a restart.
    pub fn machine_run_directory(&self, below: impl AsRef<Path>) -> Result<PathBuf> {
        self.make()?;
        let path = self.run_root().join(self.run_name()?).join(below);
        make(&path)?;
        Ok(path)
    }

    /// Where [`machine_run_directory`](Store::machine_run_directory) is or would be; `None` for a
    /// store that has not been made.
    pub fn machine_run_path(&self, below: impl AsRef<Path>) -> Result<Option<PathBuf>> {
        if !self.is_made() {
            return Ok(None);
        }
        Ok(Some(self.run_root().join(self.run_name()?).join(below)))
    }

    /// The run directory, if there is one.
    pub(crate) fn run_if_there(&self) -> Result<Option<Run>> {
        if !self.is_made() {
            return Ok(None);
        }
        let path = self.run_root().join(self.run_name()?);
        if path.is_dir() { self.run().map(Some) } else { Ok(None) }
    }

    /// The run directories of all mount namespaces: for what must not be removed.
    pub(crate) fn all_runs(&self) -> Result<Vec<PathBuf>> {
        if !self.is_made() {
            return Ok(Vec::new());
        }
        let whole = self.run_root().join(self.run_name()?);
        let here = Namespace::of_this_process(self.boot());
        if Namespace::read(&whole).is_some_and(|owner| owner.boot != here.boot) {
            return Ok(Vec::new());
        }
        let others = existing(&whole.join("namespaces"))?;
        Ok(std::iter::once(whole).chain(others).collect())
    }

    /// Tells this store from all others that the machine has, had and will have: where its
    /// directory lies, which one it is there, and when that was made.
    fn run_name(&self) -> Result<String> {
        let path = self.root().join("varve");
        let facts = fs::metadata(&path).map_err(cannot("read", &path))?;
        let flags = (AtFlags::empty(), StatxFlags::BTIME);
        let made = rustix::fs::statx(rustix::fs::CWD, &path, flags.0, flags.1);
        let made = made.map_or((0, 0), |it| (it.stx_btime.tv_sec, it.stx_btime.tv_nsec));
        Ok(format!("{:x}-{:x}-{:x}.{:x}", facts.dev(), facts.ino(), made.0, made.1))
    }
}

/// What tells one mount namespace of one run of the machine from others.
#[derive(Debug, PartialEq, Eq)]
struct Namespace {
    mounts: String,
    processes: String,
    boot: String,
}

const RECORD: &str = "namespace";

impl Namespace {
    fn of_this_process(boot: Option<&str>) -> Self {
        let link = |name| read_link(&Path::new("/proc/self/ns").join(name));
        let unknown = || "-".to_owned();
        Self {
            mounts: link("mnt").unwrap_or_else(unknown),
            processes: link("pid").unwrap_or_else(unknown),
            boot: boot.map_or_else(unknown, str::to_owned),
        }
    }

    fn read(directory: &Path) -> Option<Self> {
        let text = fs::read_to_string(directory.join(RECORD)).ok()?;
        let mut words = text.strip_suffix('\n')?.split(' ').map(str::to_owned);
        let (mounts, processes, boot) = (words.next()?, words.next()?, words.next()?);
        Some(Self { mounts, processes, boot })
    }

    fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(RECORD);
        let text = format!("{} {} {}\n", self.mounts, self.processes, self.boot);
        durable::replace(&path, text.as_bytes(), PRIVATE_MODE).map_err(cannot("write", &path))
    }

    /// Where it has its mounts in the store's directory.
    fn directory(&self) -> PathBuf {
        let number: String = self.mounts.chars().filter(char::is_ascii_digit).collect();
        Path::new("namespaces").join(number)
    }
}

/// The mount namespace of a process, where we may ask.
fn namespace_of(process: &str) -> Option<String> {
    read_link(&Path::new("/proc").join(process).join("ns/mnt"))
}

fn read_link(path: &Path) -> Option<String> {
    fs::read_link(path).ok()?.into_os_string().into_string().ok()
}

/// Removes the directories of mount namespaces that are gone, with all that they kept in use.
/// Only those are judged whose processes we would see.
pub(crate) fn forget_dead_namespaces(run: &Run, boot: Option<&str>) -> Result<()> {
    if run.is_private {
        return Ok(());
    }
    let directories = existing(&run.path("namespaces"))?;
    if directories.is_empty() {
        return Ok(());
    }
    if is_root_by_name_only() {
        return clear_deserted(directories);
    }
    let here = Namespace::of_this_process(boot);
    let processes = entries(Path::new("/proc"))?;
    let mut living: Vec<String> =
        processes.iter().filter_map(|(name, _)| namespace_of(name.to_str()?)).collect();
    // One may be kept by a mount alone.
    let table = Table::read()?;
    living.extend(table.rows.iter().filter_map(|row| row.root.to_str().map(str::to_owned)));
    for directory in directories {
        let dead = Namespace::read(&directory).is_some_and(|owner| {
            owner.processes == here.processes && !living.contains(&owner.mounts)
        });
        if dead {
            for row in table.beneath(&directory) {
                mount::unmount(&row.place, mount::InUse::Detached)?;
            }
            durable::discard_tree(&directory).map_err(cannot("remove", &directory))?;
        }
    }
    Ok(())
}

/// Whether this process is root in a user namespace that is not the machine's first.
fn is_root_by_name_only() -> bool {
    const ALL: [&str; 3] = ["0", "0", "4294967295"];
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    rustix::process::geteuid().is_root() && !map.split_whitespace().eq(ALL)
}

/// Whether nobody is there any more of those who used a directory from a user namespace.
fn is_deserted(directory: &Path) -> Result<bool> {
    let path = directory.join(ALIVE);
    match fs::File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(cannot("open", &path)(source)),
        Ok(file) => {
            let free = FileLock::try_exclusive_on(file).map_err(cannot("lock", &path))?;
            Ok(free.is_some())
        }
    }
}

/// Whether something stays in a directory that nobody uses any more: those of other mount namespaces,
/// what the user was told once, and what works on this machine.
fn stays(name: &OsStr) -> bool {
    name == "namespaces" || name == "said" || name.as_encoded_bytes().starts_with(b"backend-")
}

/// Empties a directory that nobody uses. Whatever was mounted there has ended with the namespace.
fn clear(directory: &Path) -> Result<()> {
    for (name, path) in entries(directory)? {
        if !stays(&name) {
            durable::discard_tree(&path).map_err(cannot("remove", &path))?;
        }
    }
    clear_deserted(existing(&directory.join("namespaces"))?)
}

/// Removes those directories of mount namespaces that nobody uses.
fn clear_deserted(directories: Vec<PathBuf>) -> Result<()> {
    for directory in directories {
        if is_deserted(&directory)? {
            durable::discard_tree(&directory).map_err(cannot("remove", &directory))?;
        }
    }
    Ok(())
}

/// Where what is mounted in a directory would appear elsewhere too (systemd shares all mounts of
/// the machine with its services), it becomes a mount of its own, in which it does not.
fn keep_to_itself(path: &Path) -> Result<()> {
    // Who may not mount has nothing to hide.
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let table = Table::read()?;
    match table.around(path) {
        Some(row) if row.is_shared => match mount::make_private(path, row.place == path) {
            // Root of a user namespace only by name.
            Err(error) if error.kind() == varve_types::Kind::Denied => Ok(()),
            done => Ok(done?),
        },
        _ => Ok(()),
    }
}

/// Does something while nobody mounts or unmounts in a run directory, of whatever namespace.
pub(crate) fn with_lock<T>(directory: &Path, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let path = directory.join("lock");
    match fs::File::open(&path) {
        // Nobody ever has.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return act(),
        Err(source) => return Err(cannot("open", &path)(source)),
        Ok(_) => {}
    }
    let _lock = FileLock::exclusive(&path).map_err(cannot("lock", &path))?;
    act()
}

fn make(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    durable::create_directories_unsynced(path, DIRECTORY_MODE).map_err(cannot("create", path))
}

/// What lies in a directory, which may be missing.
pub(crate) fn existing(path: &Path) -> Result<Vec<PathBuf>> {
    match entries(path) {
        Ok(entries) => Ok(entries.into_iter().map(|(_, path)| path).collect()),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
