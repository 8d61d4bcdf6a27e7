//! What runs again when the machine was started: with docker its daemon sees to that, here a
//! command that the machine's init calls.

use varve_types::container::{Container, Status};

use crate::{Engine, Result};

impl Engine {
    /// The containers that do not run and are to run when the machine does, by their restart
    /// policies, the oldest first: whoever shares something of another is younger than that one.
    pub fn containers_to_run(&self) -> Result<Vec<Container>> {
        let containers = self.containers_with_states()?.into_iter().rev();
        let is_to_run = containers.filter(|(container, state)| {
            let policy = &container.host_config.restart_policy;
            state.status == Status::Exited && policy.starts_with_machine(state.stopped_by_hand)
        });
        Ok(is_to_run.map(|(container, _)| container).collect())
    }
}
