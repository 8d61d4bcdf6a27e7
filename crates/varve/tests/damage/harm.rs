//! What can happen to a file, and what must be noticed of it.

use std::{fs, path::Path};

use crate::world::overwrite;

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// One bit is another one.
    Flipped,
    /// Eight bytes are others.
    Overwritten,
    /// The second half is gone.
    Cut,
    /// All of it is gone, but the name.
    Emptied,
    /// It is gone.
    Removed,
    /// There is another file beside it.
    Joined,
}

impl Harm {
    pub(crate) const ALL: [Self; 6] =
        [Self::Flipped, Self::Overwritten, Self::Cut, Self::Emptied, Self::Removed, Self::Joined];

    /// Does it, as a disk does: times of the file stay. Returns what came of it.
    pub(crate) fn happen(self, path: &Path, place: u64) -> Outcome {
        let size = fs::metadata(path).expect("a file").len();
        if size == 0 && !matches!(self, Self::Removed | Self::Joined) {
            return Outcome::Nothing;
        }
        let at = |bytes: &[u8]| (place % bytes.len() as u64) as usize;
        match self {
            Self::Flipped => overwrite(path, |bytes| {
                let at = at(bytes);
                bytes[at] ^= 1 << (place >> 32 & 7);
            }),
            Self::Overwritten => overwrite(path, |bytes| {
                let at = at(bytes);
                for byte in bytes.iter_mut().skip(at).take(8) {
                    *byte = byte.wrapping_add(1 + (place >> 40) as u8 % 250);
                }
            }),
            Self::Cut => overwrite(path, |bytes| bytes.truncate(bytes.len() / 2)),
            Self::Emptied => overwrite(path, Vec::clear),
            Self::Removed => fs::remove_file(path).expect("a file"),
            Self::Joined => {
                fs::write(path.with_file_name("stranger"), "who?").expect("a file");
                return Outcome::Beside;
            }
        }
        Outcome::There
    }
}

/// What came of a harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The file is another one.
    There,
    /// It has a new neighbour.
    Beside,
    /// Nothing can happen to it.
    Nothing,
}

/// Whether a harm must be found. The others change nothing that matters, or leave what a process
/// that was killed leaves as well; what is handed out is right all the same.
pub(crate) fn must_be_found(file: &str, harm: Harm) -> bool {
    let (directory, name) = file.rsplit_once('/').unwrap_or(("", file));
    if harm == Harm::Joined {
        // Where others leave files too: what waits to be swept, what containers and programs wrote.
        let free = ["varve/leases", "varve/ingest", "varve/trash", "varve/lost", "varve/networks"];
        let is_owned = ["varve/containers/", "varve/volumes/", "varve/names"];
        return !free.contains(&directory) && !is_owned.iter().any(|it| file.starts_with(it));
    }
    let is_whole = harm != Harm::Removed && harm != Harm::Emptied;
    match name {
        "index.json" | "oci-layout" | "index.erofs" | "mend.erofs" | "layer.tar" => true,
        // What is empty or gone is what a power loss leaves of a record that is not synced.
        "record.json" => is_whole,
        "container.json" | "volume.json" => harm != Harm::Removed,
        // Cut in the middle it is no JSON; another digest in it is one that is not here.
        "compressed.json" => harm == Harm::Cut,
        _ if directory == "blobs/sha256" || directory == "varve/names" => true,
        // The last line, with the uses, is nobody's loss.
        _ if directory == "varve/cache" => harm == Harm::Cut && !name.starts_with("files-"),
        _ if directory == "varve/networks" && name != "lock" => harm != Harm::Removed,
        _ => false,
    }
}
