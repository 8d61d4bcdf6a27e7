//! What Docker's daemon refuses of a container's settings, in its words.

use std::{collections::BTreeSet, fs, str::FromStr as _};

use varve_types::container::{ContainerConfig, HostConfig, LogConfig, NamespaceMode, Signal};

use super::ContainerError;

/// Below this no program can be started in the container.
const MEMORY_SIZE_BYTES_MIN: i64 = 6 << 20;
const NANO: f64 = 1e9;

/// Refuses what this machine cannot keep or what contradicts itself. Returns warnings.
pub(super) fn verify(
    config: &ContainerConfig,
    host: &HostConfig,
) -> Result<Vec<String>, ContainerError> {
    memory(host)?;
    processors(host)?;
    words(config, host)?;
    Ok(warnings(host))
}

fn refused<T>(text: impl Into<String>) -> Result<T, ContainerError> {
    Err(ContainerError::Limit(text.into()))
}

fn memory(host: &HostConfig) -> Result<(), ContainerError> {
    if host.memory != 0 && host.memory < MEMORY_SIZE_BYTES_MIN {
        return refused("Minimum memory limit allowed is 6MB");
    }
    if host.memory > 0 && host.memory_swap > 0 && host.memory_swap < host.memory {
        return refused("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if host.memory == 0 && host.memory_swap > 0 {
        return refused(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
    }
    if let Some(swappiness) = host.memory_swappiness
        && !(-1..=100).contains(&swappiness)
    {
        return refused(format!(
            "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        ));
    }
    if host.memory_reservation != 0 && host.memory_reservation < MEMORY_SIZE_BYTES_MIN {
        return refused("Minimum memory reservation allowed is 6MB");
    }
    if host.memory > 0 && host.memory_reservation > 0 && host.memory < host.memory_reservation {
        return refused(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    if host.shm_size < 0 {
        return refused("SHM size can not be less than 0");
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        let text = format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        );
        return refused(text);
    }
    Ok(())
}

fn processors(host: &HostConfig) -> Result<(), ContainerError> {
    if host.nano_cpus > 0 && host.cpu_period > 0 {
        return refused("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if host.nano_cpus > 0 && host.cpu_quota > 0 {
        return refused("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    }
    let online = online("/sys/devices/system/cpu/online");
    let count = online.len().max(1);
    if host.nano_cpus < 0 || host.nano_cpus as f64 > count as f64 * NANO {
        let text = format!(
            "Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
        );
        return refused(text);
    }
    if host.cpu_period != 0 && !(1_000..=1_000_000).contains(&host.cpu_period) {
        return refused(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if host.cpu_quota > 0 && host.cpu_quota < 1_000 {
        return refused("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    set("CPUs", &host.cpuset_cpus, "/sys/devices/system/cpu/online")?;
    set("memory nodes", &host.cpuset_mems, "/sys/devices/system/node/online")
}

fn set(what: &str, asked: &str, path: &str) -> Result<(), ContainerError> {
    if asked.is_empty() {
        return Ok(());
    }
    let Some(numbers) = numbers(asked) else {
        let name = if what == "CPUs" { "cpuset.cpus" } else { "cpuset.mems" };
        return refused(format!("Invalid value {asked} for {name}"));
    };
    let available = fs::read_to_string(path).unwrap_or_default();
    let there = online(path);
    if !there.is_empty() && !numbers.is_subset(&there) {
        let available = available.trim();
        return refused(format!(
            "Requested {what} are not available - requested {asked}, available: {available}"
        ));
    }
    Ok(())
}

fn online(path: &str) -> BTreeSet<u32> {
    numbers(fs::read_to_string(path).unwrap_or_default().trim()).unwrap_or_default()
}

/// The numbers of a list such as `0-2,4`.
fn numbers(text: &str) -> Option<BTreeSet<u32>> {
    const NUMBER_MAX: u32 = 8_192;
    let mut numbers = BTreeSet::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > NUMBER_MAX {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

fn words(config: &ContainerConfig, host: &HostConfig) -> Result<(), ContainerError> {
    if !config.stop_signal.is_empty() && Signal::from_str(&config.stop_signal).is_err() {
        return refused(format!("invalid signal: {}", varve_types::Printable(&config.stop_signal)));
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        let text = format!(
            "Invalid isolation: \"{}\" - linux only supports 'default'",
            varve_types::Printable(&host.isolation)
        );
        return refused(text);
    }
    let LogConfig { kind, .. } = &host.log_config;
    if !matches!(kind.as_str(), "" | "json-file" | "none") {
        let kind = varve_types::Printable(kind);
        return refused(format!(
            "error looking up logging plugin {kind}: plugin \"{kind}\" not found"
        ));
    }
    if !host.storage_opt.is_empty() {
        return refused(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        );
    }
    if host.device_requests.as_ref().is_some_and(|requests| !requests.is_empty()) {
        return refused("could not select device driver \"\" with capabilities: [[gpu]]");
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

fn warnings(host: &HostConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if host.oom_kill_disable == Some(true) && host.memory == 0 {
        warnings.push("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut HostConfig), expected: &str) {
        let mut host = HostConfig::default();
        change(&mut host);
        let shown = match verify(&ContainerConfig::default(), &host) {
            Ok(warnings) => warnings.join("\n"),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn limits_that_cannot_be_kept_are_refused_as_by_docker() {
        check(|host| host.memory = 1 << 20, "Minimum memory limit allowed is 6MB");
        check(|host| host.memory = 64 << 20, "");
        let swap = "Minimum memoryswap limit should be larger than memory limit, see usage";
        check(|host| (host.memory, host.memory_swap) = (64 << 20, 32 << 20), swap);
        check(|host| (host.memory, host.memory_swap) = (64 << 20, -1), "");
        let alone = "You should always set the Memory limit when using Memoryswap limit, see usage";
        check(|host| host.memory_swap = 32 << 20, alone);
        let reserved =
            "Minimum memory limit can not be less than memory reservation limit, see usage";
        check(|host| (host.memory, host.memory_reservation) = (32 << 20, 64 << 20), reserved);
        let plugin = "error looking up logging plugin bogus: plugin \"bogus\" not found";
        check(|host| host.log_config.kind = "bogus".to_owned(), plugin);
        check(|host| host.ipc_mode = "bogus".to_owned(), "invalid IPC mode: bogus");
        check(|host| host.cpuset_cpus = "x".to_owned(), "Invalid value x for cpuset.cpus");
        check(
            |host| host.oom_kill_disable = Some(true),
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
        );
    }

    #[test]
    fn lists_of_processors_are_read_with_ranges() {
        assert_eq!(numbers("0-2,4"), Some(BTreeSet::from([0, 1, 2, 4])));
        for wrong in ["", "a", "2-1", "1-", "-1", "0-99999999"] {
            assert_eq!(numbers(wrong), None, "{wrong}");
        }
    }
}
