//! The registry on disk.
//!
//! ```text
//! <root>/
//! ├── team/app/                a repository: an OCI image layout
//! │   ├── oci-layout
//! │   ├── index.json           one descriptor a tag, and one for each manifest without a tag
//! │   ├── blobs/sha256/<hex>   manifests and blobs of this repository
//! │   └── _lock                held while index.json changes
//! └── _varve/
//!     ├── format               version of all this; a newer one is refused
//!     ├── lock                 shared while blobs are linked, exclusive while they are removed
//!     ├── blobs/sha256/<hex>   every blob of every repository, once: hard links
//!     ├── uploads/<id>/        `data`, `repository` and `lock` of an upload going on
//!     └── trash/               what is being removed
//! ```
//!
//! No repository's name has a component that begins with `_` or is one of a layout's own names
//! (see [`RepositoryName`]), so repositories may lie inside one another.
//!
//! # Invariants
//!
//! 1. A file under `blobs` hashes to its own name; it gets there by rename or link.
//! 2. A file under `_varve/blobs` has another link, or the next [`Storage::sweep`] removes it.
//! 3. What a row of `index.json` names was there when the row was written.
//! 4. A repository's `_lock` is taken before `_varve/lock`, never after it.

mod index;
mod upload;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use varve_fs::{durable, lock::FileLock};
use varve_types::{Digest, Kind};

use super::name::RepositoryName;
pub(super) use index::SUBJECT_ANNOTATION;
pub use index::{NewManifest, TAG_ANNOTATION};
pub(super) use upload::{Held, Upload, UploadId};

/// The version of the registry's directory.
const FORMAT: u32 = 1;
const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Why the registry's directory did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory holds something else.
    #[error("{} is not empty and not a registry", .0.display())]
    NotARegistry(PathBuf),
    /// A manifest names content that its repository does not have.
    #[error("{} of the manifest's blobs are not in the repository", .0.len())]
    Missing(Vec<Digest>),
    /// A newer varve made the directory.
    #[error("the registry at {} has format {found}, and this varve knows formats up to {FORMAT}", path.display())]
    Format {
        /// The directory.
        path: PathBuf,
        /// What its format file says.
        found: String,
    },
    /// A repository's table of tags cannot be read.
    #[error("{} is not valid", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The password file holds something that is not a user with a bcrypt hash.
    #[error("{} line {line}: expected `user:` and a bcrypt hash (htpasswd -B)", path.display())]
    Htpasswd {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The kernel refused. `action` is a bare verb.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Missing(_) => Kind::NotFound,
            Self::NotARegistry(_) | Self::Htpasswd { .. } => Kind::Invalid,
            Self::Format { .. } => Kind::Unsupported,
            Self::Index { .. } => Kind::Corrupt,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
                io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Internal,
            },
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

type Result<T, E = Error> = std::result::Result<T, E>;

/// A registry's directory.
#[derive(Debug, Clone)]
pub struct Storage {
    root: PathBuf,
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Blobs that no repository had.
    pub blobs: u64,
    /// Their bytes.
    pub freed_bytes: u64,
}

impl Storage {
    /// Opens the registry in `root`; makes it when the directory is absent or empty.
    pub fn open(root: &Path) -> Result<Self> {
        let storage = Self { root: root.to_owned() };
        let format = storage.own("format");
        match fs::read_to_string(&format) {
            Ok(text) if text.trim().parse::<u32>().is_ok_and(|n| (1..=FORMAT).contains(&n)) => {}
            Ok(text) => {
                let found = text.trim().to_owned();
                return Err(Error::Format { path: root.to_owned(), found });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => storage.create()?,
            Err(error) => return Err(Error::io("read", &format)(error)),
        }
        Ok(storage)
    }

    fn create(&self) -> Result<()> {
        if let Ok(entries) = fs::read_dir(&self.root) {
            // `_varve` may be there already: another process is making the registry too.
            let foreign = |name: &str| !matches!(name, "_varve" | "lost+found");
            if entries.flatten().any(|entry| entry.file_name().to_str().is_none_or(foreign)) {
                return Err(Error::NotARegistry(self.root.clone()));
            }
        }
        for directory in ["blobs/sha256", "uploads", "trash"] {
            let path = self.own(directory);
            durable::create_directories(&path, 0o755).map_err(Error::io("create", &path))?;
        }
        let format = self.own("format");
        durable::replace(&format, format!("{FORMAT}\n").as_bytes(), 0o644)
            .map_err(Error::io("write", &format))
    }

    /// The registry's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn own(&self, name: &str) -> PathBuf {
        self.root.join("_varve").join(name)
    }

    fn directory(&self, name: &RepositoryName) -> PathBuf {
        self.root.join(name.directory())
    }

    fn blob_path(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        self.directory(name).join("blobs/sha256").join(digest.hex())
    }

    fn pool_path(&self, digest: &Digest) -> PathBuf {
        self.own("blobs/sha256").join(digest.hex())
    }

    fn lock_shared(&self) -> Result<FileLock> {
        let path = self.own("lock");
        FileLock::shared(&path).map_err(Error::io("lock", &path))
    }

    fn lock_exclusive(&self) -> Result<FileLock> {
        let path = self.own("lock");
        FileLock::exclusive(&path).map_err(Error::io("lock", &path))
    }

    /// Opens a blob or manifest of a repository; `None` when it is not there.
    pub fn open_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<(File, u64)>> {
        let path = self.blob_path(name, digest);
        match File::open(&path) {
            Ok(file) => {
                let size_bytes = file.metadata().map_err(Error::io("read", &path))?.len();
                Ok(Some((file, size_bytes)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &path)(error)),
        }
    }

    /// The size in bytes of a blob or manifest of a repository.
    pub fn blob_size(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<u64>> {
        let path = self.blob_path(name, digest);
        match fs::symlink_metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Stores bytes as a blob of a repository.
    pub fn put_blob(&self, name: &RepositoryName, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if self.blob_size(name, &digest)?.is_some() {
            return Ok(digest);
        }
        self.create_repository(name)?;
        let _lock = self.lock_shared()?;
        let pool = self.pool_path(&digest);
        if !pool.exists() {
            let mut file =
                durable::Pending::create(&pool, 0o444).map_err(Error::io("create", &pool))?;
            durable::write_all(file.file(), bytes).map_err(Error::io("write", &pool))?;
            file.commit_new().map_err(Error::io("link", &pool))?;
        }
        self.link(name, &digest, &pool)?;
        Ok(digest)
    }

    /// Makes a complete, verified file a blob of a repository. The file loses its old name.
    fn publish(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        file: &File,
        from: &Path,
    ) -> Result<()> {
        self.create_repository(name)?;
        let _lock = self.lock_shared()?;
        let pool = self.pool_path(digest);
        durable::set_mode(file, 0o444).map_err(Error::io("change mode of", from))?;
        durable::sync(file).map_err(Error::io("sync", from))?;
        // By link and not by rename: of two uploads of one blob the first one stays.
        match durable::link(from, &pool) {
            Ok(()) => {
                let parent = self.own("blobs/sha256");
                durable::sync_directory(&parent).map_err(Error::io("sync", &parent))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("link", &pool)(error)),
        }
        durable::unlink(from).map_err(Error::io("remove", from))?;
        self.link(name, digest, &pool)
    }

    /// Makes a blob that the registry has a blob of `name`: of the repository `from`, or of any.
    /// Returns whether it was there.
    pub fn mount(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<bool> {
        if self.blob_size(name, digest)?.is_some() {
            return Ok(true);
        }
        let source = match from {
            Some(from) => self.blob_path(from, digest),
            None => self.pool_path(digest),
        };
        if !source.exists() {
            return Ok(false);
        }
        self.create_repository(name)?;
        let _lock = self.lock_shared()?;
        // A removal may have come before the lock.
        if !source.exists() {
            return Ok(false);
        }
        self.link(name, digest, &source)?;
        Ok(true)
    }

    /// Links `source` into a repository, which exists, durably. The root's lock is held.
    fn link(&self, name: &RepositoryName, digest: &Digest, source: &Path) -> Result<()> {
        let path = self.blob_path(name, digest);
        match durable::link(source, &path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            // A file system without hard links, or with no more of them for this file.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::TooManyLinks
                        | io::ErrorKind::Unsupported
                        | io::ErrorKind::PermissionDenied
                ) =>
            {
                let mut copy =
                    durable::Pending::create(&path, 0o444).map_err(Error::io("create", &path))?;
                let mut source = File::open(source).map_err(Error::io("open", source))?;
                io::copy(&mut source, copy.file()).map_err(Error::io("write", &path))?;
                copy.commit().map_err(Error::io("write", &path))?;
            }
            Err(error) => return Err(Error::io("link", &path)(error)),
        }
        let parent = self.directory(name).join("blobs/sha256");
        durable::sync_directory(&parent).map_err(Error::io("sync", &parent))
    }

    /// Removes a blob from a repository, and from the disk when no other has it. Returns whether
    /// it was there. A manifest is removed by [`remove_manifest`](Self::remove_manifest) only.
    pub fn remove_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<bool> {
        if self.blob_size(name, digest)?.is_none() {
            return Ok(false);
        }
        let _lock = self.lock_index(name)?;
        if self.manifest(name, digest)?.is_some() {
            return Ok(false);
        }
        self.unlink_blob(name, digest)
    }

    fn unlink_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<bool> {
        let _lock = self.lock_exclusive()?;
        let path = self.blob_path(name, digest);
        if !durable::unlink(&path).map_err(Error::io("remove", &path))? {
            return Ok(false);
        }
        Self::sweep_blob(&self.pool_path(digest))?;
        Ok(true)
    }

    /// Removes a file of the pool when it has no other link; returns its size when removed.
    fn sweep_blob(path: &Path) -> Result<Option<u64>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.nlink() == 1 => {
                durable::unlink(path).map_err(Error::io("remove", path))?;
                Ok(Some(metadata.len()))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// Removes the blobs that no repository has: left by a crash, or by somebody who removed a
    /// repository's directory.
    pub fn sweep(&self) -> Result<Swept> {
        let _lock = self.lock_exclusive()?;
        let pool = self.own("blobs/sha256");
        let mut swept = Swept::default();
        for entry in fs::read_dir(&pool).map_err(Error::io("read", &pool))? {
            let entry = entry.map_err(Error::io("read", &pool))?;
            if entry.file_name().to_str().is_none_or(|name| Digest::from_hex(name).is_err()) {
                // A blob being written when its server died; it may have got its name already.
                let path = entry.path();
                durable::unlink(&path).map_err(Error::io("remove", &path))?;
            } else if let Some(size_bytes) = Self::sweep_blob(&entry.path())? {
                swept.blobs += 1;
                swept.freed_bytes += size_bytes;
            }
        }
        Ok(swept)
    }

    /// Makes a repository's directory a layout. Harmless when it is one.
    fn create_repository(&self, name: &RepositoryName) -> Result<()> {
        let directory = self.directory(name);
        let index = directory.join("index.json");
        if index.exists() {
            return Ok(());
        }
        let blobs = directory.join("blobs/sha256");
        durable::create_directories(&blobs, 0o755).map_err(Error::io("create", &blobs))?;
        let _lock = self.lock_index(name)?;
        if index.exists() {
            return Ok(());
        }
        let marker = directory.join("oci-layout");
        durable::replace(&marker, OCI_LAYOUT, 0o644).map_err(Error::io("write", &marker))?;
        self.write_index(name, &[])
    }

    /// The names of all repositories, sorted.
    pub fn repositories(&self) -> Result<Vec<RepositoryName>> {
        let mut names = Vec::new();
        collect_repositories(&self.root, None, &mut names)?;
        names.sort();
        Ok(names)
    }
}

/// Finds the repositories in a directory, and those inside them.
fn collect_repositories(
    directory: &Path,
    parent: Option<&RepositoryName>,
    names: &mut Vec<RepositoryName>,
) -> Result<()> {
    for entry in fs::read_dir(directory).map_err(Error::io("read", directory))? {
        let entry = entry.map_err(Error::io("read", directory))?;
        let file_name = entry.file_name();
        let name = file_name.to_str().and_then(|name| RepositoryName::below(parent, name));
        let (Some(name), Ok(true)) = (name, entry.file_type().map(|kind| kind.is_dir())) else {
            continue;
        };
        collect_repositories(&entry.path(), Some(&name), names)?;
        if entry.path().join("index.json").exists() {
            names.push(name);
        }
    }
    Ok(())
}
