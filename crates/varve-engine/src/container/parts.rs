//! Parts of volumes (`volume-subpath`): each is found beneath its volume, whatever links lie in it,
//! and mounted at a place of ours by a handle. The runtime is told that place: a path in the volume
//! could lead elsewhere by the time it looks.
//!
//! ```text
//! <run directory>/parts/<id>/<number>     until the container's end
//! ```
//!
//! These directories are never removed with what is in them: that would be the volume's.

use std::{borrow::Cow, fs, io, os::fd::AsRawFd as _, path::PathBuf};

use rustix::fs::FileType;
use varve_fs::{
    durable,
    mount::{self, InUse},
    root::Root,
};
use varve_runtime::attach::Refused;
use varve_types::{
    Printable,
    container::{Container, ContainerId},
};

use super::bundle::{refused, start_refused};
use crate::{Engine, Result};

impl Engine {
    fn parts_path(&self, id: &ContainerId) -> Result<PathBuf> {
        Ok(self.store.run_directory("parts")?.join(id.to_string()))
    }

    /// Mounts the parts of volumes that a container is to have; gives the container with their
    /// places instead of the volumes'.
    pub(super) fn mount_parts<'a>(
        &self,
        container: &'a Container,
    ) -> Result<Cow<'a, Container>, Refused> {
        let mut parted = Cow::Borrowed(container);
        if !has_parts(container) {
            return Ok(parted);
        }
        self.release_parts(container).map_err(refused)?;
        let directory = self.parts_path(&container.id).map_err(refused)?;
        for (at, mount) in container.mounts.iter().enumerate() {
            if mount.subpath.is_empty() {
                continue;
            }
            let place = directory.join(at.to_string());
            let mounted = (|| -> io::Result<()> {
                let part = Root::open(mount.source.as_ref())?.open_path(mount.subpath.as_ref())?;
                durable::create_directories_unsynced(&directory, 0o700)?;
                match FileType::from_raw_mode(rustix::fs::fstat(&part)?.st_mode) {
                    FileType::Directory => {
                        durable::create_directory(&place, 0o700)?;
                    }
                    FileType::RegularFile => durable::replace_unsynced(&place, b"", 0o600)?,
                    _ => return Err(io::Error::other("not a directory or a regular file")),
                }
                let part = format!("/proc/self/fd/{}", part.as_raw_fd());
                let name = at.to_string();
                Root::open(&directory)?.mount_over(part.as_ref(), name.as_ref(), false)
            })();
            mounted.map_err(|error| {
                let (part, volume) = (Printable(&mount.subpath), Printable(&mount.name));
                let why = crate::error::go_io_text(&error);
                start_refused(format!("cannot mount {part} of volume {volume}: {why}"))
            })?;
            parted.to_mut().mounts[at].source = place.display().to_string();
        }
        Ok(parted)
    }

    /// Takes away what [`mount_parts`](Self::mount_parts) made, also when its process was killed.
    pub(super) fn release_parts(&self, container: &Container) -> Result<()> {
        if !has_parts(container) {
            return Ok(());
        }
        let directory = self.parts_path(&container.id)?;
        let Ok(places) = fs::read_dir(&directory) else { return Ok(()) };
        for place in places.filter_map(io::Result::ok) {
            // One that is no mount is empty; one that is still there is not removed.
            let _ = mount::unmount(&place.path(), InUse::Detached);
            let is_file = place.file_type().is_ok_and(|kind| kind.is_file());
            let _ = if is_file {
                durable::unlink(&place.path()).map(drop)
            } else {
                durable::remove_directory(&place.path()).map(drop)
            };
        }
        let _ = durable::remove_directory(&directory);
        Ok(())
    }
}

fn has_parts(container: &Container) -> bool {
    container.mounts.iter().any(|mount| !mount.subpath.is_empty())
}
