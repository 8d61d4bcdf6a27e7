//! Limits in the files of version 2.

use crate::{
    cgroup::Setting,
    oci::{Memory, Resources, Throttle},
};

/// What to write for these limits.
pub(super) fn settings(resources: &Resources) -> Vec<Setting> {
    let mut all = Vec::new();
    let mut add = |controller, file, value: Option<String>, what| {
        all.extend(value.map(|value| Setting { controller, file, value, what }));
    };
    if let Some(memory) = &resources.memory {
        add("memory", "memory.max", memory.limit.and_then(limit), "memory limit");
        add("memory", "memory.swap.max", swap(memory), "swap limit");
        add("memory", "memory.low", memory.reservation.and_then(limit), "memory reservation");
    }
    if let Some(cpu) = &resources.cpu {
        let weight = cpu.shares.filter(|shares| *shares != 0).map(weight_of_shares);
        add("cpu", "cpu.weight", weight, "cpu shares");
        let period = cpu.period.filter(|period| *period != 0);
        if cpu.quota.is_some_and(|quota| quota != 0) || period.is_some() {
            let quota = match cpu.quota {
                Some(quota) if quota > 0 => quota.to_string(),
                _ => "max".to_owned(),
            };
            let text = format!("{quota} {}", period.unwrap_or(100_000));
            add("cpu", "cpu.max", Some(text), "cpu quota");
        }
        add("cpuset", "cpuset.cpus", cpu.cpus.clone().filter(|t| !t.is_empty()), "cpuset");
        add("cpuset", "cpuset.mems", cpu.mems.clone().filter(|t| !t.is_empty()), "cpuset");
    }
    if let Some(pids) = &resources.pids {
        add("pids", "pids.max", limit(pids.limit), "limit of processes");
    }
    if let Some(io) = &resources.block_io {
        let weight = io.weight.filter(|n| *n != 0).map(u64::from);
        let weight = weight.map(|n| (1 + (n.max(10) - 10) * 9999 / 990).to_string());
        add("io", "io.weight", weight, "block weight");
        let mut throttle = |key: &str, list: &[Throttle]| {
            for one in list {
                let text = format!("{}:{} {key}={}", one.major, one.minor, one.rate);
                add("io", "io.max", Some(text), "block limits");
            }
        };
        throttle("rbps", &io.throttle_read_bps_device);
        throttle("wbps", &io.throttle_write_bps_device);
        throttle("riops", &io.throttle_read_iops_device);
        throttle("wiops", &io.throttle_write_iops_device);
    }
    all
}

fn limit(value: i64) -> Option<String> {
    match value {
        0 => None,
        value if value < 0 => Some("max".to_owned()),
        value => Some(value.to_string()),
    }
}

/// The specification counts memory and swap together, version 2 swap alone.
fn swap(memory: &Memory) -> Option<String> {
    match (memory.swap?, memory.limit) {
        (0, _) => None,
        (swap, _) if swap < 0 => Some("max".to_owned()),
        (swap, Some(limit)) if limit > 0 => Some(swap.saturating_sub(limit).max(0).to_string()),
        _ => None,
    }
}

/// 2…262144 shares on 1…10000, as runc and crun map them.
fn weight_of_shares(shares: u64) -> String {
    let shares = shares.clamp(2, 262_144);
    (1 + ((shares - 2) * 9999) / 262_142).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_texts_of_files() {
        let resources: Resources = serde_json::from_str(
            r#"{"memory":{"limit":8388608,"swap":16777216},"cpu":{"quota":50000,"shares":1024},
                "pids":{"limit":100},"blockIO":{"weight":1000}}"#,
        )
        .unwrap();
        let shown: Vec<String> =
            settings(&resources).iter().map(|one| format!("{}={}", one.file, one.value)).collect();
        assert_eq!(
            shown,
            [
                "memory.max=8388608",
                "memory.swap.max=8388608",
                "cpu.weight=39",
                "cpu.max=50000 100000",
                "pids.max=100",
                "io.weight=10000",
            ]
        );
    }
}
