//! Containers: `varve/containers/<id>/`, a directory each, and their names.
//!
//! The record (`container.json`) is a root: what it names of an image survives every sweep, also
//! when the image has lost its last name. It is written when the rest of the directory is there,
//! and a directory without one belongs to a process that died.
//!
//! A container that is removed with its end has its record in `fleeting.json` instead, which is not
//! synced: one that cannot be read went with a power loss, as did the container, and does not count.
//!
//! Names are files under `varve/names/<name>` that hold an ID. The record has the last word: a name
//! whose container is not there, or is called otherwise, is free. What changes containers or
//! volumes holds `varve/containers.lock`; who reads needs no lock.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use varve_fs::{durable, lock::FileLock};
use varve_types::{
    Digest,
    container::{Container, ContainerId, ContainerName},
    limits, sealed,
};

use crate::{
    Error, Result, Store,
    error::cannot,
    store::{DIRECTORY_MODE, PRIVATE_MODE},
    sweep::{self, Node},
};

const RECORD: &str = "container.json";
const FLEETING: &str = "fleeting.json";

/// The right to change containers and volumes; nobody else has it meanwhile. Held for moments.
#[derive(Debug)]
pub struct Containers<'a> {
    store: &'a Store,
    _lock: FileLock,
}

/// What was in the directory of a container that nobody finds any more.
#[derive(Debug)]
#[must_use = "it is there until it is discarded"]
pub struct HiddenContainer(String);

/// What became of the wish to give a container a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Named {
    /// It has it.
    Done,
    /// This container has it.
    Taken(ContainerId),
    /// The image that it is of is not here any more.
    NoImage(Digest),
}

impl Store {
    /// Takes the right to change containers and volumes.
    pub fn lock_containers(&self) -> Result<Containers<'_>> {
        self.make()?;
        for directory in ["varve/containers", "varve/names", "varve/volumes"] {
            let path = self.root().join(directory);
            durable::create_directories(&path, DIRECTORY_MODE).map_err(cannot("create", &path))?;
        }
        let path = self.root().join("varve/containers.lock");
        let lock = FileLock::exclusive(&path).map_err(cannot("lock", &path))?;
        Ok(Containers { store: self, _lock: lock })
    }

    /// Removes what processes that died while they made or removed containers left. Nothing in a
    /// store that never had one.
    pub fn tidy_containers(&self) -> Result<()> {
        let path = self.root().join("varve/containers");
        if !path.try_exists().map_err(cannot("read", &path))? {
            return Ok(());
        }
        self.lock_containers()?.tidy()
    }

    /// The same, when there is a container whose record is missing. Otherwise nothing is locked or
    /// written: any command may call it.
    pub fn tidy_cut_off_containers(&self) -> Result<()> {
        for (name, path) in entries(&self.root().join("varve/containers"))? {
            if self.is_cut_off(&name, &path)? {
                return self.lock_containers()?.tidy();
            }
        }
        Ok(())
    }

    /// Whether a directory is a container's that is not made yet, or not wholly removed.
    fn is_cut_off(&self, name: &OsStr, path: &Path) -> Result<bool> {
        let id = name.to_str().and_then(|name| name.parse::<ContainerId>().ok());
        let Some(id) = id.filter(|_| !path.join(RECORD).exists()) else { return Ok(false) };
        Ok(self.container(&id)?.is_none())
    }

    /// Frees what a container left that was [hidden](Containers::hide).
    pub fn discard_hidden(&self, hidden: HiddenContainer) -> Result<()> {
        throw_away(self, &self.root().join("varve/trash").join(hidden.0))
    }

    /// The directory of a container: of what belongs to it, and of what only its own processes
    /// know.
    pub fn container_path(&self, id: &ContainerId) -> PathBuf {
        self.root().join("varve/containers").join(id.to_string())
    }

    /// A container's record, or `None` when there is no such container.
    pub fn container(&self, id: &ContainerId) -> Result<Option<Container>> {
        let directory = self.container_path(id);
        let path = directory.join(RECORD);
        let Some(bytes) = read(&path, limits::CONTAINER_SIZE_BYTES_MAX)? else {
            let fleeting = read(&directory.join(FLEETING), limits::CONTAINER_SIZE_BYTES_MAX)?;
            let container = fleeting.and_then(|it| sealed::parse::<Container>(&it).ok());
            return Ok(container.filter(|container| container.id == *id));
        };
        let container: Container = sealed::parse(&bytes)
            .map_err(|error| Error::Record { path: path.clone(), reason: error.to_string() })?;
        Ok((container.id == *id).then_some(container))
    }

    /// Whether there is a container with this ID.
    pub fn is_container(&self, id: &str) -> bool {
        id.parse::<ContainerId>().is_ok_and(|id| {
            let directory = self.container_path(&id);
            [RECORD, FLEETING].iter().any(|name| directory.join(name).exists())
        })
    }

    /// The IDs of all containers, in order.
    pub fn container_ids(&self) -> Result<Vec<ContainerId>> {
        let directory = self.root().join("varve/containers");
        let mut ids = Vec::new();
        for (name, path) in entries(&directory)? {
            let id = name.to_str().and_then(|name| name.parse::<ContainerId>().ok());
            if let Some(id) = id
                && (path.join(RECORD).exists() || self.container(&id)?.is_some())
            {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// All containers whose records can be read, in order of their IDs, and why the others cannot.
    pub fn containers(&self) -> Result<(Vec<Container>, Vec<Error>)> {
        let (mut containers, mut errors) = (Vec::new(), Vec::new());
        for id in self.container_ids()? {
            match self.container(&id) {
                Ok(container) => containers.extend(container),
                Err(error) => errors.push(error),
            }
        }
        Ok((containers, errors))
    }

    /// The container that has a name.
    pub fn container_named(&self, name: &ContainerName) -> Result<Option<ContainerId>> {
        let path = self.name_path(name);
        let Some(bytes) = read(&path, limits::NAME_FILE_SIZE_BYTES_MAX)? else { return Ok(None) };
        let id = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
        let Some(id) = id else { return Ok(None) };
        let container = self.container(&id)?;
        Ok(container.filter(|container| container.name == *name).map(|container| container.id))
    }

    fn name_path(&self, name: &ContainerName) -> PathBuf {
        self.root().join("varve/names").join(name.as_str())
    }

    /// What containers keep. A record that cannot be read stops the sweep: nobody knows what it
    /// would keep.
    pub(crate) fn container_roots(&self) -> Result<Vec<Node>> {
        let mut roots = Vec::new();
        for id in self.container_ids()? {
            let Some(container) = self.container(&id)? else { continue };
            roots.push(Node::Manifest(container.manifest));
            roots.push(Node::Config(container.image_id.0));
            let layers = container.layers.iter().chain(&container.base);
            roots.extend(layers.copied().map(Node::Layer));
        }
        Ok(roots)
    }
}

impl Containers<'_> {
    /// Makes a container: its directory, filled by `fill`, then its name, then its record. From
    /// then on the image that it is of is kept.
    ///
    /// A container that is removed with its end need not survive a power loss: with `is_fleeting`
    /// nothing waits for the disk.
    pub fn create(
        &self,
        container: &Container,
        is_fleeting: bool,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Named> {
        if let Some(id) = self.store.container_named(&container.name)? {
            return Ok(Named::Taken(id));
        }
        let directory = self.store.container_path(&container.id);
        durable::create_directory(&directory, DIRECTORY_MODE)
            .map_err(cannot("create", &directory))?;
        let made = fill(&directory).and_then(|()| self.publish(container, is_fleeting));
        if !matches!(made, Ok(Named::Done)) {
            let _ = self.throw_away(&directory);
        }
        made
    }

    fn publish(&self, container: &Container, is_fleeting: bool) -> Result<Named> {
        let _publishing = self.store.publishing()?;
        if self.store.blob_size(&container.manifest)?.is_none() {
            return Ok(Named::NoImage(container.manifest));
        }
        self.write_name(container, is_fleeting)?;
        self.write_record(container, is_fleeting)?;
        Ok(Named::Done)
    }

    /// Replaces a container's record. Its name must be the one it has.
    pub fn replace(&self, container: &Container) -> Result<()> {
        self.write_record(container, false)
    }

    /// Gives a container another name.
    pub fn rename(&self, container: &mut Container, name: ContainerName) -> Result<Named> {
        if let Some(id) = self.store.container_named(&name)? {
            return Ok(Named::Taken(id));
        }
        let before = std::mem::replace(&mut container.name, name);
        self.write_name(container, false)?;
        self.write_record(container, false)?;
        self.forget_name(&before)?;
        Ok(Named::Done)
    }

    /// Gives a container the name back that its record tells. `false`: another one has it.
    pub fn restore_name(&self, container: &Container) -> Result<bool> {
        match self.store.container_named(&container.name)? {
            Some(id) => Ok(id == container.id),
            None => self.write_name(container, false).map(|()| true),
        }
    }

    /// Removes a container with everything in its directory. That it is gone is certain when its
    /// record is: the rest goes out of sight at once and is freed after.
    pub fn remove(&self, container: &Container) -> Result<()> {
        self.forget(container)?;
        self.throw_away(&self.store.container_path(&container.id))
    }

    /// Does the first half of [`remove`](Self::remove): nobody finds the container any more, and its
    /// name is free. What was in its directory is there until it is [discarded](Store::discard_hidden);
    /// when it never is, the next sweep frees it.
    pub fn hide(&self, container: &Container) -> Result<HiddenContainer> {
        let directory = self.store.container_path(&container.id);
        self.forget(container)?;
        let name = durable::random_name().map_err(cannot("name", &directory))?;
        let hidden = self.store.root().join("varve/trash").join(&name);
        durable::rename(&directory, &hidden).map_err(cannot("remove", &directory))?;
        Ok(HiddenContainer(name))
    }

    fn forget(&self, container: &Container) -> Result<()> {
        let directory = self.store.container_path(&container.id);
        for record in [directory.join(FLEETING), directory.join(RECORD)] {
            durable::unlink(&record).map_err(cannot("remove", &record))?;
        }
        self.forget_name(&container.name)
    }

    /// Removes what processes that died while they made or removed containers left.
    pub fn tidy(&self) -> Result<()> {
        for (name, path) in entries(&self.store.root().join("varve/containers"))? {
            if self.store.is_cut_off(&name, &path)? {
                self.throw_away(&path)?;
            }
        }
        for (name, path) in entries(&self.store.root().join("varve/names"))? {
            let name = name.to_str().and_then(|name| name.parse::<ContainerName>().ok());
            let is_of_one = match name {
                Some(name) => self.store.container_named(&name)?.is_some(),
                None => false,
            };
            if !is_of_one {
                durable::unlink(&path).map_err(cannot("remove", &path))?;
            }
        }
        Ok(())
    }

    fn write_record(&self, container: &Container, is_fleeting: bool) -> Result<()> {
        let name = if is_fleeting { FLEETING } else { RECORD };
        let path = self.store.container_path(&container.id).join(name);
        // A record is made of strings and numbers only; there is nothing that JSON cannot say.
        let text = sealed::seal(container).unwrap_or_default();
        write(&path, &text, is_fleeting)
    }

    fn write_name(&self, container: &Container, is_fleeting: bool) -> Result<()> {
        let path = self.store.name_path(&container.name);
        write(&path, format!("{}\n", container.id).as_bytes(), is_fleeting)
    }

    fn forget_name(&self, name: &ContainerName) -> Result<()> {
        let path = self.store.name_path(name);
        durable::unlink(&path).map_err(cannot("remove", &path))?;
        Ok(())
    }

    fn throw_away(&self, directory: &Path) -> Result<()> {
        throw_away(self.store, directory)
    }

    pub(crate) fn store(&self) -> &Store {
        self.store
    }
}

/// Takes a directory out of sight and frees what is in it, however deep and whatever its modes. It
/// may hold what a container left: no path in it is followed.
pub(crate) fn throw_away(store: &Store, directory: &Path) -> Result<()> {
    let trash = store.root().join("varve/trash");
    let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) else {
        return Ok(());
    };
    let (parent, trash) = (open_directory(parent)?, open_directory(&trash)?);
    varve_fs::extract::remove(parent.as_fd(), name.as_bytes(), trash.as_fd())
        .map_err(cannot("remove", directory))
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| cannot("open", path)(errno.into()))
}

fn write(path: &Path, bytes: &[u8], is_fleeting: bool) -> Result<()> {
    let written = if is_fleeting {
        durable::replace_unsynced(path, bytes, PRIVATE_MODE)
    } else {
        durable::replace(path, bytes, PRIVATE_MODE)
    };
    written.map_err(cannot("write", path))
}

/// A file's bytes; `None` when it is not there.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(cannot("open", path)(source)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(cannot("read", path))?;
    if bytes.len() as u64 > limit {
        let actual = bytes.len() as u64;
        return Err(Error::Limit { what: "size of a record", actual, limit });
    }
    Ok(Some(bytes))
}

/// The entries of a directory; none when it is not there.
pub(crate) fn entries(path: &Path) -> Result<Vec<(std::ffi::OsString, PathBuf)>> {
    if fs::exists(path).map_err(cannot("read", path))? {
        sweep::entries(path)
    } else {
        Ok(Vec::new())
    }
}
