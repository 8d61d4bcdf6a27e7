//! Limits through cgroups, and which devices may be used.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxPids,
    LinuxResources,
};
use varve_types::container::HostConfig;

use super::{Cgroups, Machine, Request, SpecError, device_rule};

/// Microseconds that `--cpus` is shared out over.
const CPU_PERIOD: i64 = 100_000;

/// Nothing where nothing can be enforced.
pub(super) fn resources(request: &Request) -> Result<Option<LinuxResources>, SpecError> {
    let Request { container, machine, .. } = *request;
    let host = &container.host_config;
    if machine.cgroups == Cgroups::None {
        return Ok(None);
    }
    let mut resources = cgroup_limits(host, machine);
    // Device rules cannot be set from within a user namespace.
    if !machine.rootless {
        resources.set_devices(Some(device_rules(request)?));
    }
    Ok(Some(resources))
}

/// The limits alone, as `update` sets them.
pub fn cgroup_limits(host: &HostConfig, machine: &Machine) -> LinuxResources {
    let mut resources = LinuxResources::default();
    resources.set_memory(Some(memory(host, machine)));
    resources.set_cpu(cpu(host));
    let pids = host.pids_limit.filter(|limit| *limit != 0);
    resources.set_pids(pids.map(|limit| {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit.max(-1));
        pids
    }));
    resources.set_block_io(Some(block_io(host)));
    resources
}

fn memory(host: &HostConfig, machine: &Machine) -> LinuxMemory {
    let set = |value: i64| (value != 0).then_some(value);
    let mut memory = LinuxMemory::default();
    memory.set_limit(set(host.memory));
    memory.set_reservation(set(host.memory_reservation));
    memory.set_swap(set(host.memory_swap));
    let v1 = machine.cgroups == Cgroups::V1;
    let swappiness = host.memory_swappiness.filter(|value| *value >= 0 && v1);
    memory.set_swappiness(swappiness.map(i64::unsigned_abs));
    // Version 2 has no such switch.
    memory.set_disable_oom_killer(host.oom_kill_disable.filter(|_| v1));
    memory
}

fn cpu(host: &HostConfig) -> Option<LinuxCpu> {
    let mut cpu = LinuxCpu::default();
    cpu.set_shares((host.cpu_shares > 0).then_some(host.cpu_shares.unsigned_abs()));
    let (period, quota) = if host.nano_cpus > 0 {
        (CPU_PERIOD, host.nano_cpus.saturating_mul(CPU_PERIOD) / 1_000_000_000)
    } else {
        (host.cpu_period, host.cpu_quota)
    };
    cpu.set_period((period > 0).then_some(period.unsigned_abs()));
    cpu.set_quota((quota != 0).then_some(quota));
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    cpu.set_cpus(text(&host.cpuset_cpus));
    cpu.set_mems(text(&host.cpuset_mems));
    let real_time = host.cpu_realtime_period;
    cpu.set_realtime_period((real_time > 0).then_some(real_time.unsigned_abs()));
    let real_time = host.cpu_realtime_runtime;
    cpu.set_realtime_runtime((real_time != 0).then_some(real_time));
    (cpu != LinuxCpu::default()).then_some(cpu)
}

fn block_io(host: &HostConfig) -> LinuxBlockIo {
    let mut block_io = LinuxBlockIo::default();
    block_io.set_weight((host.blkio_weight > 0).then_some(host.blkio_weight));
    block_io
}

fn device_rules(request: &Request) -> Result<Vec<LinuxDeviceCgroup>, SpecError> {
    let host = &request.container.host_config;
    if host.privileged {
        return Ok(vec![device_rule(true, None, (None, None), "rwm")]);
    }
    let character = |allow, major, minor| {
        device_rule(allow, Some(LinuxDeviceType::C), (Some(major), Some(minor)), "rwm")
    };
    let mut rules = vec![
        device_rule(false, None, (None, None), "rwm"),
        character(true, 1, 5),     // zero
        character(true, 1, 3),     // null
        character(true, 1, 9),     // urandom
        character(true, 1, 8),     // random
        character(true, 5, 0),     // tty
        character(true, 5, 1),     // console
        character(false, 10, 229), // fuse
    ];
    for (device, access) in request.devices {
        let numbers = (Some(device.major), Some(device.minor));
        rules.push(device_rule(true, Some(device.kind), numbers, access));
    }
    for rule in host.device_cgroup_rules.iter().flatten() {
        rules.push(parse_rule(rule).ok_or_else(|| SpecError::DeviceRule(rule.clone()))?);
    }
    Ok(rules)
}

/// Parses `--device-cgroup-rule`: `c 10:* rwm`.
fn parse_rule(rule: &str) -> Option<LinuxDeviceCgroup> {
    let [typ, numbers, access] = rule.split(' ').collect::<Vec<_>>()[..] else { return None };
    let typ = match typ {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => return None,
    };
    let number = |text: &str| match text {
        "*" => Some(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    };
    let (major, minor) = numbers.split_once(':')?;
    let fine = !access.is_empty() && access.len() <= 3 && access.chars().all(|c| "rwm".contains(c));
    let numbers = (number(major)?, number(minor)?);
    fine.then(|| device_rule(true, Some(typ), numbers, access))
}
