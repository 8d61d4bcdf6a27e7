//! Taking away what nobody uses any more.

use std::{
    io,
    path::{Path, PathBuf},
};

use varve_fs::{
    durable,
    mount::{
        InUse, MountError,
        table::{Table, is_mounted},
        unmount,
    },
};
use varve_types::{ChainId, DiffId, Digest, ImageId, Kind};

use super::{
    run::{self, Mounting, Run},
    users::{self, Holder, Used},
};
use crate::{Result, error::cannot};

/// Where overlays are, each in a directory of its holder's.
const OVERLAYS: [&str; 3] = ["containers", "images", "processes"];

/// Takes away overlays without a holder, and then layers that no holder names; forgets holders
/// that are gone. What is in use by somebody whom we do not know (a shell in it) stays for another
/// time: were its place freed, the next user would mount it again and share nothing.
pub(crate) fn tidy(run: &Run, mounting: &Mounting, boot: Option<&str>) -> Result<()> {
    run::forget_dead_namespaces(run, boot)?;
    users::forget_dead(run, mounting, is_mounted)?;
    let places: Vec<PathBuf> =
        users::holders(run)?.iter().map(|holder| run.path(holder.place())).collect();
    for kind in OVERLAYS {
        for place in run::existing(&run.path(kind))? {
            if !places.iter().any(|held| held.starts_with(&place)) {
                take_away(&place)?;
            }
        }
    }
    let used = users::used(&run.path(""))?;
    let layer = |digest| Used::Layer(DiffId(digest));
    let chain = |digest| Used::Chain(ChainId(digest));
    let kinds: [(&str, &dyn Fn(Digest) -> Used); 3] =
        [("layers", &layer), ("times", &Used::Times), ("chains", &chain)];
    for (kind, as_used) in kinds {
        for place in run::existing(&run.path(kind))? {
            let digest = place.file_name().and_then(|name| Digest::from_hex(name.to_str()?).ok());
            if !digest.is_some_and(|digest| used.contains(&as_used(digest))) {
                take_away(&place)?;
            }
        }
    }
    Ok(())
}

/// Takes mounts of images away that are not to be kept, unless a process is at work on one.
pub(crate) fn forget_images(
    run: &Run,
    _mounting: &Mounting,
    is_kept: impl Fn(&ImageId) -> bool,
) -> Result<()> {
    for holder in users::holders(run)? {
        let Holder::Image(id) = &holder else { continue };
        let path = run.path("users").join(holder.file_name()?);
        if is_kept(id) {
            continue;
        }
        if users::lock_if_free(&path)?.is_some() {
            super::unmount_all(&run.path(holder.place()), InUse::Detached)?;
            remove_place(run, &holder)?;
            durable::unlink(&path).map_err(cannot("remove", &path))?;
        }
    }
    Ok(())
}

/// Removes the empty directory that a holder's overlay was mounted at.
pub(crate) fn remove_place(run: &Run, holder: &Holder) -> Result<()> {
    let place = run.path(holder.place());
    remove_directory(&place)?;
    match holder {
        Holder::Image(_) => Ok(()),
        Holder::Container(_) | Holder::Process(_) => {
            place.parent().map_or(Ok(()), remove_directory)
        }
    }
}

/// Unmounts what is at a place and in it, and removes the directory.
fn take_away(place: &Path) -> Result<()> {
    let rootfs = place.join("rootfs");
    if is_mounted(&rootfs)? || is_mounted(place)? {
        for row in Table::read()?.beneath(place) {
            match unmount(&row.place, InUse::Refused) {
                Err(error) if stays(&error) => return Ok(()),
                done => done?,
            }
        }
    }
    remove_directory(&rootfs)?;
    remove_directory(place)
}

/// In use, gone already, or not ours to take away.
fn stays(error: &MountError) -> bool {
    matches!(error.kind(), Kind::Conflict | Kind::NotFound | Kind::Denied)
}

/// Removes a directory; one that is not empty, or a mount by now, stays.
fn remove_directory(path: &Path) -> Result<()> {
    match durable::remove_directory(path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::ResourceBusy
                    | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(())
        }
        done => done.map(drop).map_err(cannot("remove", path)),
    }
}
