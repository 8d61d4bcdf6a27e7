//! Mending what [`Store::check`] found.
//!
//! ```text
//! layout, image table     written again; a single bit of the table is turned back
//! blobs                   made of an indexed layer, fetched by the caller, or given up with the
//!                         names that need them
//! layers, chains, times   made again of blobs and tars, at once or by whoever needs them
//! records of containers   put aside, with all that belongs to them
//! what nobody knows       put aside
//! ```
//!
//! Nothing that may be somebody's is deleted: it goes to `varve/lost/`. What is deleted is damaged
//! content of which the right bytes are known by digest, and what follows from other content.

mod blobs;
mod layers;
mod table;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use varve_fs::durable;
use varve_types::container::{Container, ContainerId, ContainerName, Volume, VolumeName};

use crate::{
    Error, Finding, Lease, Named, Result, Store,
    check::Cause,
    error::cannot,
    store::{self, DIRECTORY_MODE, LAYOUT_MODE, MARKER_DIRECTORIES},
};

/// Where what is put aside goes.
const LOST: &str = "varve/lost";

/// How something was mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// It is as it should be.
    Restored,
    /// It is gone, and will be made again when it is needed.
    Removed,
    /// It was moved here, a path in the store.
    PutAside(PathBuf),
}

/// Writes the format file of the store at `root` anew where it is no number. Without a number
/// nobody opens the store; one that is not known is that of a newer varve, and stays.
/// Returns whether it was written.
pub fn restore_format(root: &Path) -> Result<bool> {
    let path = root.join("varve/format");
    let is_number = |text: &str| text.trim().parse::<u32>().is_ok_and(|number| number > 0);
    match fs::read(&path) {
        Ok(bytes) if std::str::from_utf8(&bytes).is_ok_and(is_number) => Ok(false),
        Ok(_) => {
            let text = format!("{}\n", store::FORMAT);
            durable::replace(&path, text.as_bytes(), LAYOUT_MODE)
                .map_err(cannot("write", &path))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(cannot("read", &path)(source)),
    }
}

impl Store {
    /// Makes the directories again that every store has, so that other things can be mended.
    pub fn restore_directories(&self) -> Result<()> {
        for directory in MARKER_DIRECTORIES.iter().filter(|_| self.is_made()) {
            let path = self.root().join(directory);
            durable::create_directories(&path, DIRECTORY_MODE).map_err(cannot("create", &path))?;
        }
        Ok(())
    }

    /// Mends what was found, as far as that can be done with what is here; `None` when it cannot.
    pub fn mend(&self, lease: &Lease, finding: &Finding) -> Result<Option<Mended>> {
        match &finding.cause {
            Cause::Layout => self.mend_layout().map(Some),
            Cause::Table => self.mend_table().map(Some),
            Cause::Blob(bad) => self.mend_blob(lease, bad),
            Cause::Useless(_) => Ok(None),
            Cause::Layer(layer) => self.mend_layer(lease, layer),
            Cause::Derived(path) => self.mend_derived(path).map(Some),
            Cause::Container(id) => {
                let _containers = self.lock_containers()?;
                self.put_aside(&self.container_path(id)).map(Some)
            }
            Cause::ContainerName(id) => self.mend_container_name(id),
            Cause::Volume(name) => self.mend_volume(name),
            Cause::Record => self.put_aside(&self.root().join(&finding.path)).map(Some),
            Cause::Stray(path) => self.put_aside(path).map(Some),
        }
    }

    fn mend_layout(&self) -> Result<Mended> {
        self.restore_directories()?;
        let path = self.root().join("oci-layout");
        let is_right =
            fs::read(&path).is_ok_and(|bytes| store::check_layout(self.root(), &bytes).is_ok());
        if !is_right {
            durable::replace(&path, store::OCI_LAYOUT.as_bytes(), LAYOUT_MODE)
                .map_err(cannot("write", &path))?;
        }
        Ok(Mended::Restored)
    }

    /// Removes what is made again when it is needed, with the cache records that name it.
    fn mend_derived(&self, path: &Path) -> Result<Mended> {
        let there = self.root().join(path);
        if there.is_dir() {
            self.throw(&there)?;
        } else {
            durable::unlink(&there).map_err(cannot("remove", &there))?;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.starts_with("varve/times") {
            for record in self.cache_records()? {
                if record.times.is_some_and(|times| times.hex() == name) {
                    let record = self.cache_path(&record.key);
                    durable::unlink(&record).map_err(cannot("remove", &record))?;
                }
            }
        }
        Ok(Mended::Removed)
    }

    /// Gives a container its name, or another one where somebody has it by now.
    fn mend_container_name(&self, id: &ContainerId) -> Result<Option<Mended>> {
        let containers = self.lock_containers()?;
        let Some(mut container) = self.container(id)? else { return Ok(None) };
        if containers.restore_name(&container)? {
            return Ok(Some(Mended::Restored));
        }
        let Some(name) = other_name(&container) else { return Ok(None) };
        let named = containers.rename(&mut container, name)?;
        Ok((named == Named::Done).then_some(Mended::Restored))
    }

    /// Writes the record of a volume anew. Labels and options are lost, its files are not.
    fn mend_volume(&self, name: &VolumeName) -> Result<Option<Mended>> {
        let containers = self.lock_containers()?;
        let data = self.volume_data(name);
        let made = match fs::metadata(&data).and_then(|facts| facts.modified()) {
            Ok(made) => made,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(cannot("read", &data)(source)),
        };
        let created = made.try_into().unwrap_or_default();
        let (name, driver) = (name.clone(), "local".to_owned());
        // Whoever made it may have named it so: it does not go by itself.
        let (labels, options, anonymous) = (None, None, false);
        let volume = Volume { name, driver, created, labels, options, anonymous };
        containers.restore_volume(&volume)?;
        Ok(Some(Mended::Restored))
    }

    /// Moves something to where it is in nobody's way.
    fn put_aside(&self, path: &Path) -> Result<Mended> {
        let lost = self.root().join(LOST);
        durable::create_directories(&lost, DIRECTORY_MODE).map_err(cannot("create", &lost))?;
        let inside = path.strip_prefix(self.root()).unwrap_or(path);
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        let mut name = parts.join("_");
        if lost.join(&name).symlink_metadata().is_ok() {
            let random = durable::random_name().map_err(cannot("name", &lost))?;
            name = format!("{name}-{random}");
        }
        let to = lost.join(&name);
        durable::rename(path, &to).map_err(cannot("rename", path))?;
        for directory in [path.parent().unwrap_or(path), &lost] {
            durable::sync_directory(directory).map_err(cannot("sync", directory))?;
        }
        Ok(Mended::PutAside(Path::new(LOST).join(name)))
    }

    /// Removes a directory of content.
    fn throw(&self, path: &Path) -> Result<()> {
        let trash = self.root().join("varve/trash");
        let name = durable::random_name().map_err(cannot("name", &trash))?;
        match durable::rename(path, &trash.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(cannot("remove", path))?,
        }
        self.empty_trash()
    }
}

/// A name that only a container's own ID can have taken.
fn other_name(container: &Container) -> Option<ContainerName> {
    format!("{}-{}", container.name, container.id).parse().ok()
}

/// Whether an error says that content is not here or not right, rather than that it could not be
/// looked at.
fn is_about_content(error: &Error) -> bool {
    matches!(error.kind(), varve_types::Kind::NotFound | varve_types::Kind::Corrupt)
}
