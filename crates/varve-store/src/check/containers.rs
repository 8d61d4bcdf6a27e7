//! Verifying containers and volumes: their records, and that what they are of is here.

use std::{collections::HashSet, path::Path};

use varve_types::{
    Container, Descriptor,
    container::{ContainerId, VolumeName},
};

use super::{Cause, Check, images::User};
use crate::{Error, Result, containers::entries};

impl Check<'_> {
    /// A directory without a record is left of a process that died, and in order.
    pub(super) fn containers(&mut self) -> Result<()> {
        for (name, _) in entries(&self.store.root().join("varve/containers"))? {
            let path = Path::new("varve/containers").join(&name);
            let Some(id) = name.to_str().and_then(|name| name.parse::<ContainerId>().ok()) else {
                self.stray(path, "its name is not the ID of a container");
                continue;
            };
            match self.store.container(&id) {
                Ok(None) => {}
                Ok(Some(container)) => {
                    self.container_name(&container)?;
                    let user = User::of_container(&container);
                    let size = self.store.blob_size(&container.manifest)?.unwrap_or_default();
                    let target = Descriptor::new("", container.manifest, size);
                    self.reach(&target, &user, &mut HashSet::new())?;
                }
                Err(error) => {
                    self.record(&path.join("container.json"), error, Cause::Container(id))?;
                }
            }
        }
        for (name, _) in entries(&self.store.root().join("varve/volumes"))? {
            let path = Path::new("varve/volumes").join(&name);
            match name.to_str().and_then(|name| name.parse::<VolumeName>().ok()) {
                None => self.stray(path, "its name is not that of a volume"),
                Some(name) => {
                    if let Err(error) = self.store.volume(&name) {
                        self.record(&path.join("volume.json"), error, Cause::Volume(name))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a container is found by its name.
    fn container_name(&mut self, container: &Container) -> Result<()> {
        // Record and name of one that goes with its end are not synced: a loss of power may leave
        // one without the other.
        let is_fleeting = !self.store.container_path(&container.id).join("container.json").exists();
        if is_fleeting || self.store.container_named(&container.name)? == Some(container.id) {
            return Ok(());
        }
        let path = Path::new("varve/names").join(container.name.as_str());
        let affects = vec![format!("container {}", container.name)];
        let problem = "it does not name the container that has this name";
        self.found_for(path, problem, affects, Cause::ContainerName(container.id));
        Ok(())
    }

    fn record(&mut self, path: &Path, error: Error, cause: Cause) -> Result<()> {
        match error {
            Error::Record { reason, .. } => self.found(path, reason, cause),
            Error::Limit { .. } => self.found(path, error.to_string(), cause),
            other => return Err(other),
        }
        Ok(())
    }
}
