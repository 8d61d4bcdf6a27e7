//! `attach` and `logs`: what a container writes, now and up to now.

use varve_runtime::{
    attach::{Attach, Client, ClientError},
    logs::{Ask, LogError, Reader},
    monitor,
};
use varve_types::{
    Ctx,
    container::{Container, Status},
};

use super::ContainerError;
use crate::{Engine, Result};

impl Engine {
    /// Attaches to a container that runs.
    pub fn attach_container(
        &self,
        ctx: &Ctx<'_>,
        container: &Container,
        attach: Attach,
    ) -> Result<Client> {
        match self.container_state(ctx, container)?.status {
            Status::Running => {}
            Status::Paused => return Err(ContainerError::AttachPaused.into()),
            Status::Restarting => return Err(ContainerError::AttachRestarting.into()),
            _ => return Err(ContainerError::AttachStopped.into()),
        }
        match Client::attach(&self.bundle_path(&container.id)?, attach) {
            Ok(client) => Ok(client),
            // It ended since.
            Err(ClientError::NotRunning) => Err(ContainerError::AttachStopped.into()),
            Err(error) => Err(ContainerError::Client(error).into()),
        }
    }

    /// Opens a container's log.
    pub fn container_log(&self, container: &Container, ask: Ask) -> Result<Reader> {
        let config = &container.host_config.log_config;
        if config.kind == "none" {
            return Err(ContainerError::Log(LogError::NotKept).into());
        }
        let directory = self.store.container_path(&container.id);
        let path = monitor::log_path(&directory, &container.id.to_string());
        Ok(Reader::open(&directory, &path, ask).map_err(ContainerError::Log)?)
    }
}
