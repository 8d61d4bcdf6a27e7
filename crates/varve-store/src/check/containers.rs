//! Verifying containers and volumes: their records, and that what they are of is here.

use std::{collections::HashSet, path::Path};

use varve_types::{
    Descriptor,
    container::{ContainerId, VolumeName},
};

use super::Check;
use crate::{Error, Result, containers::entries};

impl Check<'_> {
    /// A directory without a record is left of a process that died, and in order.
    pub(super) fn containers(&mut self) -> Result<()> {
        for (name, _) in entries(&self.store.root().join("varve/containers"))? {
            let path = Path::new("varve/containers").join(&name);
            let Some(id) = name.to_str().and_then(|name| name.parse::<ContainerId>().ok()) else {
                self.found(path, "its name is not the ID of a container");
                continue;
            };
            match self.store.container(&id) {
                Ok(None) => {}
                Ok(Some(container)) => {
                    let user = format!("container {}", container.name);
                    let size = self.store.blob_size(&container.manifest)?.unwrap_or_default();
                    let target = Descriptor::new("", container.manifest, size);
                    self.reach(&target, &user, &mut HashSet::new())?;
                }
                Err(error) => self.record(&path.join("container.json"), error)?,
            }
        }
        for (name, _) in entries(&self.store.root().join("varve/volumes"))? {
            let path = Path::new("varve/volumes").join(&name);
            match name.to_str().and_then(|name| name.parse::<VolumeName>().ok()) {
                None => self.found(path, "its name is not that of a volume"),
                Some(name) => {
                    if let Err(error) = self.store.volume(&name) {
                        self.record(&path.join("volume.json"), error)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, path: &Path, error: Error) -> Result<()> {
        match error {
            Error::Record { reason, .. } => self.found(path, reason),
            Error::Limit { .. } => self.found(path, error.to_string()),
            other => return Err(other),
        }
        Ok(())
    }
}
