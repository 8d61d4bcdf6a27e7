//! `pause` and `unpause`: all processes of a container frozen where they are, and let go on.

use varve_runtime::{
    attach::{Client, ClientError},
    endings::HeldEndings,
};
use varve_types::{
    Ctx,
    container::{Container, State, Status},
};

use super::ContainerError;
use crate::{Engine, Result};

impl Engine {
    /// The state of a container that runs, frozen or not; an error of one that does not.
    pub(crate) fn running_state(&self, ctx: &Ctx<'_>, container: &Container) -> Result<State> {
        let state = self.container_state(ctx, container)?;
        match state.status {
            Status::Running | Status::Paused => Ok(state),
            Status::Restarting => Err(ContainerError::Restarting(container.id).into()),
            _ => Err(ContainerError::NotRunning(container.id).into()),
        }
    }

    /// Freezes all processes of a container.
    pub fn pause_container(&self, ctx: &Ctx<'_>, container: &Container) -> Result<()> {
        if self.running_state(ctx, container)?.status == Status::Paused {
            return Err(ContainerError::AlreadyPaused(container.id).into());
        }
        let runtime = self.runtime(container)?;
        runtime.pause(&container.id.to_string()).map_err(|error| {
            let reason = error.docker_text();
            ContainerError::Invalid(format!("Cannot pause container {}: {reason}", container.id))
        })?;
        // Health checks wait from here on. One that ended just now has nothing to tell.
        match Client::paused(&self.bundle_path(&container.id)?, true) {
            Ok(()) | Err(ClientError::NotRunning | ClientError::Gone) => Ok(()),
            Err(error) => {
                // Frozen, and nobody would know.
                let _ = runtime.resume(&container.id.to_string());
                Err(ContainerError::Client(error).into())
            }
        }
    }

    /// Lets the processes of a container go on.
    pub fn unpause_container(&self, ctx: &Ctx<'_>, container: &Container) -> Result<()> {
        if self.running_state(ctx, container)?.status != Status::Paused {
            return Err(ContainerError::NotPaused(container.id).into());
        }
        self.resume_container(container)
    }

    /// Freezes a container that runs until what is given is thawed or dropped; `None` where there
    /// is nothing to freeze, and, as with Docker, where that cannot be done.
    pub(crate) fn freeze(&self, ctx: &Ctx<'_>, container: &Container) -> Result<Option<Frozen>> {
        if self.container_state(ctx, container)?.status != Status::Running {
            return Ok(None);
        }
        let Ok(endings) = HeldEndings::hold() else { return Ok(None) };
        let frozen = Client::freeze(&self.bundle_path(&container.id)?).ok();
        Ok(frozen.map(|client| Frozen { client: Some(client), _endings: endings }))
    }
}

/// A container whose processes stand still as long as this lives. The signals that would end
/// this process wait as long; where it is killed all the same, the monitor sees it go.
#[derive(Debug)]
pub(crate) struct Frozen {
    client: Option<Client>,
    _endings: HeldEndings,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // One that was killed or thawed meanwhile needs nothing more.
        let _ = self.client.take().map(Client::leave);
    }
}
