//! Mending blobs.

use std::{fs, fs::File, io, os::unix::fs::MetadataExt as _, path::Path};

use varve_fs::durable;
use varve_types::{Descriptor, DiffId, Digest, Hasher};

use super::{Mended, is_about_content};
use crate::{
    BlobIngest, Error, Lease, Names, Result, Store,
    arrival::Arrival,
    check::{BadBlob, images::shown},
    error::cannot,
    layers::{check_diff_id, is_tar_of},
    mark,
    sweep::{self, Node, listed},
};

impl Store {
    /// Makes a blob of what is here, or removes one that nobody needs.
    pub(super) fn mend_blob(&self, lease: &Lease, bad: &BadBlob) -> Result<Option<Mended>> {
        if self.is_right(&bad.digest) {
            return Ok(Some(Mended::Restored));
        }
        if !bad.is_needed {
            self.throw_blob(&bad.digest)?;
            return Ok(Some(Mended::Removed));
        }
        let made = self.blob_of_tar(lease, bad)? || self.blob_compressed_again(lease, bad)?;
        Ok(made.then_some(Mended::Restored))
    }

    /// Takes a blob in, in place of what is there.
    pub fn refill_blob(&self, lease: &Lease, descriptor: &Descriptor) -> Result<BlobIngest> {
        BlobIngest::enter(self, lease, descriptor)
    }

    fn is_right(&self, digest: &Digest) -> bool {
        let path = self.blob_path(digest);
        is_tar_of(&path, &DiffId(*digest)).unwrap_or(false)
    }

    /// A plain layer, from the tar beside its index or from a compressed form.
    fn blob_of_tar(&self, lease: &Lease, bad: &BadBlob) -> Result<bool> {
        let layer = DiffId(bad.digest);
        let tar = self.layer_path(&layer).join("layer.tar");
        if is_tar_of(&tar, &layer).unwrap_or(false) {
            let file = File::open(&tar).map_err(cannot("open", &tar))?;
            return self.refill_from(lease, bad, file).map(|()| true);
        }
        let recorded = self.recorded_blob(&layer).into_iter();
        let others = recorded.chain(self.compressed_forms(&layer)?);
        for other in others.filter(|other| *other != bad.digest) {
            let Some(size_bytes) = self.pin_blob(lease, &other)? else { continue };
            let arrival = Arrival::unnamed(self)?;
            arrival.make_layer_directory()?;
            let unpacked = self.unpack_blob(&arrival, &other, size_bytes);
            let is_it = unpacked.and_then(|it| check_diff_id(Some(&layer), &it.summary));
            match is_it {
                Ok(()) => {
                    let tar = arrival.layer_path().join("layer.tar");
                    let file = File::open(&tar).map_err(cannot("open", &tar))?;
                    self.refill_from(lease, bad, file)?;
                    arrival.finish()?;
                    return Ok(true);
                }
                Err(error) if is_about_content(&error) => arrival.finish()?,
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn refill_from(&self, lease: &Lease, bad: &BadBlob, mut tar: File) -> Result<()> {
        let path = self.blob_path(&bad.digest);
        let size_bytes = tar.metadata().map_err(cannot("read", &path))?.len();
        let descriptor = Descriptor::new("", bad.digest, size_bytes);
        let mut ingest = self.refill_blob(lease, &descriptor)?;
        ingest.restart()?;
        ingest.receive(&mut tar).map(drop)
    }

    /// What a push made of a layer, made once more.
    fn blob_compressed_again(&self, lease: &Lease, bad: &BadBlob) -> Result<bool> {
        for layer in listed(&self.root().join("varve/layers"))? {
            let layer = DiffId(layer);
            if !self.compressed_forms(&layer)?.contains(&bad.digest) {
                continue;
            }
            match self.compress_again(lease, &layer, &bad.digest) {
                Ok(made) if made == Some(bad.digest) => return Ok(true),
                Ok(_) => {}
                Err(error) if is_about_content(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Gives a blob up that cannot be had again: names that need it go, and then its bytes. Returns
    /// the names. Other content of those images stays until the next sweep.
    pub fn give_up_blob(&self, digest: &Digest) -> Result<Vec<String>> {
        let lost = self.update_names(|names| Ok::<_, Error>(self.without(names, digest)))?;
        if self.blob_size(digest)?.is_some() && !self.is_right(digest) {
            self.throw_blob(digest)?;
        }
        Ok(lost)
    }

    fn without(&self, names: &mut Names, digest: &Digest) -> Vec<String> {
        let mut lost = Vec::new();
        names.rows.retain_mut(|row| {
            // Of an index only its name was kept.
            row.index = row.index.filter(|index| index != digest);
            let roots = sweep::roots(&Names::new(vec![row.clone()]));
            let reached = mark::reached(roots, |node| {
                // What cannot be read points at nothing that could be saved.
                Ok::<_, Error>(self.points_at(node).unwrap_or_default())
            });
            let needs = reached.is_ok_and(|reached| {
                let all = [Node::Manifest(*digest), Node::Config(*digest), Node::Blob(*digest)];
                all.iter().any(|node| reached.contains(node))
            });
            if needs {
                lost.push(shown(row));
            }
            !needs
        });
        lost
    }

    /// Removes a blob that is not what its name says, unless somebody brought the right one.
    fn throw_blob(&self, digest: &Digest) -> Result<()> {
        let path = self.blob_path(digest);
        let Some(before) = identity(&path) else { return Ok(()) };
        let mut hasher = Hasher::new();
        let hashed = File::open(&path).and_then(|mut file| io::copy(&mut file, &mut hasher));
        if hashed.is_ok() && hasher.finish() == *digest {
            return Ok(());
        }
        let sweeping = self.sweeping()?;
        if identity(&path) == Some(before) {
            durable::unlink(&path).map_err(cannot("remove", &path))?;
            self.sync_blobs()?;
        }
        drop(sweeping);
        Ok(())
    }
}

/// What tells a file from another one of its name.
fn identity(path: &Path) -> Option<(u64, i64, i64)> {
    let facts = fs::metadata(path).ok()?;
    Some((facts.ino(), facts.ctime(), facts.ctime_nsec()))
}
