//! `update`: other limits for a container, at once where it runs.

use varve_runtime::{
    attach::{Client, ClientError},
    oci::Resources,
    probe,
    spec::{self, cgroup_limits},
};
use varve_types::{
    Ctx,
    container::{HostConfig, RestartMode, RestartPolicy, Status},
};

use super::{ContainerError, bundle};
use crate::{Engine, Result};

/// Limits to be changed; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "members of docker's HostConfig, which has the words for them")]
pub struct UpdateContainer {
    pub blkio_weight: Option<u16>,
    pub cpu_period: Option<i64>,
    pub cpu_quota: Option<i64>,
    pub cpu_realtime_period: Option<i64>,
    pub cpu_realtime_runtime: Option<i64>,
    pub cpu_shares: Option<i64>,
    pub nano_cpus: Option<i64>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub memory_bytes: Option<i64>,
    pub memory_reservation_bytes: Option<i64>,
    pub memory_swap_bytes: Option<i64>,
    pub pids_limit: Option<i64>,
    pub restart: Option<RestartPolicy>,
}

impl Engine {
    /// Changes limits of a container. What the machine refuses of a running one changes nothing.
    pub fn update_container(
        &self,
        ctx: &Ctx<'_>,
        name: &str,
        update: &UpdateContainer,
    ) -> Result<()> {
        let container = self.container(name)?;
        // What a monitor that was killed left is put in order before the lock: that takes it too.
        self.container_state(ctx, &container)?;
        let containers = self.store().lock_containers()?;
        let missing = || ContainerError::NoSuch(name.to_owned());
        let mut container = self.store().container(&container.id)?.ok_or_else(missing)?;
        let status = self.read_state(&container)?.status;
        let refused =
            |reason: &str| ContainerError::Update { id: container.id, reason: reason.to_owned() };
        if matches!(status, Status::Removing | Status::Dead) {
            let reason = "Container is marked for removal and cannot be \"update\".";
            return Err(refused(reason).into());
        }
        let mut host = container.host_config.clone();
        change(&mut host, update).map_err(refused)?;
        let machine = probe::machine(bundle::cgroups(), host.privileged);
        // Warnings were said when the container was made.
        spec::settle_limits(&mut host, &machine)
            .map_err(|error| ContainerError::Limit(error.to_string()))?;
        if status.has_processes() && changes_limits(update) {
            let resources = serde_json::to_value(cgroup_limits(&host, &machine))
                .and_then(serde_json::from_value::<Resources>)
                .map_err(|error| refused(&error.to_string()))?;
            let updated = self.runtime(&container)?.update(&container.id.to_string(), &resources);
            let unenforced = updated.map_err(|error| refused(&error.docker_text()))?;
            if let Some(first) = unenforced.first() {
                return Err(refused(&format!("{}: {}", first.what, first.why)).into());
            }
        }
        container.host_config = host;
        containers.replace(&container)?;
        // Its monitor may wait for the lock before it answers.
        drop(containers);
        if let Some(policy) = update.restart.filter(|_| status != Status::Exited) {
            match Client::restarts(&self.bundle_path(&container.id)?, policy) {
                Ok(()) | Err(ClientError::NotRunning | ClientError::Gone) => {}
                Err(error) => return Err(ContainerError::Client(error).into()),
            }
        }
        Ok(())
    }
}

fn changes_limits(update: &UpdateContainer) -> bool {
    UpdateContainer { restart: None, ..update.clone() } != UpdateContainer::default()
}

/// Sets what is to be set. The error is Docker's reason.
fn change(host: &mut HostConfig, update: &UpdateContainer) -> Result<(), &'static str> {
    fn set<T: Clone>(member: &mut T, value: Option<&T>) {
        if let Some(value) = value {
            member.clone_from(value);
        }
    }
    let positive = |value: Option<i64>| value.is_some_and(|value| value > 0);
    if positive(update.nano_cpus) && (host.cpu_period > 0 || host.cpu_quota > 0) {
        return Err(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period or Quota has already been set",
        );
    }
    if positive(update.cpu_period) && host.nano_cpus > 0 {
        return Err(
            "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
        );
    }
    if positive(update.cpu_quota) && host.nano_cpus > 0 {
        return Err(
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
        );
    }
    // -1 is no limit of memory and swap.
    let passes_swap = |bytes: i64| bytes > host.memory_swap && host.memory_swap != -1;
    if update.memory_bytes.is_some_and(passes_swap)
        && update.memory_swap_bytes.is_none_or(|bytes| bytes == 0)
    {
        return Err(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        );
    }
    if let Some(policy) = update.restart {
        if host.auto_remove && policy.name != RestartMode::No {
            return Err(
                "Restart policy cannot be updated because AutoRemove is enabled for the container",
            );
        }
        host.restart_policy = policy;
    }
    set(&mut host.blkio_weight, update.blkio_weight.as_ref());
    set(&mut host.cpu_period, update.cpu_period.as_ref());
    set(&mut host.cpu_quota, update.cpu_quota.as_ref());
    set(&mut host.cpu_realtime_period, update.cpu_realtime_period.as_ref());
    set(&mut host.cpu_realtime_runtime, update.cpu_realtime_runtime.as_ref());
    set(&mut host.cpu_shares, update.cpu_shares.as_ref());
    set(&mut host.nano_cpus, update.nano_cpus.as_ref());
    set(&mut host.cpuset_cpus, update.cpuset_cpus.as_ref());
    set(&mut host.cpuset_mems, update.cpuset_mems.as_ref());
    set(&mut host.memory, update.memory_bytes.as_ref());
    set(&mut host.memory_reservation, update.memory_reservation_bytes.as_ref());
    set(&mut host.memory_swap, update.memory_swap_bytes.as_ref());
    if update.pids_limit.is_some() {
        host.pids_limit = update.pids_limit;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_what_is_set_is_refused_in_dockers_words() {
        let memory = UpdateContainer { memory_bytes: Some(100 << 20), ..Default::default() };
        let mut host = HostConfig::default();
        let error = change(&mut host, &memory).unwrap_err();
        assert!(error.starts_with("Memory limit should be smaller"), "{error}");
        assert_eq!(host, HostConfig::default());
        let both = UpdateContainer { memory_swap_bytes: Some(200 << 20), ..memory };
        change(&mut host, &both).unwrap();
        assert_eq!((host.memory, host.memory_swap), (100 << 20, 200 << 20));
        host.auto_remove = true;
        let always = UpdateContainer {
            restart: Some("always".parse().unwrap()),
            ..UpdateContainer::default()
        };
        assert!(change(&mut host, &always).unwrap_err().contains("AutoRemove"));
    }
}
