//! Volumes: `varve/volumes/<name>/`, a record and `_data`, the directory that containers mount.
//!
//! The record is written last and goes first: a directory without one is left of a process that
//! died, and what was in it is gone with the next volume of that name or the next
//! [`Containers::tidy`].

use std::path::PathBuf;

use varve_fs::durable;
use varve_types::{
    container::{Volume, VolumeName},
    limits, sealed,
};

use crate::{
    Containers, Error, Result, Store,
    containers::{self, entries, read},
    error::cannot,
    store::{DIRECTORY_MODE, PRIVATE_MODE},
};

const RECORD: &str = "volume.json";
/// Who may read a volume is for the images that use it to say; the way to it is closed.
const DATA_MODE: u32 = 0o755;

impl Store {
    /// A volume's record, or `None` when there is no such volume.
    pub fn volume(&self, name: &VolumeName) -> Result<Option<Volume>> {
        let path = self.volume_path(name).join(RECORD);
        let Some(bytes) = read(&path, limits::CONTAINER_SIZE_BYTES_MAX)? else { return Ok(None) };
        let volume: Volume = sealed::parse(&bytes)
            .map_err(|error| Error::Record { path: path.clone(), reason: error.to_string() })?;
        Ok((volume.name == *name).then_some(volume))
    }

    /// All volumes, by name.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        let mut volumes = Vec::new();
        for (name, _) in entries(&self.root().join("varve/volumes"))? {
            if let Some(name) = name.to_str().and_then(|name| name.parse().ok()) {
                volumes.extend(self.volume(&name)?);
            }
        }
        volumes.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(volumes)
    }

    /// The directory that containers mount.
    pub fn volume_data(&self, name: &VolumeName) -> PathBuf {
        self.volume_path(name).join("_data")
    }

    fn volume_path(&self, name: &VolumeName) -> PathBuf {
        self.root().join("varve/volumes").join(name.as_str())
    }
}

impl Containers<'_> {
    /// Makes a volume, or returns the one that has the name.
    pub fn create_volume(&self, volume: &Volume) -> Result<Volume> {
        if let Some(there) = self.store().volume(&volume.name)? {
            return Ok(there);
        }
        let directory = self.store().volume_path(&volume.name);
        containers::throw_away(self.store(), &directory)?;
        let data = self.store().volume_data(&volume.name);
        for (path, mode) in [(&directory, DIRECTORY_MODE), (&data, DATA_MODE)] {
            durable::create_directory(path, mode).map_err(cannot("create", path))?;
        }
        self.restore_volume(volume)?;
        Ok(volume.clone())
    }

    /// Writes a volume's record, in place of what is there.
    pub fn restore_volume(&self, volume: &Volume) -> Result<()> {
        let record = self.store().volume_path(&volume.name).join(RECORD);
        // A record is made of strings and numbers only; there is nothing that JSON cannot say.
        let text = sealed::seal(volume).unwrap_or_default();
        durable::replace(&record, &text, PRIVATE_MODE).map_err(cannot("write", &record))
    }

    /// Removes a volume with its files. Whether a container uses it is for the caller to know.
    /// Returns whether it was there.
    pub fn remove_volume(&self, name: &VolumeName) -> Result<bool> {
        let directory = self.store().volume_path(name);
        let record = directory.join(RECORD);
        let was_there = durable::unlink(&record).map_err(cannot("remove", &record))?;
        containers::throw_away(self.store(), &directory)?;
        Ok(was_there)
    }
}
