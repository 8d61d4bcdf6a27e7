//! What Docker's daemon does to a container's settings when one is made: refuses what contradicts
//! itself or the machine, in its words, and fills in what follows.

use std::str::FromStr as _;

use varve_fs::durable;
use varve_runtime::{
    apparmor, probe, selinux,
    spec::{self, Cgroups, Machine, SecurityOptions},
};
use varve_types::{
    Printable,
    container::{
        ContainerConfig, HostConfig, LogConfig, NamespaceMode, NetworkMode, SHM_SIZE_BYTES, Signal,
    },
};

use super::{ContainerError, bundle, executor, volumes};
use crate::{Engine, Result};

/// What was settled besides the settings themselves.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// What is not as asked for.
    pub(super) warnings: Vec<String>,
    /// SELinux label of the files; empty where SELinux is off.
    pub(super) mount_label: String,
    /// SELinux label of the processes; empty where SELinux is off.
    pub(super) process_label: String,
    /// AppArmor profile; empty where AppArmor is off.
    pub(super) app_armor_profile: String,
}

impl Engine {
    /// Settles what was asked for against this machine.
    pub(super) fn settle(
        &self,
        config: &ContainerConfig,
        host: &mut HostConfig,
    ) -> Result<Settled> {
        let machine = probe::machine(bundle::cgroups(), false);
        let mut settled = Settled::default();
        words(config, host)?;
        if host.runtime.is_empty() {
            executor::DEFAULT.clone_into(&mut host.runtime);
        }
        self.find_runtime(host)?;
        let refused = |error: &dyn std::error::Error| ContainerError::Limit(error.to_string());
        spec::settle_capabilities(host, &machine).map_err(|error| refused(&error))?;
        let limits = spec::settle_limits(host, &machine).map_err(|error| refused(&error))?;
        settled.warnings.extend(limits.into_iter().map(str::to_owned));
        defaults(host, &machine);
        let security = SecurityOptions::parse(host.security_opt.as_deref());
        let security = security.map_err(|error| refused(&error))?;
        confine(host, &machine, &security, &mut settled)?;
        if NetworkMode::of(&host.network_mode) == NetworkMode::Host
            && !host.port_bindings.is_empty()
        {
            let text = "Published ports are discarded when using host network mode";
            settled.warnings.push(text.to_owned());
        }
        // The start would say it too.
        if machine.cgroups == Cgroups::None && self.is_first_time("limits")? {
            let text = "no control groups can be used on this machine: neither limits nor rules \
                        about devices are enforced";
            settled.warnings.push(text.to_owned());
        }
        Ok(settled)
    }

    /// Whether something was not said before since the machine started.
    pub(super) fn is_first_time(&self, what: &str) -> Result<bool> {
        let path = self.store.run_directory("said")?.join(what);
        Ok(!path.exists() && durable::create_directory(&path, 0o700).is_ok())
    }
}

/// What the daemon fixes where nothing was asked for.
fn defaults(host: &mut HostConfig, machine: &Machine) {
    if host.shm_size == 0 {
        host.shm_size = SHM_SIZE_BYTES;
    }
    if host.ipc_mode.is_empty() {
        "private".clone_into(&mut host.ipc_mode);
    }
    if host.cgroupns_mode.is_empty() {
        let own = machine.cgroups == Cgroups::V2 && !host.privileged;
        if own { "private" } else { "host" }.clone_into(&mut host.cgroupns_mode);
    }
    if host.privileged {
        (host.masked_paths, host.readonly_paths) = (None, None);
    }
    let is_host = |mode: &Result<NamespaceMode, _>| matches!(mode, Ok(NamespaceMode::Host));
    let label = "label=disable".to_owned();
    let shares = is_host(&NamespaceMode::ipc(&host.ipc_mode).map_err(drop))
        || is_host(&NamespaceMode::pid(&host.pid_mode).map_err(drop));
    let options = host.security_opt.clone().unwrap_or_default();
    if (shares || host.privileged) && !options.contains(&label) {
        host.security_opt.get_or_insert_default().push(label);
    }
}

/// Labels and profile, on machines that have them.
fn confine(
    host: &HostConfig,
    machine: &Machine,
    security: &SecurityOptions,
    settled: &mut Settled,
) -> Result<()> {
    let random = volumes::random()?;
    let number = u64::from_le_bytes(random[..8].try_into().unwrap_or_default());
    // Wrong options are wrong on every machine.
    let labels = selinux::labels(&security.labels, host.privileged, selinux::categories(number))
        .map_err(|error| ContainerError::Limit(error.to_string()))?;
    if machine.selinux {
        (settled.process_label, settled.mount_label) = (labels.process, labels.mount);
    }
    if !machine.apparmor {
        return Ok(());
    }
    let profile = apparmor::profile(security.apparmor.as_deref(), host.privileged);
    profile.clone_into(&mut settled.app_armor_profile);
    if profile == apparmor::DEFAULT_PROFILE && !apparmor::can_be_loaded() {
        "unconfined".clone_into(&mut settled.app_armor_profile);
        let text = "AppArmor is enabled, but apparmor_parser is not installed to load the profile \
                    docker-default: the container is not confined by AppArmor";
        settled.warnings.push(text.to_owned());
    }
    Ok(())
}

fn words(config: &ContainerConfig, host: &HostConfig) -> Result<(), ContainerError> {
    let refused = |text: String| Err(ContainerError::Limit(text));
    if !config.stop_signal.is_empty() && Signal::from_str(&config.stop_signal).is_err() {
        return refused(format!("invalid signal: {}", Printable(&config.stop_signal)));
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        let isolation = Printable(&host.isolation);
        return refused(format!(
            "Invalid isolation: \"{isolation}\" - linux only supports 'default'"
        ));
    }
    let LogConfig { kind, .. } = &host.log_config;
    if !matches!(kind.as_str(), "" | "json-file" | "local" | "none") {
        let kind = Printable(kind);
        return refused(format!(
            "error looking up logging plugin {kind}: plugin \"{kind}\" not found"
        ));
    }
    if !host.storage_opt.is_empty() {
        let text =
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option";
        return refused(text.to_owned());
    }
    if host.device_requests.as_ref().is_some_and(|requests| !requests.is_empty()) {
        let text = "could not select device driver \"\" with capabilities: [[gpu]]";
        return refused(text.to_owned());
    }
    let modes = [
        NamespaceMode::ipc(&host.ipc_mode),
        NamespaceMode::pid(&host.pid_mode),
        NamespaceMode::uts(&host.uts_mode),
        NamespaceMode::userns(&host.userns_mode),
        NamespaceMode::cgroup(&host.cgroupns_mode),
    ];
    for mode in modes {
        mode.map_err(|error| ContainerError::Limit(error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut HostConfig), expected: &str) {
        let mut host = HostConfig::default();
        change(&mut host);
        let shown = words(&ContainerConfig::default(), &host);
        assert_eq!(shown.err().map(|error| error.to_string()).unwrap_or_default(), expected);
    }

    #[test]
    fn words_that_mean_nothing_are_refused_as_by_docker() {
        let plugin = "error looking up logging plugin bogus: plugin \"bogus\" not found";
        check(|host| host.log_config.kind = "bogus".to_owned(), plugin);
        check(|host| host.ipc_mode = "bogus".to_owned(), "invalid IPC mode: bogus");
        check(|host| host.log_config.kind = "none".to_owned(), "");
        check(|host| host.log_config.kind = "local".to_owned(), "");
        let isolation = "Invalid isolation: \"hyperv\" - linux only supports 'default'";
        check(|host| host.isolation = "hyperv".to_owned(), isolation);
    }

    #[test]
    fn what_the_daemon_fixes_is_fixed() {
        let settled = |change: fn(&mut HostConfig), cgroups| {
            let mut machine = probe::machine(bundle::cgroups(), false);
            machine.cgroups = cgroups;
            let mut host = HostConfig { ipc_mode: String::new(), ..HostConfig::default() };
            change(&mut host);
            defaults(&mut host, &machine);
            host
        };
        let plain = settled(|_| (), Cgroups::V1);
        assert_eq!((plain.ipc_mode.as_str(), plain.cgroupns_mode.as_str()), ("private", "host"));
        assert_eq!((plain.masked_paths.is_some(), plain.security_opt), (true, None));
        assert_eq!(settled(|_| (), Cgroups::V2).cgroupns_mode, "private");
        let privileged = settled(|host| host.privileged = true, Cgroups::V2);
        assert_eq!((privileged.masked_paths, privileged.readonly_paths), (None, None));
        assert_eq!(privileged.cgroupns_mode, "host");
        assert_eq!(privileged.security_opt.unwrap(), ["label=disable"]);
        let shares = settled(|host| host.pid_mode = "host".to_owned(), Cgroups::V1);
        assert_eq!(shares.security_opt.unwrap(), ["label=disable"]);
    }
}
