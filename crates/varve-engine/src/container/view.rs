//! A container's files as they are now, whether it runs or not: for `export` and `cp`.

use std::{
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use varve_fs::{
    lock::FileLock,
    mount::{self, InUse},
    root::Root,
};
use varve_runtime::state::{self, StateError};
use varve_types::{
    Ctx,
    container::{Container, MountKind, MountPoint, VolumeName},
};

use super::ContainerError;
use crate::{Engine, Error, Result};

/// What stands in for files of the image, and where.
const FILES: [(&str, &str); 3] =
    [("hosts", "/etc/hosts"), ("hostname", "/etc/hostname"), ("resolv.conf", "/etc/resolv.conf")];
/// How long another command may have a container that does not run.
const HELD_TIME_MAX: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A container's root. What was mounted for it only is taken away when it is dropped.
pub(crate) struct View<'a> {
    engine: &'a Engine,
    container: &'a Container,
    /// Where it is: mounted here, or as a process that has it as its root sees it.
    place: PathBuf,
    /// Whether everything that belongs into it is mounted over it.
    is_whole: bool,
    /// Of a container that does not run: nobody starts it meanwhile.
    held: Option<FileLock>,
}

impl Engine {
    /// Shows a container's files.
    pub(crate) fn view<'a>(&'a self, ctx: &Ctx<'_>, container: &'a Container) -> Result<View<'a>> {
        let until = Instant::now() + HELD_TIME_MAX;
        loop {
            if let Some(view) = self.view_running(ctx, container)? {
                return Ok(view);
            }
            match state::lock(&self.store.container_path(&container.id)) {
                Ok(held) => {
                    let place = self.mount_container(container)?;
                    let view =
                        View { engine: self, container, place, is_whole: false, held: Some(held) };
                    // What it would find in its volumes at its first start.
                    self.fill_volumes(container, &view.place)?;
                    return Ok(view);
                }
                // Another command looks into it, or it begins to run.
                Err(StateError::Watched) if Instant::now() < until => {
                    std::thread::sleep(POLL_INTERVAL);
                }
                Err(error) => return Err(ContainerError::State(error).into()),
            }
        }
    }

    fn view_running<'a>(
        &'a self,
        ctx: &Ctx<'_>,
        container: &'a Container,
    ) -> Result<Option<View<'a>>> {
        let state = self.container_state(ctx, container)?;
        let Some(process) = state.process.filter(|_| state.status.has_processes()) else {
            return Ok(None);
        };
        let (place, is_whole) = match self.store.mounted(&Self::holder(&container.id))? {
            Some(place) => (place, false),
            // It was mounted in another mount namespace.
            None => (PathBuf::from(format!("/proc/{}/root", process.pid)), true),
        };
        Ok(Some(View { engine: self, container, place, is_whole, held: None }))
    }
}

impl View<'_> {
    /// The root, without what is mounted into it.
    pub(crate) fn root(&self) -> Result<Root> {
        Root::open(&self.place).map_err(|source| self.failed(source))
    }

    /// Does something with the root as the container has it, with its volumes and what of the host
    /// is bound into it. Nobody else sees these mounts.
    pub(crate) fn inside<T: Send>(
        &self,
        work: impl FnOnce(&Root) -> Result<T> + Send,
    ) -> Result<T> {
        mount::aside(|| {
            let root = self.root()?;
            if !self.is_whole {
                self.mount_over(&root).map_err(|source| self.failed(source))?;
            }
            work(&root)
        })
        .map_err(varve_store::Error::from)?
    }

    fn failed(&self, source: std::io::Error) -> Error {
        let path = self.place.display().to_string();
        Error::File { action: "open", path, source }
    }

    fn mount_over(&self, root: &Root) -> std::io::Result<()> {
        let directory = self.engine.store.container_path(&self.container.id);
        for (name, place) in FILES {
            let source = directory.join(name);
            if source.exists() && root.stat_followed(Path::new(place)).is_ok() {
                root.mount_over(&source, Path::new(place), false)?;
            }
        }
        let mut points: Vec<&MountPoint> = self.container.mounts.iter().collect();
        points.sort_by_key(|point| point.destination.split('/').count());
        for point in points {
            let source = match (point.kind, point.name.parse::<VolumeName>()) {
                (MountKind::Tmpfs, _) => continue,
                (MountKind::Volume, Ok(name)) => self.engine.store.volume_data(&name),
                _ => PathBuf::from(&point.source),
            };
            // A part of a volume is found beneath it and no further.
            let part = match point.subpath.as_str() {
                "" => None,
                part => Some(Root::open(&source)?.open_to_change(Path::new(part))?),
            };
            let source = match &part {
                Some(part) => PathBuf::from(format!("/proc/self/fd/{}", part.as_raw_fd())),
                None => source,
            };
            let place = Path::new(&point.destination);
            let Ok(facts) = std::fs::metadata(&source) else { continue };
            if facts.is_dir() {
                // The start makes it too.
                root.create_directories(place, 0o755)?;
            } else if root.stat_followed(place).is_err() {
                continue;
            }
            root.mount_over(&source, place, !point.rw)?;
        }
        Ok(())
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        if self.held.is_some() {
            // What stays is taken away by the next start or removal.
            let holder = Engine::holder(&self.container.id);
            let _ = self.engine.store.release(&holder, InUse::Detached);
        }
    }
}
