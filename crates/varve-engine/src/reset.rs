//! `system reset`: everything stopped and removed.

use varve_types::Ctx;

use crate::{Engine, Error, RemoveContainer, Result, container::ContainerError};

impl Engine {
    /// Stops and removes all containers with their volumes, takes networks and mounts away, and removes
    /// the store and its run directory. After an error the rest is still there, to be tried again.
    pub fn reset(&self, ctx: &Ctx<'_>) -> Result<()> {
        // Those whose records cannot be read go with the store.
        let (containers, _) = self.store().containers()?;
        for container in containers {
            let request = RemoveContainer { force: true, volumes: true };
            match self.remove_container(ctx, &container.id.to_string(), request) {
                Ok(()) | Err(Error::Container(ContainerError::NoSuch(_))) => {}
                Err(error) => return Err(error),
            }
        }
        self.take_networks_away(ctx.now())?;
        Ok(self.store().reset()?)
    }
}
