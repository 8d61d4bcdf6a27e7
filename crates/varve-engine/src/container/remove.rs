//! `rm` and `container prune`: containers taken away with what is theirs.

use std::time::Instant;

use varve_runtime::state::{self, StateError};
use varve_types::{
    Ctx, Kind, Printable,
    container::{Container, ContainerName, listing::PruneReport},
};

use super::{ContainerError, start::BUSY_TIME_MAX};
use crate::{Engine, Error, Filters, Result};

/// What goes with a container that is removed.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveContainer {
    /// Also when it runs: it is killed before.
    pub force: bool,
    /// The volumes that were made for it and have no name go with it.
    pub volumes: bool,
}

impl Engine {
    /// Removes a container: what is mounted for it, its files, its name.
    pub fn remove_container(
        &self,
        ctx: &Ctx<'_>,
        name: &str,
        request: RemoveContainer,
    ) -> Result<()> {
        self.tidy_the_cut_off();
        let container = self.container(name)?;
        let until = Instant::now() + BUSY_TIME_MAX;
        let mut was_running = false;
        loop {
            let removed = self.remove_once(ctx, &container, request, &mut was_running);
            match removed {
                // It went with its end.
                Err(Error::Container(ContainerError::NoSuch(_))) if was_running => return Ok(()),
                // Another command just starts it.
                Err(Error::Container(ContainerError::State(StateError::Watched)))
                    if request.force && Instant::now() < until => {}
                removed => return removed,
            }
        }
    }

    fn remove_once(
        &self,
        ctx: &Ctx<'_>,
        container: &Container,
        request: RemoveContainer,
        was_running: &mut bool,
    ) -> Result<()> {
        let state = self.container_state(ctx, container)?;
        if state.status.is_running() {
            let name = container.name.clone();
            if !request.force {
                return Err(ContainerError::Running { name, status: state.status }.into());
            }
            *was_running = true;
            self.kill_and_wait(ctx, container)?;
        }
        self.remove_stopped(container, request.volumes)
    }

    /// Removes a container that does not run.
    pub(crate) fn remove_stopped(&self, container: &Container, with_volumes: bool) -> Result<()> {
        let missing = || ContainerError::NoSuch(container.name.to_string());
        let directory = self.store.container_path(&container.id);
        // While this is held nobody starts it.
        let _held = state::lock(&directory).map_err(|error| match error {
            StateError::Io { .. } if error.kind() == Kind::NotFound => missing(),
            error => ContainerError::State(error),
        })?;
        let container = self.store.container(&container.id)?.ok_or_else(missing)?;
        self.forget_container(&container, with_volumes)
    }

    /// `rm --link`: there are no links between containers that could be removed.
    pub fn remove_link(&self, name: &str) -> Result<()> {
        let (parent, link) = name.trim_start_matches('/').rsplit_once('/').unwrap_or(("", name));
        let error = if parent.is_empty() {
            "Conflict, cannot remove the default link name of the container".to_owned()
        } else {
            let named = parent.parse::<ContainerName>().ok();
            match named.map(|name| self.store.container_named(&name)).transpose()?.flatten() {
                Some(_) => return Ok(()),
                None => format!(
                    "Cannot get parent /{} for link name /{}/{}",
                    Printable(parent),
                    Printable(parent),
                    Printable(link)
                ),
            }
        };
        Err(ContainerError::Invalid(error).into())
    }

    /// Removes the containers that do not run. One that cannot be removed stays without a word.
    pub fn prune_containers(&self, ctx: &Ctx<'_>, filters: &Filters) -> Result<PruneReport> {
        filters.only(&["label", "label!", "until"])?;
        let until = filters.until(ctx.now())?;
        let mut report = PruneReport::default();
        for (container, state) in self.containers_with_states()? {
            let is_young = until.is_some_and(|until| container.created > until);
            if state.status.is_running() || is_young {
                continue;
            }
            let labels = container.config.labels.iter().flatten();
            if !filters.labels_fit(labels.map(|(name, value)| (name.as_str(), value.as_str()))) {
                continue;
            }
            let size_bytes = self.writable_size(&container)?;
            if self.remove_stopped(&container, false).is_ok() {
                report.reclaimed_bytes += size_bytes;
                report.removed.push(container.id.to_string());
            }
        }
        Ok(report)
    }
}
