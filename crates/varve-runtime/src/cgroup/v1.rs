//! Limits in the files of version 1.

use crate::{
    cgroup::Setting,
    oci::{DeviceRule, Resources, Throttle},
};

/// What to write for these limits, in an order that the kernel accepts.
pub(super) fn settings(resources: &Resources) -> Vec<Setting> {
    let mut all = Settings::default();
    if let Some(memory) = &resources.memory {
        let what = "memory limit";
        all.add("memory", "memory.limit_in_bytes", memory.limit.filter(|n| *n != 0), what);
        // Only where swap is accounted for; without a limit of memory it cannot be set.
        let swap = memory.swap.filter(|n| *n != 0);
        all.add("memory", "memory.memsw.limit_in_bytes", swap, "swap limit");
        let low = memory.reservation.filter(|n| *n != 0);
        all.add("memory", "memory.soft_limit_in_bytes", low, "memory reservation");
        all.add("memory", "memory.swappiness", memory.swappiness, "swappiness");
        let disabled = memory.disable_oom_killer.filter(|disabled| *disabled).map(i32::from);
        all.add("memory", "memory.oom_control", disabled, "disabled OOM killer");
    }
    if let Some(cpu) = &resources.cpu {
        all.add("cpu", "cpu.shares", cpu.shares.filter(|n| *n != 0), "cpu shares");
        all.add("cpu", "cpu.cfs_period_us", cpu.period.filter(|n| *n != 0), "cpu period");
        all.add("cpu", "cpu.cfs_quota_us", cpu.quota.filter(|n| *n != 0), "cpu quota");
        all.add("cpuset", "cpuset.cpus", cpu.cpus.as_ref().filter(|t| !t.is_empty()), "cpuset");
        all.add("cpuset", "cpuset.mems", cpu.mems.as_ref().filter(|t| !t.is_empty()), "cpuset");
    }
    if let Some(pids) = resources.pids.as_ref().filter(|pids| pids.limit != 0) {
        let limit = if pids.limit < 0 { "max".to_owned() } else { pids.limit.to_string() };
        all.add("pids", "pids.max", Some(limit), "limit of processes");
    }
    if let Some(io) = &resources.block_io {
        let weight = io.weight.filter(|n| *n != 0);
        all.add("blkio", "blkio.weight", weight, "block weight");
        let mut throttle = |file, list: &[Throttle]| {
            for one in list {
                let text = format!("{}:{} {}", one.major, one.minor, one.rate);
                all.add("blkio", file, Some(text), "block limits");
            }
        };
        throttle("blkio.throttle.read_bps_device", &io.throttle_read_bps_device);
        throttle("blkio.throttle.write_bps_device", &io.throttle_write_bps_device);
        throttle("blkio.throttle.read_iops_device", &io.throttle_read_iops_device);
        throttle("blkio.throttle.write_iops_device", &io.throttle_write_iops_device);
    }
    all.0
}

#[derive(Default)]
struct Settings(Vec<Setting>);

impl Settings {
    fn add(
        &mut self,
        controller: &'static str,
        file: &'static str,
        value: Option<impl ToString>,
        what: &'static str,
    ) {
        let setting =
            value.map(|value| Setting { controller, file, value: value.to_string(), what });
        self.0.extend(setting);
    }
}

/// A rule as `devices.allow` and `devices.deny` read it: `c 1:5 rwm`.
pub(super) fn device_rule(rule: &DeviceRule) -> String {
    let number = |number: Option<i64>| match number {
        Some(number) if number >= 0 => number.to_string(),
        _ => "*".to_owned(),
    };
    let kind = rule.kind.as_deref().filter(|kind| !kind.is_empty()).unwrap_or("a");
    let access = rule.access.as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_texts_of_files() {
        let resources: Resources = serde_json::from_str(
            r#"{"memory":{"limit":8388608,"swap":-1},"cpu":{"quota":50000,"period":100000,"cpus":""},
                "pids":{"limit":-1},"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":9}]}}"#,
        )
        .unwrap();
        let shown: Vec<String> =
            settings(&resources).iter().map(|one| format!("{}={}", one.file, one.value)).collect();
        assert_eq!(
            shown,
            [
                "memory.limit_in_bytes=8388608",
                "memory.memsw.limit_in_bytes=-1",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=50000",
                "pids.max=max",
                "blkio.throttle.read_bps_device=8:0 9",
            ]
        );
    }
}
