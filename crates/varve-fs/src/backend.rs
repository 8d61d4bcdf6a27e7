//! How layers become directories that overlayfs can put one upon the other.
//!
//! There are three ways, and a store uses the best that works where it lies, see [`probe`]:
//!
//! ```text
//! erofs        index and tar, plain files ─────────────► mount        Linux 6.12, ext4, XFS …
//! erofs-loop   index and tar ──► two loop devices ─────► mount        Linux 6.4, tmpfs, overlayfs …
//! directory    tree/, extracted when the layer came in ─────────────► a user namespace, all else
//! ```
//!
//! A layer goes through [`prepare`](Backend::prepare) once, through [`attach`](Backend::attach) and
//! [`detach`](Backend::detach) as often as it is used, and through [`remove`](Backend::remove) at
//! its end. Nothing here knows a store: paths, locks and who uses what are the caller's business.
//! `docs/backends.md` says which way is taken when.

mod directory;
mod erofs;
mod error;
mod loop_device;
mod probe;

use std::{
    fmt::{self, Debug, Display},
    fs::File,
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use rustix::fs::Advice;
use serde::{Deserialize, Serialize};

use crate::{
    extract::{Extracted, Source},
    mount::{InUse, Marks},
};

pub use directory::Directory;
pub use erofs::{Erofs, ErofsLoop};
pub use error::BackendError;
pub use probe::{PassedOver, Probed, Uppers, check_upper, probe};

/// Which way a backend goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendKind {
    /// Index and tar are mounted from plain files.
    Erofs,
    /// Index and tar are mounted from loop devices.
    ErofsLoop,
    /// The layer's files are extracted.
    Directory,
}

/// A layer's files. None of the paths is an image's.
#[derive(Debug, Clone, Copy)]
pub struct LayerFiles<'a> {
    /// The index; the directory backend does not read it.
    pub index: &'a Path,
    /// The uncompressed tar, in which the index has the files' data; none when the index has all
    /// of it ([`crate::erofs::write_whole`]). The directory backend does not read it.
    pub tar: Option<&'a Path>,
    /// Where the directory backend has the layer's files; nothing else makes it.
    pub tree: &'a Path,
}

/// A way to show layers.
pub trait Backend: Debug + Send + Sync {
    /// Which one it is.
    fn kind(&self) -> BackendKind;

    /// Which attributes overlays over its lowers use.
    fn marks(&self) -> Marks;

    /// Makes what the backend needs of a layer beyond index and tar: the directory backend makes
    /// `tree`, which must not be there yet, the others nothing. Nothing is synced. After an error
    /// what was made so far is left, for [`remove`](Self::remove).
    fn prepare(
        &self,
        layer: &LayerFiles,
        source: Source,
        threads: usize,
    ) -> Result<Extracted, BackendError>;

    /// Makes a layer visible and returns its directory, a lower of overlays: mounts it at `place`,
    /// an empty directory, or says where it lies already. Attached twice at one place it is
    /// mounted twice: the caller holds a lock and looks into the kernel's table first.
    fn attach(&self, layer: &LayerFiles, place: &Path) -> Result<PathBuf, BackendError>;

    /// Takes away what [`attach`](Self::attach) made at a place; the empty directory stays. Where
    /// nothing is mounted, or there is no such place, nothing is done. An overlay does not keep
    /// its lowers in use: the caller knows whether there is one.
    fn detach(&self, place: &Path, in_use: InUse) -> Result<(), BackendError>;

    /// Takes away what [`prepare`](Self::prepare) made, if anything is there: renames it into
    /// `trash` in one step, a directory of the same file system that exists, and empties that.
    fn remove(&self, layer: &LayerFiles, trash: &Path) -> Result<(), BackendError>;
}

impl BackendKind {
    /// All, the best first.
    pub const ALL: [Self; 3] = [Self::Erofs, Self::ErofsLoop, Self::Directory];

    fn name(self) -> &'static str {
        match self {
            BackendKind::Erofs => "erofs",
            BackendKind::ErofsLoop => "erofs-loop",
            BackendKind::Directory => "directory",
        }
    }
}

impl Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no backend has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("storage backend must be `erofs`, `erofs-loop` or `directory`")]
pub struct UnknownBackend;

impl FromStr for BackendKind {
    type Err = UnknownBackend;

    fn from_str(text: &str) -> Result<Self, UnknownBackend> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(UnknownBackend)
    }
}

/// Frees the page cache of a tar. What is read through a mounted index is cached with the mount's
/// files; what the kernel read of the tar for that, or what was written when the layer came in, is
/// a second copy of the same bytes. Bytes that are not on disk yet stay: it is to be synced before.
pub fn forget_cached(tar: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(tar, 0, None, Advice::DontNeed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_go_by_the_names_that_they_print() {
        for kind in BackendKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        let error = "overlay2".parse::<BackendKind>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "storage backend must be `erofs`, `erofs-loop` or `directory`"
        );
    }
}
