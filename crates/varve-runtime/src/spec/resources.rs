//! Limits through cgroups, and which devices may be used.

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxPids,
    LinuxResources,
};
use varve_types::{Kind, Printable, container::HostConfig};

use super::{Cgroups, Machine, Request, SpecError, device_rule};

/// Microseconds that `--cpus` is shared out over.
const CPU_PERIOD: i64 = 100_000;
/// Bytes of the least memory with which a program can be started.
const MEMORY_MIN: i64 = 6 << 20;

/// Nothing where nothing can be enforced.
pub(super) fn resources(request: &Request) -> Result<Option<LinuxResources>, SpecError> {
    let Request { container, machine, .. } = *request;
    let host = &container.host_config;
    if machine.cgroups == Cgroups::None {
        return Ok(None);
    }
    let mut resources = LinuxResources::default();
    // Device rules cannot be set from within a user namespace.
    if !machine.rootless {
        resources.set_devices(Some(device_rules(request)?));
    }
    resources.set_memory(Some(memory(host, machine)));
    resources.set_cpu(cpu(host));
    let pids = host.pids_limit.filter(|limit| *limit != 0);
    resources.set_pids(pids.map(|limit| {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit.max(-1));
        pids
    }));
    resources.set_block_io(Some(block_io(host)));
    Ok(Some(resources))
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

/// Why limits make no sense. The messages are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Less than any program needs.
    #[error("Minimum memory limit allowed is 6MB")]
    MemoryMin,
    /// A swap limit that is below the memory limit, which it includes.
    #[error("Minimum memoryswap limit should be larger than memory limit, see usage")]
    SwapBelowMemory,
    /// A swap limit alone.
    #[error("You should always set the Memory limit when using Memoryswap limit, see usage")]
    SwapAlone,
    /// The reservation is above the limit.
    #[error("Minimum memory limit can not be less than memory reservation limit, see usage")]
    Reservation,
    /// A reservation below what any program needs.
    #[error("Minimum memory reservation allowed is 6MB")]
    ReservationMin,
    /// Neither -1 nor 0 to 100.
    #[error("Invalid value: {0}, valid memory swappiness range is 0-100")]
    Swappiness(i64),
    /// More processors than there are, or a negative number.
    #[error("Range of CPUs is from 0.01 to {0}.00, as there are only {0} CPUs available")]
    Cpus(u32),
    /// `--cpus` beside `--cpu-period` or `--cpu-quota`. The member is the other one's name.
    #[error("Conflicting options: Nano CPUs and CPU {0} cannot both be set")]
    CpusTwice(&'static str),
    /// Outside the kernel's range.
    #[error("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")]
    CpuPeriod,
    /// Less than the kernel takes.
    #[error("CPU cfs quota can not be less than 1ms (i.e. 1000)")]
    CpuQuota,
    /// Processors that are not there.
    #[error(
        "Requested CPUs are not available - requested {}, available: {available}",
        Printable(requested)
    )]
    Cpuset {
        /// Those asked for.
        requested: String,
        /// Those that are there.
        available: String,
    },
    /// Not a list of processors.
    #[error("Invalid value {} for cpuset cpus", Printable(.0))]
    CpusetFormat(String),
    /// Less than nothing.
    #[error("SHM size can not be less than 0")]
    Shm,
    /// Outside the kernel's range.
    #[error("Invalid value {0}, range for oom score adj is [-1000, 1000]")]
    OomScore(i32),
}

impl LimitError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Cpus(_) | Self::Cpuset { .. } => Kind::Unsupported,
            _ => Kind::Invalid,
        }
    }
}

/// Checks the limits asked for against each other and the machine, and fills in those that
/// follow from others: twice the memory with swap where no swap limit was given, 64 MiB of
/// `/dev/shm`.
pub fn settle_limits(host: &mut HostConfig, machine: &Machine) -> Result<(), LimitError> {
    let (memory, swap) = (host.memory, host.memory_swap);
    if memory != 0 && memory < MEMORY_MIN {
        return Err(LimitError::MemoryMin);
    }
    if memory > 0 && swap > 0 && swap < memory {
        return Err(LimitError::SwapBelowMemory);
    }
    if memory == 0 && swap > 0 {
        return Err(LimitError::SwapAlone);
    }
    if let Some(swappiness) = host.memory_swappiness
        && !(-1..=100).contains(&swappiness)
    {
        return Err(LimitError::Swappiness(swappiness));
    }
    if host.memory_reservation > 0 && host.memory_reservation < MEMORY_MIN {
        return Err(LimitError::ReservationMin);
    }
    if memory > 0 && host.memory_reservation > memory {
        return Err(LimitError::Reservation);
    }
    settle_cpus(host, machine)?;
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return Err(LimitError::OomScore(host.oom_score_adj));
    }
    if host.shm_size < 0 {
        return Err(LimitError::Shm);
    }
    if host.shm_size == 0 {
        host.shm_size = varve_types::container::SHM_SIZE_BYTES;
    }
    if memory > 0 && swap == 0 {
        host.memory_swap = memory.saturating_mul(2);
    }
    Ok(())
}

fn settle_cpus(host: &HostConfig, machine: &Machine) -> Result<(), LimitError> {
    if host.nano_cpus > 0 && host.cpu_period > 0 {
        return Err(LimitError::CpusTwice("Period"));
    }
    if host.nano_cpus > 0 && host.cpu_quota > 0 {
        return Err(LimitError::CpusTwice("Quota"));
    }
    if host.nano_cpus < 0 || host.nano_cpus > i64::from(machine.cpus) * 1_000_000_000 {
        return Err(LimitError::Cpus(machine.cpus));
    }
    if host.cpu_period != 0 && !(1_000..=1_000_000).contains(&host.cpu_period) {
        return Err(LimitError::CpuPeriod);
    }
    if host.cpu_quota > 0 && host.cpu_quota < 1_000 {
        return Err(LimitError::CpuQuota);
    }
    let wanted = parse_list(&host.cpuset_cpus)
        .ok_or_else(|| LimitError::CpusetFormat(host.cpuset_cpus.clone()))?;
    let present = parse_list(&machine.cpus_list).unwrap_or_default();
    let there = |cpu: u32| present.iter().any(|(first, last)| (*first..=*last).contains(&cpu));
    if wanted.iter().all(|(first, last)| (*first..=*last).all(there)) {
        return Ok(());
    }
    let (requested, available) = (host.cpuset_cpus.clone(), machine.cpus_list.clone());
    Err(LimitError::Cpuset { requested, available })
}

/// Parses `0-3,7` into ranges; no number above 8191, which is docker's limit too.
fn parse_list(text: &str) -> Option<Vec<(u32, u32)>> {
    const NUMBER_MAX: u32 = 8191;
    let parts = text.split(',').filter(|_| !text.is_empty());
    let ranges = parts.map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last <= NUMBER_MAX).then_some((first, last))
    });
    ranges.collect()
}
