//! `exec`: another process in a container that runs.

use std::{fs, io};

use varve_fs::root::Root;
use varve_runtime::spec::{Process, Spec};
use varve_runtime::{
    attach::{Attach, Client, ClientError, Exec, Refused, Size},
    probe,
    spec::{ExecRequest, exec_process},
    users,
};
use varve_types::{
    Ctx,
    container::{Container, ContainerId, Status},
};

use super::{ContainerError, volumes};
use crate::{Engine, Result};

/// The exit code of a process that could not be run, as Docker has it.
const NOT_RUN: i32 = 126;

/// A process to be run in a container.
#[derive(Debug, Clone, Copy)]
pub struct ExecContainer<'a> {
    /// What the container was called, for messages.
    pub called: &'a str,
    /// Program and arguments.
    pub command: &'a [String],
    /// `NAME=value`, besides the container's own.
    pub env: &'a [String],
    /// Empty for the container's own.
    pub user: &'a str,
    /// Empty for the container's own.
    pub working_dir: &'a str,
    /// Whether it has every capability.
    pub privileged: bool,
    /// Whether it has a terminal.
    pub tty: bool,
    /// The terminal's size at the start.
    pub size: Option<Size>,
    /// What of its streams is wanted; `None`: it goes on alone.
    pub attach: Option<Attach>,
}

impl Engine {
    /// Runs a process in a container. [`ContainerError::Exec`] when the container runs, and the
    /// process does not.
    pub fn exec_container(
        &self,
        ctx: &Ctx<'_>,
        container: &Container,
        request: &ExecContainer<'_>,
    ) -> Result<Client> {
        let state = self.container_state(ctx, container)?;
        let first = match (state.status, state.process) {
            (Status::Paused, _) => {
                return Err(ContainerError::ExecPaused(request.called.to_owned()).into());
            }
            (Status::Restarting, _) => {
                return Err(ContainerError::Restarting(container.id).into());
            }
            (Status::Running, Some(first)) => first,
            _ => return Err(ContainerError::NotRunning(container.id).into()),
        };
        let process = self.describe(container, first.pid, request).map_err(ContainerError::Exec)?;
        let process = serde_json::value::to_raw_value(&process)
            .map_err(|error| ContainerError::Exec(refused(&error)))?;
        let id = ContainerId::from_random(volumes::random()?).to_string();
        let (tty, size, attach) = (request.tty, request.size, request.attach);
        let exec = Exec { id, process, tty, size, attach };
        Client::exec(&self.bundle_path(&container.id)?, exec).map_err(|error| {
            let error = match error {
                ClientError::NotRunning => ContainerError::NotRunning(container.id),
                ClientError::Refused(Refused { message, exit_code }) => {
                    ContainerError::Exec(Refused { message, exit_code })
                }
                error => ContainerError::Client(error),
            };
            error.into()
        })
    }

    /// The runtime's description of the process. Who runs it is read from the files that the
    /// container sees now, beneath its root.
    fn describe(
        &self,
        container: &Container,
        pid: u32,
        request: &ExecContainer<'_>,
    ) -> Result<Process, Refused> {
        let root = Root::open(format!("/proc/{pid}/root").as_ref()).map_err(|it| refused(&it))?;
        let config = &container.config;
        let user = if request.user.is_empty() { &config.user } else { request.user };
        let groups = container.host_config.group_add.as_deref().unwrap_or_default();
        let user = users::resolve(&root, user, groups).map_err(|error| refused(&error))?;
        let first = self.first_process(container).map_err(|error| refused(&error))?;
        let all = request.privileged.then(probe::bounding_capabilities);
        Ok(exec_process(&ExecRequest {
            container,
            first: &first,
            command: request.command,
            env: request.env,
            working_dir: request.working_dir,
            user: &user,
            capabilities: all.as_deref(),
            tty: request.tty,
        }))
    }

    /// The description of the container's own process.
    fn first_process(&self, container: &Container) -> io::Result<Process> {
        let path = self.bundle_path(&container.id).map_err(io::Error::other)?;
        let spec: Spec = serde_json::from_slice(&fs::read(path.join("config.json"))?)?;
        spec.process().clone().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn refused(error: &dyn std::error::Error) -> Refused {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    Refused { message, exit_code: NOT_RUN }
}
